//go:build !race

// The race detector adds allocations, so the tests of this file run without it.

package dsse

import (
	"strings"
	"testing"
)

func TestParseAllocations(t *testing.T) {
	doc := (&Envelope{
		PayloadType: "https://cloudevents.io/verifiability/dsse/v0.1", Payload: make([]byte, 400),
		Signatures: []Signature{{KeyID: strings.Repeat("k", 43), Sig: make([]byte, 64)}},
	}).Append(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(doc) }); n > 4 {
		t.Errorf("%v allocations, at most 4 are meant", n)
	}
}
