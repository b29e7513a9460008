//go:build !race

// The race detector adds allocations, so the tests of this file run without it.

package trust

import (
	"testing"

	"github.com/sealbus/sealbus/keys"
)

// A key is looked up for each event, so that costs no memory: by its ID and by an unknown one.
func TestLookupAllocatesNothing(t *testing.T) {
	b, err := ParseBundle(benchmarkPayload(t, keys.Ed25519, 100))
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{"known": b.SigningKeys()[42].KeyID(), "unknown": thumbprintOf(nil)} {
		if n := testing.AllocsPerRun(100, func() { sinkKeys, sinkKey = b.Lookup(id), b.Key(id) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if (sinkKey != nil) != (name == "known") || (len(sinkKeys) == 1) != (name == "known") {
			t.Errorf("%s: %v, %v", name, sinkKeys, sinkKey)
		}
	}
}
