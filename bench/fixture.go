package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

const (
	keyID      = "orders-1"                // as the peers name the key
	sources    = "https://orders.example/" // of which the key may speak
	freshness  = 24 * time.Hour
	clockSkew  = 5 * time.Minute
	largest    = 1 << 20
	aroundData = 4 << 10 // an event has at most 1 MiB, so the largest data has a little less
)

// fixture is one event, key and all that the operations need.
type fixture struct {
	alg     keys.Algorithm
	size    int
	data    []byte
	ev      event.Event
	signer  keys.Signer
	private crypto.Signer
	trust   trust.Source
	opener  *envelope.Opener
	sealed  []byte
	pae     []byte
	sig     []byte
	sign    *operation // the primitive of sealing, and below that of opening
	verify  *operation
	parts   parts
}

// parts are what sealing and opening do, each alone. verify is that of keys.Verifier, for a hot key.
type parts struct{ sign, verify, hash *operation }

func newFixture(alg keys.Algorithm, size int) (*fixture, error) {
	f := &fixture{alg: alg, size: size, data: document(min(size, largest-aroundData))}
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
	f.trust, err = trust.NewBundle(trust.BundleOptions{Version: 1, Issued: time.Now()}, trusted(signer))
	if err != nil {
		return nil, err
	}
	if f.opener, err = envelope.NewOpener(f.trust, policy()); err != nil {
		return nil, err
	}
	if f.ev, err = newEvent(f.data); err != nil {
		return nil, err
	}
	f.sign = &operation{name: f.label("signature and SHA-256"), run: f.rawSign, primitive: true}
	f.verify = &operation{name: f.label("verification and SHA-256"), run: f.rawVerify, primitive: true}
	f.parts = f.newParts(signer)
	return f, f.seal()
}

func (f *fixture) newParts(signer *keys.LocalSigner) parts {
	verify := signer.Verifier().Verify
	// -compare builds this program with older libraries, too, which have no VerifyOften.
	type often interface {
		VerifyOften(message, sig []byte) bool
	}
	if v, ok := any(signer.Verifier()).(often); ok {
		verify = v.VerifyOften
	}
	return parts{
		sign: &operation{name: f.label("the signature alone"), run: func() {
			_, err := signer.Sign(context.Background(), f.pae)
			must(err == nil)
		}},
		verify: &operation{name: f.label("keys.Verifier alone"), run: func() {
			must(verify(f.pae, f.sig))
		}},
		hash: &operation{name: f.label("SHA-256 of the data alone"), run: func() {
			sum := sha256.Sum256(f.data)
			must(sum[0] != 1 || sum[1] != 2 || sum[2] != 3)
		}},
	}
}

func trusted(signer *keys.LocalSigner) *trust.Key {
	return &trust.Key{Verifier: signer.Verifier(), Producer: "orders", Sources: []string{sources + "*"},
		Types: []string{"com.example.*"}}
}

// policy is that of a usual consumer.
func policy() *envelope.Policy {
	return &envelope.Policy{MaxAge: freshness, Skew: clockSkew, Sources: []string{sources + "*"}}
}

func newEvent(data []byte) (event.Event, error) {
	ev := event.New()
	ev.SetID("0b2f6c1e-8d6a-4a53-9c07-0c9d9f0a2d11")
	ev.SetSource(sources + "eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(time.Now())
	return ev, ev.SetData("application/json", json.RawMessage(data))
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

// label names an operation. -compare finds the same operation of two programs by it.
func (f *fixture) label(what string) string {
	return fmt.Sprintf("%s, %s, %s", what, f.alg, sizeName(f.size))
}

func sizeName(size int) string {
	if size >= 1<<20 {
		return fmt.Sprintf("%d MiB", size>>20)
	}
	return fmt.Sprintf("%d KiB", size>>10)
}

// document is canonical JSON of about size bytes: an order with many lines.
func document(size int) []byte {
	b := []byte(`{"currency":"EUR","lines":[`)
	for i := 0; len(b) < size-120; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"amount":%d.25,"article":"A-%05d","description":"Schraube, verzinkt, M%d",`+
			`"gift":false}`, 10+i, i, i%20)
	}
	return append(b, `],"order":"o-1"}`...)
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

func (f *fixture) openEvent() { open(f.opener, f.sealed) }

func open(opener *envelope.Opener, sealed []byte) {
	_, err := opener.Open(context.Background(), envelope.Received{Body: sealed}, envelope.Step{})
	must(err == nil)
}
