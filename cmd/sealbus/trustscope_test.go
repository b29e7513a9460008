package main

import (
	"strings"
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/policy"
)

const testKeyID = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"

// Whatever a producer is called, its scope is filled, and no other's.
func TestFillScopeByName(t *testing.T) {
	const other = "version: 1\nproducers:\n  other:\n    sources: []\n    types: []\n"
	for _, name := range []string{"orders", "123", "true", "null", "1.5", "2026-01-01", "a:b", "a/b@c", "sources", "keys", "0x10", "other2"} {
		f := &trustAddFlags{producer: name, sources: []string{"urn:a:*", "https://x.example/é"}, types: []string{"*"}}
		doc, changes, err := f.edit([]byte(other), []string{testKeyID}, keys.Schedule{})
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
		if joined := strings.Join(changes, "\n"); strings.Contains(joined, "allows nothing") || !strings.Contains(joined, "producer "+name+": types *") {
			t.Errorf("%s: changes %q", name, changes)
		}
	}
}

// A file that is written in another way is left to its editor, unchanged.
func TestFillScopeRefuses(t *testing.T) {
	for name, doc := range map[string]string{
		"no list":           "version: 1\nproducers:\n  orders:\n    types: []\n",
		"spelled otherwise": "version: 1\nproducers: {orders: {sources: [ ], types: []}}\n",
		"only another's": "version: 1\nproducers:\n  'orders':\n    sources: [ ]\n  sources:\n    keys:\n" +
			"  orders2:\n    sources: []\n",
		"comment": "version: 1\nproducers:\n  orders: # of the shop\n    sources: []\n",
		"other":   "version: 1\nproducers:\n  orders:\n    sources: [https://y.example/*]\n",
		"absent":  "version: 1\n",
	} {
		if got, err := fillList([]byte(doc), "orders", "sources", []string{"urn:a:*"}); err == nil {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	same := "version: 1\nproducers:\n  orders:\n    sources: [ 'urn:a:*' ]\n"
	if got, err := fillList([]byte(same), "orders", "sources", []string{"urn:a:*"}); string(got) != same || err != nil {
		t.Errorf("the same sources: %v\n%s", err, got)
	}
}
