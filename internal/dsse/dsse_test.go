package dsse

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	oracle "github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// The test vector of the DSSE protocol document, section "Test Vectors".
func TestPAEOfTheSpecification(t *testing.T) {
	got := string(PAE(nil, "http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(PAE([]byte("x"), "", nil)); got != "xDSSEv1 0  0 " {
		t.Errorf("empty: %q", got)
	}
	// The length is of bytes, not of characters.
	if got := string(PAE(nil, "é", []byte{0, 0xff})); got != "DSSEv1 2 é 2 \x00\xff" {
		t.Errorf("bytes: %q", got)
	}
}

// The envelope of the same section.
const specEnvelope = `{"payload": "aGVsbG8gd29ybGQ=",
 "payloadType": "http://example.com/HelloWorld",
 "signatures": [{"sig": "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="}]}`

func TestEnvelopeOfTheSpecification(t *testing.T) {
	e := mustParse(t, specEnvelope)
	if e.PayloadType != "http://example.com/HelloWorld" || string(e.Payload) != "hello world" {
		t.Errorf("payload %q of type %q", e.Payload, e.PayloadType)
	}
	if len(e.Signatures) != 1 || e.Signatures[0].KeyID != "" || len(e.Signatures[0].Sig) != 64 ||
		e.Signatures[0].Delegation != nil {
		t.Errorf("signatures %+v", e.Signatures)
	}
}

type edSigner struct{ key ed25519.PrivateKey }

func (s edSigner) KeyID() (string, error)   { return "k1", nil }
func (s edSigner) Public() crypto.PublicKey { return s.key.Public() }
func (s edSigner) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.key, data), nil
}
func (s edSigner) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(s.key.Public().(ed25519.PublicKey), data, sig) {
		return errors.New("no")
	}
	return nil
}

