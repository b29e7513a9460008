package envelope_test

import (
	"context"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// lenient is the options under which the fuzz targets open: whatever is refused is refused for what it is,
// not for the circumstances.
func lenient() *envelope.Policy {
	return &envelope.Policy{
		Now: fixed(vectorNow), Mode: envelope.Passthrough,
		ExtensionTypes: map[string]string{"token": "Binary", "due": "Timestamp"},
		Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true, IgnoreAccount: true,
			AllowUndated: true},
	}
}

type opener = func(context.Context, []byte, trust.Source, *envelope.Policy) (*envelope.Opened, error)

// sealedEvent is a verified event and who sealed it.
type sealedEvent struct{ event, producer string }

// fuzzOpen fuzzes open with the vectors of that form for seeds. Nothing but what they and the victims of
// TestMutations are made of is ever verified (what the vectors give themselves, TestVectors says), and
// nothing makes it panic.
func fuzzOpen(f *testing.F, form string, open opener) {
	trust := everybody(f)
	genuine := map[sealedEvent]bool{}
	for _, v := range allVectors(f) {
		run := opener(envelope.Open)
		switch v.Form {
		case formEventBridge:
			run = openEventBridge
		case formHTTP:
			run = openHTTP
		}
		if v.Form == form && v.Repeat == nil { // what is as large as it may be is slow to mutate
			f.Add(v.input(f))
		}
		if opened, err := run(f.Context(), v.input(f), trust, lenient()); err == nil {
			genuine[sealedEvent{string(opened.JSON()), opened.Producer}] = true
		}
	}
	for _, v := range victims(f) { // which the corpus has, mutated
		genuine[sealedEvent{v.event, v.producer}] = true
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		opened, err := open(t.Context(), in, trust, lenient())
		switch reason := envelope.ReasonOf(err); {
		case err != nil && (opened != nil || reason.Cause() == "" || reason.Class() != envelope.Permanent):
			t.Fatalf("got %v, %v", opened, err)
		case err == nil && !genuine[sealedEvent{string(opened.JSON()), opened.Producer}]:
			t.Fatalf("verified %s of %q, which nobody sealed: %q", opened.JSON(), opened.Producer, in)
		}
	})
}

func FuzzOpen(f *testing.F) { fuzzOpen(f, formCloudEvent, envelope.Open) }

func FuzzOpenEventBridge(f *testing.F) { fuzzOpen(f, formEventBridge, openEventBridge) }
