package envelope_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// illegalInSQS is the first character that SQS takes in no message body:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func illegalInSQS(text []byte) (rune, bool) {
	if !utf8.Valid(text) {
		return utf8.RuneError, true
	}
	for _, r := range string(text) {
		switch {
		case r == 0x9, r == 0xa, r == 0xd, 0x20 <= r && r <= 0xd7ff, 0xe000 <= r &&
			r <= 0xfffd, 0x10000 <= r && r <= 0x10ffff:
		default:
			return r, true
		}
	}
	return 0, false
}

// checkDetail is what EventBridge demands of a Detail: a JSON object, and integers within int64.
func checkDetail(detail []byte) error {
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(string(detail)))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		return err
	}
	var walk func(any) error
	walk = func(v any) error {
		switch v := v.(type) {
		case map[string]any:
			for _, inner := range v {
				if err := walk(inner); err != nil {
					return err
				}
			}
		case []any:
			for _, inner := range v {
				if err := walk(inner); err != nil {
					return err
				}
			}
		case json.Number:
			if _, err := v.Int64(); err != nil && !strings.ContainsAny(string(v), ".eE") {
				return err
			}
		}
		return nil
	}
	return walk(members)
}

// oddRunes are what JSON, XML and terminals treat in different ways.
var oddRunes = []rune{0, 0x7, 0x8, 0x9, 0xa, 0xc, 0xd, 0x1f, '"', '\\', '/', 'a', 'é', 0x7f, 0x85, 0x9f,
	0x2028, 0xd7ff, 0xe000, 0xfdd0,
	0xfffd, 0xfffe, 0xffff, 0xffef, 0xff3e, 0xffbf, 0x1fffe, 0x1ffff, 0x10fffe, 0x10ffff}

func oddText(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(8) {
		b.WriteRune(oddRunes[r.IntN(len(oddRunes))])
	}
	return b.String()
}

// oddData is an object with odd texts as names and as values, at several depths.
func oddData(r *rand.Rand) []byte {
	data := map[string]any{"n": r.IntN(1000), "": []any{oddText(r), map[string]any{oddText(r): oddText(r)}}}
	for range r.IntN(4) {
		data[oddText(r)+"x"] = oddText(r)
	}
	doc, err := json.Marshal(data)
	if err != nil {
		panic(err) // maps and strings always have JSON
	}
	return doc
}

// TestWireIsLegal: whatever JSON is sealed, in whichever way, SQS takes it as a body and EventBridge as a
// detail, and it opens as what was sealed.
func TestWireIsLegal(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	trust := trusting(t, keyOf(signer, "https://orders.example/*"))
	r := rand.New(rand.NewPCG(12, 1))
	open := &envelope.Policy{Now: fixedNow, Decrypter: openBoth(t), Unsafe: unchecked}
	to, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{identities["x25519"].Recipient()}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		ev := orderEvent(t)
		data := oddData(r)
		want, err := jsontext.AppendCanonical(nil, data)
		if err != nil {
			t.Fatal(err)
		}
		contentType, opts := "application/json", &envelope.SealOptions{Now: fixedNow}
		switch i % 4 {
		case 1:
			opts.Exact, want = true, data
		case 2:
			opts.Encrypt, opts.EncryptFields = to, []string{"/n"}
		case 3:
			contentType, want = "text/plain", data
		}
		if err := ev.SetData(contentType, data); err != nil {
			t.Fatal(err)
		}
		sealed, err := envelope.Seal(t.Context(), ev, signer, opts)
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if c, found := illegalInSQS(sealed.JSON()); found {
			t.Fatalf("%U in %q", c, sealed.JSON())
		}
		opened, err := envelope.Open(t.Context(), sealed.JSON(), trust, open)
		if err != nil || string(opened.Event.Data()) != string(want) {
			t.Fatalf("%v, got %q of %q", err, sealed.JSON(), want)
		}
		checkLayouts(t, sealed, trust, open, string(opened.JSON()))
	}
}

