package trust

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// Whatever a producer is called, its scope is filled, and no other's.
func TestFillScopeByName(t *testing.T) {
	const other = "version: 1\nproducers:\n  other:\n    sources: []\n    types: []\n"
	signer, err := keys.GenerateSigner(keys.Ed25519, "any")
	if err != nil {
		t.Fatal(err)
	}
	public := []keys.PublicKey{{Verifier: signer.Verifier()}}
	for _, name := range []string{"orders", "123", "true", "null", "1.5", "2026-01-01", "a:b", "a/b@c",
		"sources", "keys", "0x10", "other2"} {
		f := &addFlags{producer: name, sources: []string{"urn:a:*", "https://x.example/é"},
			types: []string{"*"}}
		doc, changes, err := f.edit([]byte(other), nil, public, keys.Schedule{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, err := policy.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		if got := scopeOf(p, name, "sources"); len(*got) != 2 || (*got)[1] != "https://x.example/é" {
			t.Errorf("%s: sources %q", name, *got)
		}
		if got := scopeOf(p, "other", "sources"); len(*got) != 0 {
			t.Errorf("%s: the other producer got %q", name, *got)
		}
		if joined := strings.Join(changes, "\n"); strings.Contains(joined, "allows nothing") ||
			!strings.Contains(joined, "producer "+name+": types *") {
			t.Errorf("%s: changes %q", name, changes)
		}
	}
}

// However the file is written, an empty scope of the producer is filled, and another one is left to its
// editor.
func TestFillScopeOfAnyFile(t *testing.T) {
	f := &addFlags{producer: "orders", sources: []string{"urn:a:*"}}
	for name, doc := range map[string]string{
		"no list":           "version: 1\nproducers:\n  orders:\n    types: []\n",
		"spelled otherwise": "version: 1\nproducers: {orders: {sources: [ ], types: []}}\n",
		"another's before":  "version: 1\nproducers:\n  'orders':\n    sources: [ ]\n  sources:\n    keys:\n",
		"comment":           "version: 1\nproducers:\n  orders: # of the shop\n    sources: []\n",
	} {
		got, changes, err := f.fillScope([]byte(doc), nil)
		if err != nil || len(changes) != 1 || changes[0] != "producer orders: sources urn:a:*" {
			t.Errorf("%s: %q, %v", name, changes, err)
		} else if strings.Contains(doc, "of the shop") && !strings.Contains(string(got), "of the shop") {
			t.Errorf("%s: the comment is lost:\n%s", name, got)
		}
	}
	for name, doc := range map[string]string{
		"other":  "version: 1\nproducers:\n  orders:\n    sources: [https://y.example/*]\n",
		"absent": "version: 1\n",
	} {
		if got, _, err := f.fillScope([]byte(doc), nil); err == nil {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}
