package wrapper

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// The corpus is in testdata/fuzz: each known wrapper, and hostile documents. Only one JSON object is opened,
// which is an event and was in the document. The text of a Problem quotes nothing of the document.
func FuzzOpen(f *testing.F) {
	if files, err := filepath.Glob("testdata/fuzz/FuzzOpen/*"); err != nil || len(files) < 10 {
		f.Fatalf("no corpus (%v)", err)
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		found, ok := Look(doc)
		if ok && found.Problem == nil && len(found.Items) == 0 || ok &&
			(found.Kind == "") != (found.Problem != nil) {
			t.Fatalf("known, but nothing is in it: %+v", found)
		}
		o, p := Open(doc)
		switch {
		case o != nil && (p != nil || !ok):
			t.Fatalf("%+v, and %v", o, p)
		case p != nil && (p.Cause == "" || p.Fix == ""):
			t.Fatalf("a problem without words: %+v", p)
		case o == nil:
			return
		}
		if m, known := readMembers(doc); known && m.event() {
			t.Fatalf("an event was unwrapped: %s", doc)
		}
		m, isObject := readMembers([]byte(strings.Trim(string(o.Body), " \t\r\n")))
		if !isObject || m.has("detail-type", 0) != o.EventBridge ||
			m.has("specversion", 0) == o.EventBridge || m.has("unverified_id", 0) {
			t.Fatalf("%s is no event", o.Body)
		}
		bare := o.Anonymous()
		var got map[string]json.RawMessage
		if json.Valid(o.Body) && o.EventBridge && (json.Unmarshal(bare, &got) != nil ||
			got["account"] != nil || got["replay-name"] != nil) {
			t.Fatalf("an account is left in %s", bare)
		}
	})
}