func checkLayouts(t *testing.T, sealed *envelope.Sealed, trust trust.Source, open *envelope.Policy,
	want string) {
	t.Helper()
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		entry, err := sealed.EventBridge(layout)
		if err != nil {
			if layout == envelope.Structured || !strings.Contains(err.Error(), "use the structured layout") {
				t.Errorf("layout %d: %v", layout, err)
			}
			continue
		}
		if c, found := illegalInSQS(entry.Detail); found {
			t.Errorf("layout %d: %U in %q", layout, c, entry.Detail)
		}
		if err := checkDetail(entry.Detail); err != nil {
			t.Errorf("layout %d: %v", layout, err)
		}
		doc := mint.Delivery(entry.Source, entry.DetailType, "111122223333", string(entry.Detail)).String()
		opened, err := openEventBridge(t.Context(), []byte(doc), trust, open)
		if err != nil || string(opened.JSON()) != want {
			t.Errorf("layout %d: %v\n%s", layout, err, doc)
		}
	}
}

// The limit of an event is one of the wire: escaped characters count as they are written.
func TestSizeCountsEscapes(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	sealedWith := func(n int) (*envelope.Sealed, error) {
		ev := orderEvent(t)
		if err := ev.SetData("application/json", []byte(`{"a":"`+strings.Repeat("\uffff", n)+
			`"}`)); err != nil {
			t.Fatal(err)
		}
		return envelope.Seal(t.Context(), ev, signer, &envelope.SealOptions{Now: fixedNow})
	}
	one, err := sealedWith(1)
	if err != nil {
		t.Fatal(err)
	}
	most := (1<<20-len(one.JSON()))/len(`\uffff`) + 1
	full, err := sealedWith(most)
	if err != nil || len(full.JSON()) > 1<<20 || len(full.JSON()) != len(one.JSON())+6*(most-1) {
		t.Fatalf("%d characters: %v", most, err)
	}
	_, err = sealedWith(most + 1)
	var e *envelope.SealError
	if !errors.As(err, &e) || !strings.Contains(e.Problem, "the limit is 1048576") {
		t.Errorf("one more: %v", err)
	}
}

// TestEmptyFragment: what ends in a # is sealed and opened as it is, and is no other than the signed text.
func TestEmptyFragment(t *testing.T) {
	signer := testSigner(t, keys.Ed25519, "orders")
	trust := trusting(t, keyOf(signer, "https://orders.example/*"))
	for _, schema := range []string{"https://schemas.example/order.json#",
		"https://schemas.example/order.json?#", "urn:example:schema#", "order.json#", "//schemas.example#",
		"https://schemas.example/order.json#/definitions/a"} {
		doc := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"https://orders.example/eu","type":"a","dataschema":%q,"dataref":%q,"data":{}}`, schema, schema)
		sealed, err := envelope.Seal(t.Context(), sdkEventOf(t, doc), signer,
			&envelope.SealOptions{Now: fixedNow})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := envelope.Open(t.Context(), sealed.JSON(), trust,
			&envelope.Policy{Now: fixedNow, Unsafe: unchecked})
		if err != nil {
			t.Fatal(err)
		}
		ref, _ := types.Format(opened.Event.Extensions()["dataref"])
		if opened.Event.DataSchema() != schema || ref != schema ||
			!strings.Contains(string(opened.JSON()), fmt.Sprintf(`"dataschema":%q`, schema)) {
			t.Errorf("%s: got %q, %q, %s", schema, opened.Event.DataSchema(), ref, opened.JSON())
		}
		again, err := envelope.Seal(t.Context(), withoutTime(opened.Event), signer,
			&envelope.SealOptions{Now: fixedNow})
		if err != nil || !strings.Contains(string(again.JSON()), fmt.Sprintf(`"dataschema":%q`, schema)) {
			t.Errorf("%s: sealed again: %v", schema, err)
		}
	}
}

// withoutTime is an opened event that can be sealed again.
func withoutTime(ev event.Event) event.Event {
	ev = ev.Clone()
	ev.SetExtension("recordedtime", nil)
	return ev
}
