package envelope_test

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
)

// The time that encrypting adds to Seal and to Open, with the content key at hand: plain and encrypted in
// turns.
func BenchmarkEncryptedSeal(b *testing.B) {
	each(b, func(b *testing.B, e *envelope.Encrypter, fields []string) {
		signer, ev := cast["orders"], benchmarkEvent(b, 1<<10)
		plain := &envelope.SealOptions{Audience: "central", Now: fixedNow}
		secret := &envelope.SealOptions{Audience: "central", Now: fixedNow, Encrypt: e, EncryptFields: fields}
		added(b, func(opts *envelope.SealOptions) {
			if _, err := envelope.Seal(b.Context(), ev, signer, opts); err != nil {
				b.Fatal(err)
			}
		}, plain, secret)
	})
}

func BenchmarkEncryptedOpen(b *testing.B) {
	each(b, func(b *testing.B, e *envelope.Encrypter, fields []string) {
		signer, ev := cast["orders"], benchmarkEvent(b, 1<<10)
		trust, opts := benchmarkTrust(b, signer)
		opts.Decrypter = benchmarkDecrypter
		plain := benchmarkSealed(b, signer, ev).JSON()
		sealed, err := envelope.Seal(b.Context(), ev, signer,
			&envelope.SealOptions{Audience: "central", Now: fixedNow, Encrypt: e, EncryptFields: fields})
		if err != nil {
			b.Fatal(err)
		}
		added(b, func(doc []byte) {
			if _, err := envelope.Open(b.Context(), doc, trust, opts); err != nil {
				b.Fatal(err)
			}
		}, plain, sealed.JSON())
	})
}

var benchmarkIdentity, _ = keys.GenerateIdentity(keys.X25519)
var benchmarkDecrypter, _ = envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(benchmarkIdentity)})

// each runs a benchmark for all of the data, and for one field of it.
func each(b *testing.B, run func(*testing.B, *envelope.Encrypter, []string)) {
	e, err := envelope.NewEncrypter(envelope.EncryptTo{Recipients: []*keys.Recipient{benchmarkIdentity.Recipient()}})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("data", func(b *testing.B) { run(b, e, nil) })
	b.Run("field", func(b *testing.B) { run(b, e, []string{"/0/amount"}) })
}

// added times one thing with and without encryption in turns, and reports what it adds.
func added[T any](b *testing.B, do func(T), plain, secret T) {
	b.ReportAllocs()
	var rounds [2][]float64
	for b.Loop() {
		for i, with := range [...]T{plain, secret} {
			rounds[i] = append(rounds[i], elapsed(func() { do(with) }))
		}
	}
	without, with := median(rounds[0]), median(rounds[1])
	b.ReportMetric(without, "plain-us/op")
	b.ReportMetric(with-without, "added-us/op")
}

// The time that a session key adds, with its statement known: the plain one and the delegated one in turns.
func BenchmarkDelegatedOpen(b *testing.B) {
	root := cast["es256"]
	session, err := session.Delegate(b.Context(), root,
		session.Scope{Sources: []string{"https://orders.example/*"}, Types: []string{"*"}}, time.Hour,
		&session.Options{Now: fixedNow})
	if err != nil {
		b.Fatal(err)
	}
	plain, ev := cast["orders"], benchmarkEvent(b, 1<<10)
	_, opts := benchmarkTrust(b, plain)
	trust := trusting(b, keyOf(plain, "https://orders.example/*"), keyOf(root, "https://orders.example/*"))
	sealed, err := envelope.Seal(b.Context(), ev, session,
		&envelope.SealOptions{Audience: "central", Now: fixedNow})
	if err != nil {
		b.Fatal(err)
	}
	added(b, func(doc []byte) {
		if _, err := envelope.Open(b.Context(), doc, trust, opts); err != nil {
			b.Fatal(err)
		}
	}, benchmarkSealed(b, plain, ev).JSON(), sealed.JSON())
}
