package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/go-jose/go-jose/v4"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// bench is one measured operation beside the primitive that it cannot do without.
type bench struct {
	name   string
	target float64 // the limit of the ratio, 0 = a peer, for comparison, below 0 = none
	run    func()
	raw    func()
}

// fixture is one event, key and all that the operations need.
type fixture struct {
	alg     keys.Algorithm
	size    int
	data    []byte
	ev      event.Event
	signer  keys.Signer
	private crypto.Signer
	trust   trust.Source
	sealed  []byte
	pae     []byte
	sig     []byte
	now     time.Time
}

func newFixture(alg keys.Algorithm, size int) (*fixture, error) {
	f := &fixture{alg: alg, size: size, now: time.Now(), data: document(size)}
	var err error
	switch alg {
	case keys.Ed25519:
		_, f.private, err = ed25519.GenerateKey(rand.Reader)
	default:
		f.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	signer, err := keys.NewLocalSigner(f.private, "orders")
	if err != nil {
		return nil, err
	}
	f.signer = signer
	f.trust, err = trust.NewBundle(trust.BundleOptions{Version: 1, Issued: f.now}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.*"},
	})
	if err != nil {
		return nil, err
	}
	f.ev = event.New()
	f.ev.SetID("0b2f6c1e-8d6a-4a53-9c07-0c9d9f0a2d11")
	f.ev.SetSource("https://orders.example/eu")
	f.ev.SetType("com.example.order.placed")
	f.ev.SetTime(f.now)
	if err := f.ev.SetData("application/json", f.data); err != nil {
		return nil, err
	}
	return f, f.seal()
}

// seal makes the message that opening is measured on, and finds the bytes that its signature is over.
func (f *fixture) seal() error {
	sealed, err := envelope.Seal(context.Background(), f.ev, f.signer, nil)
	if err != nil {
		return err
	}
	f.sealed = sealed.JSON()
	var wire struct{ Dssematerial []byte }
	var env struct{ Payload []byte }
	if err := json.Unmarshal(f.sealed, &wire); err != nil {
		return err
	}
	if err := json.Unmarshal(wire.Dssematerial, &env); err != nil {
		return err
	}
	f.pae = dsse.PAE("https://cloudevents.io/verifiability/dsse/v0.1", env.Payload)
	f.sig, err = f.signer.Sign(context.Background(), f.pae)
	return err
}

// document is canonical JSON of about size bytes: an order with many lines.
func document(size int) []byte {
	b := []byte(`{"currency":"EUR","lines":[`)
	for i := 0; len(b) < size-120; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b,
			`{"amount":%d.25,"article":"A-%05d","description":"Schraube, verzinkt, M%d","gift":false}`, 10+
				i, i, i%20)
	}
	return append(b, `],"order":"o-1"}`...)
}

func must(ok bool) {
	if !ok {
		panic("a measured operation failed")
	}
}

func (f *fixture) rawSign() {
	sum := sha256.Sum256(f.data)
	must(sum[0] != 1 || sum[1] != 2 || sum[2] != 3)
	switch private := f.private.(type) {
	case ed25519.PrivateKey:
		must(len(ed25519.Sign(private, f.pae)) == 64)
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(f.pae)
		_, _, err := ecdsa.Sign(rand.Reader, private, digest[:])
		must(err == nil)
	}
}

func (f *fixture) rawVerify() {
	sum := sha256.Sum256(f.data)
	must(sum[0] != 1 || sum[1] != 2 || sum[2] != 3)
	switch public := f.private.Public().(type) {
	case ed25519.PublicKey:
		must(ed25519.Verify(public, f.pae, f.sig))
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(f.pae)
		must(ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(f.sig[:32]),
			new(big.Int).SetBytes(f.sig[32:])))
	}
}

func (f *fixture) sealEvent() {
	_, err := envelope.Seal(context.Background(), f.ev, f.signer, nil)
	must(err == nil)
}

func (f *fixture) openEvent() {
	_, err := envelope.Open(context.Background(), f.sealed, f.trust,
		&envelope.Policy{MaxAge: time.Hour, Unsafe: envelope.Unsafe{AnySource: true}})
	must(err == nil)
}

// limit is the target for opening: how often it may take the time of the raw verification and one SHA-256 of
// the data.
func (f *fixture) limit() float64 {
	if f.size > 1<<10 {
		return 1.5
	}
	return 1.15
}

func (f *fixture) benches() []bench {
	label := func(op string) string { return fmt.Sprintf("%s, %s, %d KiB", op, f.alg, f.size>>10) }
	list := []bench{
		{label("Seal"), 1.15, f.sealEvent, f.rawSign},
		{label("Open"), f.limit(), f.openEvent, f.rawVerify},
	}
	if f.alg == keys.Ed25519 {
		list = append(list, f.batches(label)...)
	}
	return append(list, f.peers(label)...)
}

// peers sign and verify the data alone: they encode no event, bind no source, and check no time.
func (f *fixture) peers(label func(string) string) []bench {
	var list []bench
	alg := jose.EdDSA
	if f.alg == keys.ES256 {
		alg = jose.ES256
	}
	if signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: f.private}, nil); err == nil {
		jws, err := signer.Sign(f.data)
		must(err == nil)
		text, err := jws.CompactSerialize()
		must(err == nil)
		list = append(list,
			bench{label("go-jose sign, no event"), 0, func() {
				jws, err := signer.Sign(f.data)
				must(err == nil)
				_, err = jws.CompactSerialize()
				must(err == nil)
			}, f.rawSign},
			bench{label("go-jose verify, no event"), 0, func() {
				jws, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{alg})
				must(err == nil)
				got, err := jws.Verify(f.private.Public())
				must(err == nil && bytes.Equal(got, f.data))
			}, f.rawVerify})
	}
	if f.alg == keys.Ed25519 {
		list = append(list, f.dssePeer(label)...)
	}
	return list
}

// dsseKey is the DSSE library's view of an Ed25519 key.
type dsseKey struct{ private ed25519.PrivateKey }

func (k dsseKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.private, data), nil
}

func (k dsseKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.private.Public().(ed25519.PublicKey), data, sig) {
		return fmt.Errorf("bad signature")
	}
	return nil
}

func (k dsseKey) KeyID() (string, error)   { return "k", nil }
func (k dsseKey) Public() crypto.PublicKey { return k.private.Public() }

func (f *fixture) dssePeer(label func(string) string) []bench {
	key := dsseKey{f.private.(ed25519.PrivateKey)}
	signer, err := dsse.NewEnvelopeSigner(key)
	must(err == nil)
	verifier, err := dsse.NewEnvelopeVerifier(key)
	must(err == nil)
	env, err := signer.SignPayload(context.Background(), "application/json", f.data)
	must(err == nil)
	doc, err := json.Marshal(env)
	must(err == nil && len(base64.StdEncoding.EncodeToString(f.data)) > 0)
	return []bench{
		{label("DSSE library sign, no event"), 0, func() {
			env, err := signer.SignPayload(context.Background(), "application/json", f.data)
			must(err == nil)
			_, err = json.Marshal(env)
			must(err == nil)
		}, f.rawSign},
		{label("DSSE library verify, no event"), 0, func() {
			var env dsse.Envelope
			must(json.Unmarshal(doc, &env) == nil)
			_, err := verifier.Verify(context.Background(), &env)
			must(err == nil)
		}, f.rawVerify},
	}
}
