package consumer_test

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
)

// A Typed handler around no function is no handler: each delivery would panic.
func TestTypedOfNothing(t *testing.T) {
	w := newWorld(t)
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), consumer.Typed[order](nil))
	if r.Outcome != consumer.Retry || err == nil || !strings.Contains(err.Error(), "no handler") {
		t.Errorf("%+v, %v", r, err)
	}
}
