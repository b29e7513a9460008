package consumer_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

// sender is a Caller that answers as a test wants.
type sender struct {
	check func(source, typ string) error
	judge
}

func (s sender) Check(source, typ string) error { return s.check(source, typ) }

// A caller who may not speak for an event, or who cannot be judged, leaves it to others: neither the replay
// store nor the quarantine has it.
func TestCallerIsAskedBeforeTheClaim(t *testing.T) {
	mine := func(string, string) error { return nil }
	good := judge(func(envelope.Document) error { return nil })
	for name, c := range map[string]struct {
		check  func(source, typ string) error
		reason envelope.Reason
	}{
		"source": {func(string, string) error {
			return &envelope.Error{Reason: envelope.ReasonSourceNotAllowed}
		}, envelope.ReasonSourceNotAllowed},
		"type": {func(string, string) error {
			return &envelope.Error{Reason: envelope.ReasonTypeNotAllowed}
		}, envelope.ReasonTypeNotAllowed},
		"another error": {func(string, string) error { return errors.New("away") },
			envelope.ReasonHandlerFailed},
		"a panic": {func(string, string) error { panic("away") }, envelope.ReasonHandlerFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			asked := ""
			b := w.event("1")
			w.wantMessage(consumer.Message{Body: b, Caller: sender{func(source, typ string) error {
				asked = source + " " + typ
				return c.check(source, typ)
			}, good}}, consumer.Retry, c.reason)
			if len(w.handled) != 0 || len(w.bin.records) != 0 || asked != source+" "+typ {
				t.Errorf("handled %d, %d records, asked about %s", len(w.handled), len(w.bin.records), asked)
			}
			w.wantMessage(consumer.Message{Body: b, Caller: sender{mine, good}}, consumer.Handled, "")
		})
	}
}

// A caller is asked about verified events alone.
func TestCallerIsNotAskedAboutForgeries(t *testing.T) {
	w := newWorld(t)
	never := sender{func(string, string) error {
		t.Error("asked about a forged event")
		return nil
	}, nil}
	w.wantMessage(consumer.Message{Body: edit(w.event("1"), "data", map[string]any{"amount": 13}), Caller: never},
		consumer.Quarantined, envelope.ReasonModified)
}

// The schemas of a caller judge beside those of the consumer.
func TestCallersSchemas(t *testing.T) {
	w := newWorld(t)
	bad := judge(func(envelope.Document) error { return unfitting })
	good := judge(func(envelope.Document) error { return nil })
	mine := func(string, string) error { return nil }
	b := w.event("1")
	w.wantMessage(consumer.Message{Body: b, Caller: sender{mine, bad}}, consumer.Quarantined,
		envelope.ReasonSchemaInvalid)
	w.opts.Schemas = good
	w.wantMessage(consumer.Message{Body: b, Caller: sender{mine, bad}}, consumer.Quarantined,
		envelope.ReasonSchemaInvalid)
	w.opts.Schemas = bad
	w.wantMessage(consumer.Message{Body: b, Caller: sender{mine, good}}, consumer.Quarantined,
		envelope.ReasonSchemaInvalid)
	w.opts.Schemas = good
	w.wantMessage(consumer.Message{Body: b, Caller: sender{mine, good}}, consumer.Handled, "")
}

// A Migration takes nothing from a caller who may not speak for it, and nothing that two readers could read
// as events of two sources.
func TestCallerAndMigration(t *testing.T) {
	w := newWorld(t)
	var fail error
	seen := migrates(w, &fail)
	unsigned := edit(w.event("1"), "dssematerial", nil)
	asked := 0
	foreign := sender{func(s, typ string) error {
		if asked++; s != source {
			t.Errorf("asked about %s %s", s, typ)
		}
		return &envelope.Error{Reason: envelope.ReasonSourceNotAllowed}
	}, nil}
	w.wantMessage(consumer.Message{Body: unsigned, Caller: foreign}, consumer.Retry,
		envelope.ReasonSourceNotAllowed)
	if len(*seen) != 0 || len(w.bin.records) != 0 || asked != 1 {
		t.Fatalf("Handle got %d, the quarantine %d, asked %d times", len(*seen), len(w.bin.records), asked)
	}
	mine := sender{func(string, string) error { return nil }, nil}
	twice := bytes.Replace(unsigned, []byte("{"), []byte(`{"source":"`+source+`",`), 1)
	w.wantMessage(consumer.Message{Body: twice, Caller: mine}, consumer.Quarantined, envelope.ReasonMalformed)
	if len(*seen) != 0 {
		t.Fatalf("Handle got %s", (*seen)[0].Message.Body)
	}
	w.wantMessage(consumer.Message{Body: unsigned, Caller: mine}, consumer.Migrating, envelope.ReasonUnsigned)
	if len(*seen) != 1 || (*seen)[0].Message.Caller != nil {
		t.Errorf("Handle got %+v", *seen)
	}
}
