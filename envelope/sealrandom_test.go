package envelope_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
)

// randomEvent is an event that can be sealed in any way: its data is a JSON object.
func randomEvent(r *rand.Rand) event.Event {
	text := func() string {
		return strings.Repeat([]string{"a", `"`, `\`, "é", "<", "\uFFFD", "😀", "/"}[r.IntN(8)], r.IntN(300))
	}
	ev := secretEvent("")
	ev.SetID("1" + text())
	ev.SetSubject(text())
	if r.IntN(2) == 0 {
		ev.SetTime(testNow.Add(-time.Duration(r.IntN(1e9))))
	}
	for i, n := 0, r.IntN(9); i < n; i++ {
		value := []any{"v" + text(), true, int32(r.Uint32()), []byte("v" + text()),
			testNow.Truncate(time.Second)}[r.IntN(5)]
		ev.SetExtension("x"+string(rune('a'+i)), value)
	}
	if r.IntN(2) == 0 {
		ev.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		ev.SetExtension("tracestate", `a=b"\`)
	}
	data := []byte(written(r, &node{kind: '{', kids: []*node{
		{kind: '"', name: "a", text: randomText(r) + strings.Repeat("\uFFFE", r.IntN(3))},
		{kind: '"', name: "b" + text(), text: text() + strings.Repeat("\uFFFF", r.IntN(3))},
	}}))
	ev.DataEncoded = append(make([]byte, 0, len(data)+r.IntN(50)), data...)
	return ev
}

// randomSealing is a way to seal.
func randomSealing(r *rand.Rand, c *confidential, e *envelope.Encrypter) envelope.SealOptions {
	o := envelope.SealOptions{Now: fixedNow, Audience: "central billing", Exact: r.IntN(3) == 0,
		ExtensionTypes: map[string]string{}}
	for x := 'a'; x <= 'i'; x++ {
		o.ExtensionTypes["x"+string(x)] = "Binary"
	}
	if r.IntN(2) == 0 {
		o.Encrypt = e
		if !o.Exact && r.IntN(2) == 0 {
			o.EncryptFields = []string{"/a"}
		}
	}
	for range r.IntN(3) {
		o.CoSigners = append(o.CoSigners, testSigner(c.t, keys.Algorithms()[r.IntN(3)], "orders"))
	}
	if r.IntN(2) == 0 {
		o.Expires = time.Hour
	}
	return o
}

// Of any event, sealed in any way, what is sealed is one JSON document that opens as the event, also after
// the caller has used the memory of the event for something else. An entry of EventBridge that is made of it
// later opens, too.
func TestSealRandomEvents(t *testing.T) {
	c, seed := newConfidential(t), rand.Uint64()
	e := c.encrypter()
	for i := range cases.Of(3000) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		ev, opts := randomEvent(r), randomSealing(r, c, e)
		want, extensions := string(ev.Data()), maps.Clone(ev.Extensions())
		if !opts.Exact {
			d := jsontext.NewDecoder(ev.Data())
			want = string(d.ReadDocument().Canonical)
		}
		sealed := c.seal(ev, opts)
		reused := ev.DataEncoded[:cap(ev.DataEncoded)]
		copy(reused, strings.Repeat("{", len(reused)))
		clear(ev.Context.(*event.EventContextV1).Extensions)
		_ = sealed.Warnings()
		doc := sealed.JSON()
		if !json.Valid(doc) || cap(doc) >= 2*len(doc)+64 { // an attribute with escapes may double the memory
			t.Fatalf("seed %d, %d: of %d bytes: %s", seed, i, cap(doc), doc)
		}
		policy := &envelope.Policy{Now: fixedNow, Decrypter: c.decrypter(c.p256), Unsafe: unchecked,
			Audience: "central", ExtensionTypes: opts.ExtensionTypes}
		opened, err := envelope.Open(t.Context(), doc, c.trust, policy)
		if err != nil || string(opened.Event.Data()) != want || opened.Event.ID() != ev.ID() ||
			opened.Event.Subject() != ev.Subject() {
			t.Fatalf("seed %d, %d: %v: %s", seed, i, err, doc)
		}
		for name, value := range extensions {
			if got := opened.Event.Extensions()[name]; strings.HasPrefix(name, "x") &&
				!reflect.DeepEqual(got, value) {
				t.Fatalf("seed %d, %d: %s is %v, want %v", seed, i, name, got, value)
			}
		}
		throughBridgeWith(t, sealed, c.trust, envelope.Structured, policy, want)
		if !opts.Exact || opts.Encrypt != nil {
			throughBridgeWith(t, sealed, c.trust, envelope.Embedded, policy, want)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %d: %+v", seed, i, opts)
		}
	}
}
