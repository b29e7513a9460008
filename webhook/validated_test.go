package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// schemas is a Validator that answers as a test wants.
type schemas func(d envelope.Document) error

func (s schemas) Validate(d envelope.Document) error { return s(d) }

// faultsOf are that many faults.
func faultsOf(n int) error {
	e := &envelope.SchemaError{Schema: "paid.json", More: n > envelope.MaxSchemaFaults}
	for i := range n {
		e.Faults = append(e.Faults, envelope.SchemaFault{Pointer: fmt.Sprint("/lines/", i), Keyword: "type"})
	}
	return e
}

// validating is a world whose next asks the schemas.
func validating(t *testing.T, answer func(d envelope.Document) error) (*receiving, *int) {
	t.Helper()
	w := newReceiving(t)
	called := new(int)
	next, err := webhook.Validated(schemas(answer), func(context.Context, *webhook.Verified) error {
		*called++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.next = next
	return w, called
}

func TestValidated(t *testing.T) {
	const body = `{"card":"4111111111111111"}`
	var asked envelope.Document
	w, called := validating(t, func(d envelope.Document) error { asked = d; return faultsOf(2) })
	r := signedAs("1", []byte(body), receiveStart)
	resp := w.receive(r, 400, envelope.ReasonSchemaInvalid, 1)
	want := `{"title":"Bad Request","status":400,"reason":"schema_invalid","errors":[` +
		`{"pointer":"/lines/0","keyword":"type"},{"pointer":"/lines/1","keyword":"type"}]}`
	if string(resp.Body) != want {
		t.Errorf("%s\nwant %s", resp.Body, want)
	}
	if asked.Type != "webhook.test.test.paid" || asked.ContentType != "application/json" ||
		string(asked.Data) != body {
		t.Errorf("asked about %+v", asked)
	}
	if *called != 0 || w.store.releases != 1 {
		t.Errorf("next called %d times, claim released %d times", *called, w.store.releases)
	}
}

// TestValidatedNamesTenFaults, however many a Validator gives.
func TestValidatedNamesTenFaults(t *testing.T) {
	w, _ := validating(t, func(envelope.Document) error { return faultsOf(30) })
	resp := w.receive(signedAs("1", []byte(`{}`), receiveStart), 400, envelope.ReasonSchemaInvalid, 1)
	if n := countPointers(resp.Body); n != envelope.MaxSchemaFaults {
		t.Errorf("%d pointers: %s", n, resp.Body)
	}
}

func TestValidatedThatFailsIsSentAgain(t *testing.T) {
	w, called := validating(t, func(envelope.Document) error { return errors.New("not now") })
	w.receive(signedAs("1", []byte(`{}`), receiveStart), 503, envelope.ReasonHandlerFailed, 1)
	w, panicked := validating(t, func(envelope.Document) error { panic("no") })
	w.receive(signedAs("1", []byte(`{}`), receiveStart), 503, envelope.ReasonHandlerFailed, 1)
	w, nilError := validating(t, func(envelope.Document) error { return (*envelope.SchemaError)(nil) })
	w.receive(signedAs("1", []byte(`{}`), receiveStart), 503, envelope.ReasonHandlerFailed, 1)
	if *called+*panicked+*nilError != 0 {
		t.Error("next was called")
	}
}

func TestValidatedPassesOn(t *testing.T) {
	w, called := validating(t, func(envelope.Document) error { return nil })
	w.receive(signedAs("1", []byte(`{}`), receiveStart), 200, "", 1)
	if *called != 1 {
		t.Errorf("next was called %d times", *called)
	}
}

// TestForgeriesAreNotValidated: a schema is asked about genuine deliveries only.
func TestForgeriesAreNotValidated(t *testing.T) {
	w, _ := validating(t, func(envelope.Document) error { t.Error("asked"); return nil })
	r := signedAs("1", []byte(`{}`), receiveStart)
	r.Body = []byte(`{"a":1}`)
	w.receive(r, 401, envelope.ReasonBadSignature, 0)
}

func TestValidatedRefuses(t *testing.T) {
	next := func(context.Context, *webhook.Verified) error { return nil }
	var none *nilSchemas
	for name, s := range map[string]envelope.Validator{"nil": nil, "a nil pointer": none} {
		if f, err := webhook.Validated(s, next); err == nil || f != nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := webhook.Validated(schemas(func(envelope.Document) error { return nil }), nil); err == nil {
		t.Error("no next: taken")
	}
}

type nilSchemas struct{ says error }

func (s *nilSchemas) Validate(envelope.Document) error { return s.says }

func countPointers(body []byte) (n int) {
	const member = `"pointer"`
	for i := 0; i+len(member) <= len(body); i++ {
		if string(body[i:i+len(member)]) == member {
			n++
		}
	}
	return n
}

// TestEventsSchemaInvalid: a receiver of events tells the sender where, in each mode; with a quarantine it
// does not, because the event is taken.
func TestEventsSchemaInvalid(t *testing.T) {
	w := newEventWorld(t)
	w.consumer.Schemas = schemas(func(envelope.Document) error { return faultsOf(1) })
	const faults = `,"reason":"schema_invalid","errors":[{"pointer":"/lines/0","keyword":"type"}]}`
	for name, r := range map[string]webhook.Request{
		"structured": structured(w.event()), "binary": binary(w.event()),
	} {
		resp := w.receive(r)
		want := `{"title":"Bad Request","status":400` + faults
		if resp.Status != 400 || resp.Reason != envelope.ReasonSchemaInvalid || string(resp.Body) != want {
			t.Errorf("%s: %d %s", name, resp.Status, resp.Body)
		}
	}
	resp := w.receive(batch(w.event(), w.event()))
	one := `{"status":400` + faults
	want := `{"status":400,"title":"Bad Request","events":[` + one + `,` + one + `]}`
	if resp.Status != 400 || string(resp.Body) != want {
		t.Errorf("batch: %d %s", resp.Status, resp.Body)
	}
	w.consumer.Quarantine = &eventBin{}
	if resp := w.receive(structured(w.event())); resp.Status != 202 || countPointers(resp.Body) != 0 {
		t.Errorf("quarantined: %d %s", resp.Status, resp.Body)
	}
	if len(w.handled) != 0 {
		t.Error("the handler was called")
	}
}