// This package reads and verifies what the other library signs, and the other way round.
func TestAgainstOracle(t *testing.T) {
	s := edSigner{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	theirs, err := oracle.NewEnvelopeSigner(s)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := oracle.NewEnvelopeVerifier(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, payload := range []string{"", "x", "hello world", "\x00\xff\xfe", strings.Repeat("~?", 500)} {
		for _, typ := range []string{"t", "application/vnd.x+json", "é"} {
			if want, got := oracle.PAE(typ, []byte(payload)),
				PAE(nil, typ, []byte(payload)); !bytes.Equal(want, got) {
				t.Fatalf("PAE %q, theirs %q", got, want)
			}
			signed, err := theirs.SignPayload(t.Context(), typ, []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			doc, err := json.Marshal(signed)
			if err != nil {
				t.Fatal(err)
			}
			e := mustParse(t, string(doc))
			if s.Verify(t.Context(), PAE(nil, e.PayloadType, e.Payload), e.Signatures[0].Sig) != nil {
				t.Errorf("their signature of %q does not verify", payload)
			}
			verifyWithOracle(t, verifier, &Envelope{PayloadType: typ, Payload: []byte(payload),
				Signatures: e.Signatures})
		}
	}
}

func verifyWithOracle(t *testing.T, v *oracle.EnvelopeVerifier, e *Envelope) {
	t.Helper()
	var theirs oracle.Envelope
	if err := json.Unmarshal(e.Append(nil), &theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), &theirs); err != nil {
		t.Errorf("they do not verify %q: %v", e.Payload, err)
	}
}

func TestParse(t *testing.T) {
	sig := func(members string) string {
		return `{"payloadType":"t","payload":"AAAA","signatures":[{` + members + `}]}`
	}
	for _, c := range []struct {
		name, doc string
		ok        bool
	}{
		{"minimal", sig(`"sig":"AAAA"`), true},
		{"unknown members",
			`{"x":[1,{"y":null}],"payloadType":"t","payload":"AAAA","signatures":[{"sig":"AAAA","cert":"z"}]}`, true},
		{"white space",
			" {\n\"payloadType\" : \"t\", \"payload\":\"AAAA\",\"signatures\":[ {\"sig\":\"AAAA\"} ] }\t",
			true},
		{"escapes in base64", `{"payloadType":"t","payload":"\u0041AAA","signatures":[{"sig":"AAAA"}]}`,
			true},
		{"payload in the url alphabet", `{"payloadType":"t","payload":"-_-_","signatures":[{"sig":"AAAA"}]}`,
			true},
		{"payload in both alphabets",
			`{"payloadType":"t","payload":"++++____","signatures":[{"sig":"AAAA"}]}`, false},
		{"payload in the url alphabet, padded",
			`{"payloadType":"t","payload":"-_8=","signatures":[{"sig":"AAAA"}]}`, true},
		{"payload in the url alphabet, not padded",
			`{"payloadType":"t","payload":"-_8","signatures":[{"sig":"AAAA"}]}`, false},
		{"empty payload", `{"payloadType":"t","payload":"","signatures":[{"sig":"AAAA"}]}`, true},
		{"signatures first", `{"signatures":[{"sig":"AAAA"}],"payload":"AAAA","payloadType":"t"}`, true},
		{"sig not base64", sig(`"sig":"A"`), true},
		{"sig unpadded", sig(`"sig":"AA"`), true},
		{"sig with a line break", sig(`"sig":"AAAA\n"`), true},

		{"not JSON", `payload`, false},
		{"empty", ``, false},
		{"an array", `[]`, false},
		{"trailing bytes", sig(`"sig":"AAAA"`) + `{}`, false},
		{"no payloadType", `{"payload":"AAAA","signatures":[{"sig":"AAAA"}]}`, false},
		{"no payload", `{"payloadType":"t","signatures":[{"sig":"AAAA"}]}`, false},
		{"no signatures", `{"payloadType":"t","payload":"AAAA"}`, false},
		{"empty signatures", `{"payloadType":"t","payload":"AAAA","signatures":[]}`, false},
		{"signatures not an array", `{"payloadType":"t","payload":"AAAA","signatures":{"sig":"AAAA"}}`,
			false},
		{"a signature not an object", `{"payloadType":"t","payload":"AAAA","signatures":["AAAA"]}`, false},
		{"no sig", sig(`"keyid":"k"`), false},
		{"sig null", sig(`"sig":null`), false},
		{"sig a number", sig(`"sig":1`), false},
		{"keyid null", sig(`"keyid":null,"sig":"AAAA"`), false},
		{"payloadType null", `{"payloadType":null,"payload":"AAAA","signatures":[{"sig":"AAAA"}]}`, false},
		{"payload mixed", `{"payloadType":"t","payload":"+_+_","signatures":[{"sig":"AAAA"}]}`, false},
		{"payload unpadded", `{"payloadType":"t","payload":"AA","signatures":[{"sig":"AAAA"}]}`, false},
		{"payload with trailing bits", `{"payloadType":"t","payload":"AB==","signatures":[{"sig":"AAAA"}]}`,
			false},
		{"payload with a line break", `{"payloadType":"t","payload":"AA\nAA","signatures":[{"sig":"AAAA"}]}`,
			false},
		{"duplicate payload",
			`{"payloadType":"t","payload":"AAAA","payload":"AAAA","signatures":[{"sig":"AAAA"}]}`, false},
		{"duplicate by escape",
			`{"payloadType":"t","payload":"AAAA","p\u0061yload":"AAAA","signatures":[{"sig":"AAAA"}]}`,
			false},
		{"duplicate sig", sig(`"sig":"AAAA","sig":"AAAB"`), false},
		{"duplicate in what is ignored",
			`{"x":{"a":1,"a":2},"payloadType":"t","payload":"AAAA","signatures":[{"sig":"AAAA"}]}`, false},
		{"duplicate in the delegation", sig(`"sig":"AAAA","delegation":{"a":1,"a":1}`), false},
		{"other case is another member", `{"PayloadType":"t","payload":"AAAA","signatures":[{"sig":"AAAA"}]}`,
			false},
		{"lone surrogate", `{"payloadType":"\ud800","payload":"AAAA","signatures":[{"sig":"AAAA"}]}`, false},
		{"invalid UTF-8",
			"{\"payloadType\":\"\xff\",\"payload\":\"AAAA\",\"signatures\":[{\"sig\":\"AAAA\"}]}", false},
	} {
		e, err := Parse([]byte(c.doc))
		if (err == nil) != c.ok || (e == nil) == c.ok {
			t.Errorf("%s: accepted %v, want %v (%v)", c.name, err == nil, c.ok, err)
		}
		if errors.Is(err, ErrTooMany) {
			t.Errorf("%s: is not too many", c.name)
		}
	}
}

func TestUndecodableSignatureIsKept(t *testing.T) {
	e := mustParse(t,
		`{"payloadType":"t","signatures":[{"keyid":"a","sig":"A"},{"keyid":"b","sig":"AQID"},{"keyid":"c","sig":""},{"keyid":"d","sig":"-_+/"}],"payload":"BAUG"}`)
	want := []Signature{{KeyID: "a"}, {KeyID: "b", Sig: []byte{1, 2, 3}}, {KeyID: "c"}, {KeyID: "d"}}
	if !reflect.DeepEqual(e.Signatures, want) || !bytes.Equal(e.Payload, []byte{4, 5, 6}) {
		t.Errorf("got %+v, payload %v", e.Signatures, e.Payload)
	}
}

// An append to one slice does not reach the next slice in the shared buffer.
func TestSlicesDoNotOverlap(t *testing.T) {
	e := mustParse(t, `{"payloadType":"t","payload":"AQID","signatures":[{"sig":"BAUG"},{"sig":"BwgJ"}]}`)
	_ = append(e.Payload, 0xff)
	_ = append(e.Signatures[0].Sig, 0xff)
	if e.Signatures[0].Sig[0] != 4 || e.Signatures[1].Sig[0] != 7 {
		t.Errorf("overwritten: %v", e.Signatures)
	}
}

func TestTooManySignatures(t *testing.T) {
	doc := func(n int) string {
		return `{"payloadType":"t","payload":"","signatures":[` +
			strings.TrimSuffix(strings.Repeat(`{"sig":"AAAA"},`, n), ",") + `]}`
	}
	if e := mustParse(t, doc(MaxSignatures)); len(e.Signatures) != MaxSignatures {
		t.Errorf("%d signatures", len(e.Signatures))
	}
	for _, n := range []int{MaxSignatures + 1, 10_000} {
		if _, err := Parse([]byte(doc(n))); !errors.Is(err, ErrTooMany) {
			t.Errorf("%d signatures: %v", n, err)
		}
	}
	if want := fmt.Sprint(MaxSignatures); !strings.Contains(ErrTooMany.Error(), want) {
		t.Errorf("the error does not name the limit %s", want)
	}
}

func TestAppend(t *testing.T) {
	e := &Envelope{PayloadType: "a\"b", Payload: []byte{0xfb, 0xff}, Signatures: []Signature{
		{KeyID: "k\n", Sig: []byte{0xff}, Delegation: []byte(`{"x":1}`)}, {},
	}}
	want := `{"payloadType":"a\"b","payload":"+/8=","signatures":[{"keyid":"k\n","sig":"/w==","delegation":{"x":1}},{"keyid":"","sig":""}]}`
	if got := string(e.Append(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseAllocations(t *testing.T) {
	doc := (&Envelope{
		PayloadType: "https://cloudevents.io/verifiability/dsse/v0.1", Payload: make([]byte, 400),
		Signatures: []Signature{{KeyID: strings.Repeat("k", 43), Sig: make([]byte, 64)}},
	}).Append(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = Parse(doc) }); n > 4 {
		t.Errorf("%v allocations, at most 4 are meant", n)
	}
}

func mustParse(t *testing.T, doc string) *Envelope {
	t.Helper()
	e, err := Parse([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// FuzzParse: what is written of a parsed envelope is parsed as the same envelope and is then written the
// same; of documents that are written as Append does, these are the same bytes. Differences are: white space,
// order of members, unknown members, escapes, the base64 alphabet, an absent keyid, and sig that is no base64
// (which becomes empty). It is the same in memory that follows the document, and the document stays.
func FuzzParse(f *testing.F) {
	f.Add([]byte(specEnvelope))
	f.Add([]byte(`{"payloadType":"t","payload":"-_-_","signatures":[{"keyid":"k","sig":"A","delegation":{"payload":""}}]}`))
	f.Add([]byte(`{"payloadType":"t","payload":"AAAA","signatures":[{"keyid":"","sig":""},{"keyid":"\u00e9","sig":"/w=="}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		e, err := Parse(doc)
		var roomy Envelope
		buffer := append(make([]byte, 0, 2*len(doc)+8), doc...)
		if e2 := roomy.Read(buffer, buffer[len(doc):cap(buffer)]); fmt.Sprint(e2) != fmt.Sprint(err) ||
			err == nil && !same(e, &roomy) || !bytes.Equal(buffer, doc) {
			t.Fatalf("with room: %+v, %v; without: %+v, %v", roomy, e2, e, err)
		}
		if err != nil {
			return
		}
		out := e.Append(nil)
		again, err := Parse(out)
		if err != nil {
			t.Fatalf("%s is not parsed again: %v", out, err)
		}
		if !same(e, again) {
			t.Errorf("%+v came back as %+v", e, again)
		}
		if twice := again.Append(nil); !bytes.Equal(out, twice) {
			t.Errorf("written %s, then %s", out, twice)
		}
		if base64.StdEncoding.DecodedLen(len(doc)) < len(e.Payload) {
			t.Error("more payload than the document can hold")
		}
	})
}

func same(a, b *Envelope) bool {
	return a.PayloadType == b.PayloadType && bytes.Equal(a.Payload, b.Payload) &&
		reflect.DeepEqual(a.Signatures, b.Signatures)
}

func BenchmarkParse(b *testing.B) {
	doc := (&Envelope{
		PayloadType: "https://cloudevents.io/verifiability/dsse/v0.1", Payload: make([]byte, 400),
		Signatures: []Signature{{KeyID: strings.Repeat("k", 43), Sig: make([]byte, 64)}},
	}).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
