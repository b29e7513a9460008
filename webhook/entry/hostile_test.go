package entry_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/entry"
)

// TestHandshakeIsNoDelivery: an entry that lets OPTIONS pass without a token stands in front of nothing that
// takes OPTIONS for a delivery.
func TestHandshakeIsNoDelivery(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	inner := w.receiver(sourceOf(0))
	w.options.Handshake = true
	if e, err := entry.New(inner, &w.options); err == nil || !strings.Contains(err.Error(), "Handshake") {
		t.Errorf("%v %v", e, err)
	}
}

// TestNoOtherWayIn: a request with anything else than one good token in its place is answered 401, and the
// receiver does not see it.
func TestNoOtherWayIn(t *testing.T) {
	w := newWorld(t, "{rate: 1000, burst: 1000}")
	to, good := w.receiver(sourceOf(0)), w.writer(0)
	line := func(name, value string) webhook.Field { return webhook.Field{Name: name, Value: value} }
	for name, lines := range map[string][]webhook.Field{
		"none":            nil,
		"empty":           {line("Authorization", "")},
		"the scheme only": {line("Authorization", "Bearer")},
		"Basic":           {line("Authorization", "Basic "+good)},
		"DPoP":            {line("Authorization", "DPoP "+good)},
		"two spaces":      {line("Authorization", "Bearer  "+good)},
		"a tab":           {line("Authorization", "Bearer\t"+good)},
		"twice in one":    {line("Authorization", "Bearer "+good+", Bearer "+good)},
		"two lines":       {line("Authorization", "Bearer "+good), line("Authorization", "Bearer "+good)},
		"two cases":       {line("authorization", "Bearer x"), line("AUTHORIZATION", "Bearer "+good)},
		"another header":  {line("X-Authorization", "Bearer "+good)},
		"forwarded":       {line("X-Forwarded-Authorization", "Bearer "+good)},
		"a cookie":        {line("Cookie", "access_token="+good)},
		"an underscore":   {line("Authorization_", "Bearer "+good)},
		"a space after":   {line("Authorization ", "Bearer "+good)},
		"a byte more":     {line("Authorization", "Bearer "+good+"A")},
		"a byte less":     {line("Authorization", "Bearer "+good[:len(good)-1])},
	} {
		r := w.delivery("/?access_token="+good, "")
		r.Header = append(r.Header, lines...)
		if got := to.Receive(t.Context(), r, w.now()); got.Status != http.StatusUnauthorized ||
			strings.Contains(fmt.Sprint(got), good) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if w.handled != 0 {
		t.Errorf("%d were handled", w.handled)
	}
	r := w.delivery("/", good)
	if got := to.Receive(t.Context(), r, w.now()); got.Status != http.StatusOK || w.handled != 1 {
		t.Errorf("good: %+v", got)
	}
}
