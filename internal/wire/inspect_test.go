package wire_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// sealed is an event with a value of every kind, and the trust that verifies it.
func sealed(t testing.TB) (*envelope.Sealed, *trust.Bundle) {
	t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	check(t, err)
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://shop.example/eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(now.Add(-time.Minute + 250*time.Millisecond))
	ev.SetExtension("tenant", "acme")
	ev.SetExtension("vip", true)
	ev.SetExtension("sampledrate", 5)
	ev.SetExtension("traceparent", "00-1")
	check(t, ev.SetData("application/json", []byte(`{"total":12.5,"item":"chair"}`)))
	s, err := envelope.Seal(t.Context(), ev, signer,
		&envelope.SealOptions{Now: func() time.Time { return now }})
	check(t, err)
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "shop", Sources: []string{"https://shop.example/*"},
		Types: []string{"*"},
	})
	check(t, err)
	return s, bundle
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Inspect tells without a key which data is encrypted, and for which recipients. Encrypted data that no
// consumer could read is a problem.
func TestInspectEncryption(t *testing.T) {
	identity, err := keys.GenerateIdentity(keys.X25519)
	check(t, err)
	to, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{identity.Recipient()}})
	check(t, err)
	signer, err := keys.GenerateSigner(keys.Ed25519, "shop")
	check(t, err)
	isTo := func(list []jwe.WrappedKey) bool {
		return len(list) == 1 && list[0].Alg == jwe.AlgECDH && list[0].KeyID == identity.Recipient().KeyID()
	}
	for name, fields := range map[string][]string{"whole": nil, "fields": {"/item"}} {
		ev := event.New()
		ev.SetID("o-1")
		ev.SetSource("https://shop.example/eu")
		ev.SetType("com.example.order.placed")
		check(t, ev.SetData("application/json", []byte(`{"total":12.5,"item":"chair"}`)))
		s, err := envelope.Seal(t.Context(), ev, signer,
			&envelope.SealOptions{Encrypt: to, EncryptFields: fields, Now: func() time.Time { return now }})
		check(t, err)
		p, err := wire.Inspect(s.JSON())
		check(t, err)
		e := p.Encryption
		if e == nil || (e.Fields == nil) != (fields == nil) || !slices.Equal(e.Fields, fields) ||
			!e.Committed || !isTo(e.Recipients) || len(p.Problems) > 0 {
			t.Errorf("%s: %+v, %v", name, e, p.Problems)
		}
		p, err = wire.Inspect(bytes.ReplaceAll(s.JSON(), []byte("encrypted_key"), []byte("encrypted_kex")))
		check(t, err)
		if e := p.Encryption; e == nil || e.Problem == "" || len(e.Recipients) > 0 ||
			!slices.Contains(p.Problems, e.Problem) {
			t.Errorf("%s, broken: %+v, %v", name, e, p.Problems)
		}
	}
	s, _ := sealed(t)
	if p, err := wire.Inspect(s.JSON()); err != nil || p.Encryption != nil {
		t.Errorf("not encrypted: %+v, %v", p.Encryption, err)
	}
}

func TestInspect(t *testing.T) {
	s, _ := sealed(t)
	p, err := wire.Inspect(s.JSON())
	check(t, err)
	if p.Layout != wire.LayoutPlain || p.Payload == nil || p.Payload.Profile.Producer != "shop" ||
		len(p.Signatures) != 1 || p.Signatures[0].KeyID != s.KeyIDs()[0] {
		t.Errorf("%+v", p)
	}
	if p.Core != wire.FitExact || p.Extensions != wire.FitExact || len(p.Problems) > 0 {
		t.Errorf("core %s, extensions %s, %v", p.Core, p.Extensions, p.Problems)
	}
}

