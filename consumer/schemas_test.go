package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// judge is a Validator that answers as a test wants.
type judge func(d envelope.Document) error

func (j judge) Validate(d envelope.Document) error { return j(d) }

var unfitting = &envelope.SchemaError{Schema: "order.json",
	Faults: []envelope.SchemaFault{{Pointer: "/amount", Keyword: "minimum"}}}

// TestSchemasAreAskedBeforeTheHandler, with the decrypted data and the signed attributes.
func TestSchemasAreAskedBeforeTheHandler(t *testing.T) {
	w := newWorld(t)
	w.keepSecrets()
	var got []envelope.Document
	w.opts.Schemas = judge(func(d envelope.Document) error {
		if len(w.handled) > 0 {
			t.Error("the handler was called first")
		}
		got = append(got, d)
		return nil
	})
	ev := placed("1")
	ev.SetDataSchema("https://schemas.example/order/1")
	w.want(w.seal(ev, envelope.SealOptions{}).JSON(), consumer.Handled, "")
	if len(got) != 1 || len(w.handled) != 1 {
		t.Fatalf("asked %d times, handled %d times", len(got), len(w.handled))
	}
	d := got[0]
	if d.Type != typ || d.DataSchema != "https://schemas.example/order/1" ||
		d.ContentType != "application/json" || string(d.Data) != `{"amount":12,"item":"pen"}` {
		t.Errorf("asked about %+v", d)
	}
}

// TestSchemaInvalidIsQuarantined: the handler is not called, the claim is released, so that a reopened event
// is judged anew.
func TestSchemaInvalidIsQuarantined(t *testing.T) {
	w := newWorld(t)
	w.opts.Schemas = judge(func(envelope.Document) error { return unfitting })
	body := w.event("1")
	r, err := w.deliver(body)
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	if invalid, ok := errors.AsType[*envelope.SchemaError](r.Verdict); !ok || invalid != unfitting {
		t.Errorf("the verdict is %v", r.Verdict)
	}
	if len(w.handled) != 0 || r.Called || len(w.bin.records) != 1 {
		t.Errorf("handled %d, %d records", len(w.handled), len(w.bin.records))
	}
	w.opts.Schemas = judge(func(envelope.Document) error { return nil })
	w.want(body, consumer.Handled, "")
}

// TestSchemasAreNotAskedAboutOthers: what is rejected before costs no validation.
func TestSchemasAreNotAskedAboutOthers(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.opts.Schemas = judge(func(envelope.Document) error { asked++; return nil })
	body := w.event("1")
	w.want(edit(body, "data", map[string]any{"amount": 13}), consumer.Quarantined, envelope.ReasonModified)
	if asked != 0 {
		t.Error("asked about a forged event")
	}
	w.want(body, consumer.Handled, "")
	w.want(body, consumer.Duplicate, envelope.ReasonReplayed)
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

// TestSchemasThatFailAreRetried: an error that is no SchemaError, and a panic, say nothing about the event.
func TestSchemasThatFailAreRetried(t *testing.T) {
	for name, fail := range map[string]judge{
		"error":         func(d envelope.Document) error { return errors.New("no room for " + string(d.Data)) },
		"panic":         func(d envelope.Document) error { panic(string(d.Data)) },
		"a nil pointer": func(envelope.Document) error { return (*envelope.SchemaError)(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.keepSecrets()
			w.opts.Schemas = fail
			r, err := w.deliver(w.event("1"))
			w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
			if strings.Contains(err.Error(), "amount") || strings.Contains(r.Verdict.Cause, "amount") {
				t.Errorf("the error quotes decrypted data: %v", err)
			}
			if len(w.handled) != 0 {
				t.Error("handled")
			}
		})
	}
}

// TestMigrationDoesNotWeakenSchemas: a verified event that does not follow its schema is not handed to the
// code of the time before signatures, whether Options.Schemas or the handler itself refuses it.
func TestMigrationDoesNotWeakenSchemas(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := migrates(w, &fail)
	w.opts.Schemas = judge(func(envelope.Document) error { return unfitting })
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonSchemaInvalid)
	w.opts.Schemas = nil
	strict := consumer.Typed(func(context.Context, consumer.Delivery[[]int]) error { return nil })
	r, err := w.consumer().Handle(t.Context(), consumer.Message{Body: w.event("2")}, strict)
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	if len(*seen) != 0 || len(w.handled) != 0 || len(w.bin.records) != 2 {
		t.Errorf("migrated %d, handled %d, quarantined %d", len(*seen), len(w.handled), len(w.bin.records))
	}
	w.opts.Schemas = judge(func(envelope.Document) error { t.Error("asked about unverified data"); return nil })
	w.want(edit(w.event("3"), "dssematerial", nil), consumer.Migrating, envelope.ReasonUnsigned)
}

// TestFreezeDuringValidation: a process that is frozen while a schema is asked judges the event again.
func TestFreezeDuringValidation(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.opts.Schemas = judge(func(envelope.Document) error {
		asked++
		w.clock.Advance(365 * 24 * 3600e9)
		return nil
	})
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonExpired)
	if len(w.handled) != 0 || asked != 1 {
		t.Errorf("handled %d, asked %d", len(w.handled), asked)
	}
}

func TestNewRefusesNilSchemas(t *testing.T) {
	w := newWorld(t)
	var none *pointerJudge
	w.opts.Schemas = none
	if _, err := consumer.New("test", &w.trust, w.store, &w.policy, &w.opts); err == nil {
		t.Error("a nil pointer is taken")
	}
}

type pointerJudge struct{ says error }

func (j *pointerJudge) Validate(envelope.Document) error { return j.says }
