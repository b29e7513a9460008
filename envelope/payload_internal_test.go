package envelope

import (
	"bytes"
	"slices"
	"testing"

	"github.com/sealbus/sealbus/internal/wire"
)

// What the payload parser accepts is written in one way, which reads back as the same, and what we would have
// written ourselves comes out byte for byte.
func FuzzPayload(f *testing.F) {
	const core, ext = `{"core":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`, `,"ext":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="`
	for _, seed := range []string{
		core + `}`,
		core + ext + `,"signedextattrs":["exta","extb"]}`,
		core + ext + `,"signedextattrs":["recordedtime"],"sealbus":{"v":1,"producer":"orders","time":"2026-11-21T12:00:00.5Z","types":["Timestamp"]}}`,
		core + ext + `,"signedextattrs":["a","recordedtime"],"sealbus":{"v":1,"producer":"a\"b","types":["URI-reference","Timestamp"],"delegations":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}`,
		core + ext + `,"signedextattrs":["recordedtime"],"sealbus":{"v":1,"producer":"orders","types":["Timestamp"],"enc":["/a"]}}`,
		core + `,"x":{"y":[1]}} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := parsePayload(doc, &wire.Event{})
		if err != nil {
			return
		}
		again := p.append(nil)
		q, err := parsePayload(again, &wire.Event{})
		if err != nil {
			t.Fatalf("%q is written as %q: %v", doc, again, err)
		}
		if !samePayload(p, q) || !bytes.Equal(q.append(nil), again) {
			t.Fatalf("%q is written as %q, which is another", doc, again)
		}
	})
}

func samePayload(p, q *payload) bool {
	if p.core != q.core || p.ext != q.ext || p.hasExt != q.hasExt || !slices.Equal(p.names, q.names) || (p.profile == nil) != (q.profile == nil) {
		return false
	}
	return p.profile == nil || p.profile.producer == q.profile.producer && p.profile.time == q.profile.time &&
		slices.Equal(p.profile.types, q.profile.types) && slices.Equal(p.profile.delegations, q.profile.delegations) &&
		p.profile.enc.whole == q.profile.enc.whole && slices.Equal(p.profile.enc.texts(), q.profile.enc.texts())
}

// What we write ourselves comes back byte for byte.
func TestPayloadRoundTrip(t *testing.T) {
	for _, p := range []*payload{
		{core: absent},
		{core: absent, hasExt: true, ext: absent, names: []string{}},
		{core: absent, hasExt: true, names: []string{"recordedtime", "x"}, profile: &profile{producer: "orders", types: []AttributeType{Timestamp, URIReference}}},
		{core: absent, hasExt: true, names: []string{"recordedtime"}, profile: &profile{
			producer: "a/b:c", time: "2026-11-21T12:00:00.000000001Z", types: []AttributeType{Timestamp}, delegations: []digest{{}, {1}, {1, 1}, {2}},
		}},
		{core: absent, hasExt: true, names: []string{"recordedtime"}, profile: &profile{producer: "orders", types: []AttributeType{Timestamp}, enc: enc{whole: true}}},
		{core: absent, hasExt: true, names: []string{"recordedtime"}, profile: &profile{
			producer: "orders", types: []AttributeType{Timestamp}, enc: enc{pointers: []pointer{{text: "/a~1b"}, {text: "/c\n"}}}, delegations: []digest{{1}},
		}},
	} {
		doc := p.append(nil)
		q, err := parsePayload(doc, &wire.Event{})
		if err != nil || !samePayload(p, q) || !bytes.Equal(q.append(nil), doc) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}