// Where Open finds an event modified or unsigned, Inspect must see a problem. Where Open accepts, it must see
// none.
func TestInspectAgreesWithOpen(t *testing.T) {
	s, bundle := sealed(t)
	random := rand.New(rand.NewPCG(1, 2))
	seen := map[envelope.Reason]int{}
	for range cases.Of(20_000) {
		doc := mutate(random, s.JSON())
		_, err := envelope.Open(t.Context(), doc, bundle,
			&envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
		reason := envelope.ReasonOf(err)
		seen[reason]++
		p, inspectErr := wire.Inspect(doc)
		bad := inspectErr != nil || len(p.Problems) > 0
		switch reason {
		case "":
			if bad {
				t.Fatalf("opened, but %v %+v\n%s", inspectErr, p, doc)
			}
		case envelope.ReasonModified, envelope.ReasonUnsigned:
			if !bad {
				t.Fatalf("%s, but no problem is seen\n%s", reason, doc)
			}
		}
	}
	for _, reason := range []envelope.Reason{"", envelope.ReasonModified, envelope.ReasonMalformed,
		envelope.ReasonBadSignature, envelope.ReasonUnknownKey} {
		if seen[reason] == 0 {
			t.Errorf("no mutation ended in %q: %v", reason, seen)
		}
	}
}

// The same where hops add members to a detail, in both layouts: with the list of a consumer and without one.
func TestInspectAgreesWithOpenOnAddedMembers(t *testing.T) {
	s, bundle := sealed(t)
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		entry, err := s.EventBridge(layout)
		check(t, err)
		for _, ignore := range [][]string{{}, {"_datadog"}, {"_datadog", "_x"}} {
			for _, added := range []string{``, `"_datadog":{},`, `"_x":1,`, `"_x":1,"_datadog":[1e400],`,
				`"Data":1,`, `"ID":1,`, `"Tenant":"x",`, `"_datadog":{"a":1,"a":1},`,
				`"_datadog":1,"_datadog":2,`, `"item":1,`} {
				detail := "{" + added + string(entry.Detail[1:])
				doc := mint.Delivery(entry.Source, entry.DetailType, "111122223333", detail).String()
				opener, err := envelope.NewOpener(bundle, &envelope.Policy{
					IgnoreMembers: ignore, Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true},
				})
				if err != nil {
					t.Fatal(err)
				}
				opened, err := opener.Open(t.Context(),
					envelope.Received{Body: []byte(doc), EventBridge: true}, envelope.Step{})
				p, inspectErr := wire.Inspect([]byte(doc), ignore...)
				bad := inspectErr != nil || len(p.Problems) > 0
				if bad != (err != nil) {
					t.Errorf("layout %d, ignoring %q, added %s: open says %v, inspect %v %+v", layout, ignore,
						added, err, inspectErr, p)
				}
				if err == nil && !slices.Equal(wire.ReportedMembers(p.Ignored), opened.Ignored) {
					t.Errorf("layout %d, ignoring %q, added %s: %q and %q", layout, ignore, added, p.Ignored,
						opened.Ignored)
				}
			}
		}
	}
}

// mutate changes a byte, swaps two, or cuts or repeats a piece.
func mutate(random *rand.Rand, doc []byte) []byte {
	doc = bytes.Clone(doc)
	i, j := random.IntN(len(doc)), random.IntN(len(doc))
	switch random.IntN(5) {
	case 0:
		doc[i] ^= 1 << random.IntN(8)
	case 1:
		doc[i] = ` ",:{}[]0aA=\`[random.IntN(13)]
	case 2:
		doc[i], doc[j] = doc[j], doc[i]
	case 3:
		doc = append(doc[:min(i, j)], doc[min(i, j)+random.IntN(3):]...)
	case 4:
		doc = bytes.Replace(doc, []byte{','}, []byte(", "), 1+random.IntN(3))
	}
	return doc
}

// The seeds are in testdata/fuzz.
func FuzzInspect(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := wire.Inspect(doc)
		if err != nil {
			return
		}
		_, _ = p.SignedNames(), p.UnsignedNames()
		if p.Payload == nil && len(p.Problems) == 0 {
			t.Error("no payload, and no problem")
		}
	})
}
