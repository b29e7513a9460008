package producer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/producer"
)

// only lets events of one type through.
type only string

func (o only) Validate(d envelope.Document) error {
	if d.Type != string(o) {
		return &envelope.SchemaError{Schema: "s", Faults: []envelope.SchemaFault{{Pointer: "", Keyword: "type"}}}
	}
	return nil
}

// TestSchemasAreAskedBeforeSealing: an event that does not follow its schema is not sent and stops no other.
func TestSchemasAreAskedBeforeSealing(t *testing.T) {
	o := newOrg(t)
	sent := 0
	bus := busFunc(func(ctx context.Context, events []*envelope.Sealed) []error {
		sent += len(events)
		return accept(ctx, events)
	})
	p := newProducer(t, o, bus, &producer.Options{Schemas: only("com.example.order.placed")})
	other := placed("2")
	other.SetType("com.example.other")
	results, err := p.Publish(t.Context(), []event.Event{placed("1"), other, placed("3")}...)
	if err == nil || results[0].Err != nil || results[2].Err != nil || sent != 2 {
		t.Fatalf("%v, %d sent", err, sent)
	}
	invalid, ok := errors.AsType[*envelope.SchemaError](results[1].Err)
	if !ok || invalid.Schema != "s" {
		t.Errorf("%v", results[1].Err)
	}
}
