package interop_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// TestSurvivesTheJavaScriptSDK: a sealed event that a service in JavaScript parses and forwards still
// verifies, though the SDK reorders members and respells numbers, and opens as the very event that was
// sealed.
func TestSurvivesTheJavaScriptSDK(t *testing.T) {
	needPackages(t)
	signer := newSigner(t, keys.Ed25519)
	bundle := bundleOf(t, signer)
	for _, ev := range survivors() {
		t.Run(ev.ID(), func(t *testing.T) {
			sealed := seal(t, ev, signer)
			forwarded := forward(t, sealed)
			if bytes.Equal(forwarded, sealed) {
				t.Error("the SDK changed nothing: this event shows nothing")
			}
			want, got := mustOpen(t, sealed, bundle), mustOpen(t, forwarded, bundle)
			if got.ContentDigest() != want.ContentDigest() || !got.Event.Time().Equal(ev.Time()) {
				t.Errorf("opens as\n%s\nwant\n%s", got.JSON(), want.JSON())
			}
		})
	}
}

// survivors are events in which the SDK has something to respell, and nothing to lose.
func survivors() []event.Event {
	rich := sample("extensions", event.ApplicationJSON,
		`{"b":[1.0,12.50,1e3],"a":{"é":"\u00e9\/","empty":""},"n":null}`)
	rich.SetSubject("order/1")
	rich.SetDataSchema("https://schemas.example/order.json")
	rich.SetExtension("sampledrate", 5)
	rich.SetExtension("vip", true)
	rich.SetExtension("dataref", "https://blobs.example/1")
	rich.SetExtension("tenant", "acme")
	return []event.Event{
		rich,
		sample("scalar", event.ApplicationJSON, `"text"`),
		sample("array", "application/vnd.example+json", `[true,false,null,0.1]`),
		sample("text", "text/plain", "grün\nund blau"),
		sample("binary", "application/octet-stream", "\x00\x01\xfe\xff"),
		sample("nothing", event.ApplicationJSON, ""),
	}
}

// TestAlterationsByTheJavaScriptSDK: what the SDK cannot hold, or invents, is noticed: the event does not
// open. Each event is one of those that survive, but for one thing.
func TestAlterationsByTheJavaScriptSDK(t *testing.T) {
	needPackages(t)
	signer := newSigner(t, keys.Ed25519)
	bundle := bundleOf(t, signer)
	undated := sample("time invented", event.ApplicationJSON, `{}`)
	undated.SetTime(time.Time{})
	precise := sample("time cut to milliseconds", event.ApplicationJSON, `{}`)
	precise.SetTime(precise.Time().Add(time.Microsecond))
	rounded := sample("integer rounded", event.ApplicationJSON, `{"n":9007199254740993}`)
	for _, ev := range []event.Event{undated, precise, rounded} {
		t.Run(ev.ID(), func(t *testing.T) {
			sealed := seal(t, ev, signer)
			mustOpen(t, sealed, bundle)
			_, err := envelope.Open(t.Context(), forward(t, sealed), bundle,
				&envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
			if reason := envelope.ReasonOf(err); reason != envelope.ReasonModified {
				t.Errorf("Reason %q (%v), want %q", reason, err, envelope.ReasonModified)
			}
		})
	}
}

// forward is what a service does that parses an event with the SDK and serialises it again.
func forward(t *testing.T, sealed []byte) []byte {
	t.Helper()
	return bytes.TrimSpace(node(t, sealed, "peers/reserialise.mjs"))
}

func seal(t *testing.T, ev event.Event, signer keys.Signer) []byte {
	t.Helper()
	sealed, err := envelope.Seal(t.Context(), ev, signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.JSON()
}

func mustOpen(t *testing.T, sealed []byte, trust trust.Source) *envelope.Opened {
	t.Helper()
	opened, err := envelope.Open(t.Context(), sealed, trust,
		&envelope.Policy{MaxAge: time.Hour, Unsafe: envelope.Unsafe{AnySource: true}})
	if err != nil {
		t.Fatalf("%v\n%s", err, sealed)
	}
	return opened
}

// sample is an event that the SDK can hold: it has a time, in milliseconds.
func sample(id, contentType, data string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(time.Date(2026, 11, 21, 11, 59, 0, 123e6, time.UTC))
	ev.SetDataContentType(contentType)
	if data != "" {
		ev.DataEncoded = []byte(data)
	}
	return ev
}

// TestJoseReadsOurKeys: the JWK Set that keys exports is one that jose imports, and jose computes our key
// IDs.
func TestJoseReadsOurKeys(t *testing.T) {
	needPackages(t)
	bundle := bundleOf(t, newSigner(t, keys.Ed25519), newSigner(t, keys.ES256), newSigner(t, keys.Ed25519))
	var got []struct{ Kid, Thumbprint, Type string }
	if err := json.Unmarshal(node(t, bundle.JWKS(nil), "peers/thumbprints.mjs"), &got); err != nil {
		t.Fatal(err)
	}
	all := bundle.SigningKeys()
	if len(got) != len(all) {
		t.Fatalf("jose read %d keys of %d", len(got), len(all))
	}
	for i, key := range all {
		if got[i].Kid != key.KeyID() || got[i].Thumbprint != key.KeyID() || got[i].Type != "public" {
			t.Errorf("jose reads %+v, want the public key %s", got[i], key.KeyID())
		}
	}
}

// TestJoseVerifiesWithOurKeys: jose verifies with the JWK Set of a bundle, and finds no key that it leaves
// out.
func TestJoseVerifiesWithOurKeys(t *testing.T) {
	needPackages(t)
	good := []keys.Signer{newSigner(t, keys.Ed25519), newSigner(t, keys.ES256)}
	left := newSigner(t, keys.Ed25519)
	bundle := bundleOf(t, good[0], good[1], left)
	in := map[string]any{"jwks": json.RawMessage(bundle.JWKS(func(k *trust.Key) bool {
		return k.KeyID() != left.Verifier().KeyID()
	}))}
	var tokens []string
	enc := base64.RawURLEncoding.EncodeToString
	for _, s := range []keys.Signer{good[0], good[1], left} {
		head := fmt.Sprintf(`{"alg":%q,"kid":%q}`, s.Verifier().Algorithm(), s.Verifier().KeyID()) // RFC 9864
		input := enc([]byte(head)) + "." + enc([]byte("hello"))
		sig, err := s.Sign(t.Context(), []byte(input))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, input+"."+enc(sig))
	}
	in["tokens"] = tokens
	doc, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(node(t, doc, "peers/verifyjwks.mjs"))); got != `["hello","hello",null]` {
		t.Errorf("jose says %s", got)
	}
}

func newSigner(t *testing.T, alg keys.Algorithm) *keys.LocalSigner {
	t.Helper()
	signer, err := keys.GenerateSigner(alg, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func bundleOf(t *testing.T, signers ...keys.Signer) *trust.Bundle {
	t.Helper()
	var all []*trust.Key
	for _, signer := range signers {
		all = append(all, &trust.Key{Verifier: signer.Verifier(), Producer: "orders",
			Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.order.*"}})
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, all...)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}
