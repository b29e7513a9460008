package wire

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"testing"
)

// A payload that the parser accepts is written in one way, which reads back as the same, and a payload
// that we would have written ourselves comes out byte for byte.
func FuzzPayload(f *testing.F) {
	const core, ext = `{"core":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`,
		`,"ext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	for _, seed := range []string{
		core + `}`,
		core + ext + `,"signedextattrs":["exta","extb"]}`,
		core + ext +
			`,"signedextattrs":["recordedtime"],"sealbus":{"v":1,"producer":"orders","time":"2026-11-21T12:00:00.5Z","types":["Timestamp"]}}`,
		core + ext +
			`,"signedextattrs":["a","recordedtime"],"sealbus":{"v":1,"producer":"a\"b","types":["URI-reference","Timestamp"],"delegations":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}`,
		core + ext +
			`,"signedextattrs":["recordedtime"],"sealbus":{"v":1,"producer":"orders","types":["Timestamp"],"enc":["/a"]}}`,
		core + `,"x":{"y":[1]}} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := ParsePayload(doc, &Event{})
		if err != nil {
			return
		}
		again := p.Append(nil)
		q, err := ParsePayload(again, &Event{})
		if err != nil {
			t.Fatalf("%q is written as %q: %v", doc, again, err)
		}
		if !samePayload(p, q) || !bytes.Equal(q.Append(nil), again) {
			t.Fatalf("%q is written as %q, which is another", doc, again)
		}
	})
}

func samePayload(p, q *Payload) bool {
	if p.Core != q.Core || p.Ext != q.Ext || p.HasExt != q.HasExt || !slices.Equal(p.Names, q.Names) ||
		(p.Profile == nil) != (q.Profile == nil) {
		return false
	}
	return p.Profile == nil || p.Profile.Producer == q.Profile.Producer && p.Profile.Time == q.Profile.Time &&
		slices.Equal(p.Profile.Types, q.Profile.Types) &&
		slices.Equal(p.Profile.Delegations, q.Profile.Delegations) &&
		p.Profile.Enc.Whole == q.Profile.Enc.Whole && slices.Equal(p.Profile.Enc.Fields, q.Profile.Enc.Fields)
}

// A payload that we write comes back byte for byte.
func TestPayloadRoundTrip(t *testing.T) {
	for _, p := range []*Payload{
		{Core: sha256.Sum256(nil)},
		{Core: sha256.Sum256(nil), HasExt: true, Ext: sha256.Sum256(nil), Names: []string{}},
		{Core: sha256.Sum256(nil), HasExt: true, Names: []string{"recordedtime", "x"},
			Profile: &Profile{Producer: "orders", Types: []Type{Timestamp, URIReference}}},
		{Core: sha256.Sum256(nil), HasExt: true, Names: []string{"recordedtime"}, Profile: &Profile{
			Producer: "a/b:c", Time: "2026-11-21T12:00:00.000000001Z", Types: []Type{Timestamp},
			Delegations: []Digest{{}, {1}, {1, 1}, {2}},
		}},
		{Core: sha256.Sum256(nil), HasExt: true, Names: []string{"recordedtime"},
			Profile: &Profile{Producer: "orders", Types: []Type{Timestamp}, Enc: Enc{Whole: true}}},
		{Core: sha256.Sum256(nil), HasExt: true, Names: []string{"recordedtime"}, Profile: &Profile{
			Producer: "orders", Types: []Type{Timestamp}, Enc: Enc{Fields: []string{"/a~1b", "/c\n"}},
			Delegations: []Digest{{1}},
		}},
	} {
		doc := p.Append(nil)
		q, err := ParsePayload(doc, &Event{})
		if err != nil || !samePayload(p, q) || !bytes.Equal(q.Append(nil), doc) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
