package keystest

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/keys"
)

// Identity is an identity on the curve. The same curve and label give the same key at all times.
func Identity(tb testing.TB, curve keys.Curve, label string) *keys.LocalIdentity {
	tb.Helper()
	on := ecdh.X25519()
	if curve == keys.P256 {
		on = ecdh.P256()
	}
	seed := sha256.Sum256([]byte("sealbus/keystest/identity\x00" + label))
	private, err := on.NewPrivateKey(seed[:])
	if err != nil {
		tb.Fatalf("label %q gives no key, choose another: %v", label, err)
	}
	i, err := keys.NewLocalIdentity(private)
	if err != nil {
		tb.Fatal(err)
	}
	return i
}

// TestIdentity runs the tests that every keys.Identity must pass. It calls open once for each case. open may
// return the same identity each time.
func TestIdentity(t *testing.T, open func(t testing.TB) keys.Identity) {
	t.Run("recipient", func(t *testing.T) { testRecipient(t, open(t)) })
	t.Run("agrees", func(t *testing.T) { testAgrees(t, open(t)) })
	t.Run("refuses", func(t *testing.T) { testRefusesPeers(t, open(t)) })
	t.Run("cancelled", func(t *testing.T) { testAgreeingCancelled(t, open(t)) })
	t.Run("concurrent", func(t *testing.T) { testAgreesConcurrently(t, open(t)) })
}

func testRecipient(t *testing.T, i keys.Identity) {
	r := i.Recipient()
	again, err := keys.ParseRecipientJWK(r.JWK())
	if err != nil || again.KeyID() != r.KeyID() {
		t.Errorf("key ID %s is not that of its JWK %s: %v", r.KeyID(), r.JWK(), err)
	}
	if again = i.Recipient(); r.KeyID() != again.KeyID() {
		t.Errorf("the recipient changes: %s, then %s", r.KeyID(), again.KeyID())
	}
	back, err := keys.ParseRecipientJWK(r.JWK())
	if err != nil || back.KeyID() != r.KeyID() || !back.PublicKey().Equal(r.PublicKey()) {
		t.Errorf("the public JWK does not give the same key: %v", err)
	}
}

// peer is a new key on the identity's curve.
func peer(t *testing.T, i keys.Identity) *ecdh.PrivateKey {
	t.Helper()
	key, err := i.Recipient().PublicKey().Curve().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// testAgrees: both sides get the same secret, each time in new memory.
func testAgrees(t *testing.T, i keys.Identity) {
	one := peer(t, i)
	want, err := one.ECDH(i.Recipient().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := i.ECDH(context.Background(), one.PublicKey())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("the two sides do not agree: %v", err)
		}
		clear(got)
	}
	if other, err := i.ECDH(context.Background(), peer(t, i).PublicKey()); err != nil ||
		bytes.Equal(other, want) {
		t.Errorf("another peer has the same secret, or none: %v", err)
	}
}

func testRefusesPeers(t *testing.T, i keys.Identity) {
	for name, key := range map[string]*ecdh.PublicKey{"none": nil, "another curve": otherCurve(t, i),
		"small order": smallOrder(t)} {
		if secret, err := i.ECDH(context.Background(), key); err == nil || secret != nil {
			t.Errorf("%s: accepted, or a secret beside an error: %v", name, err)
		}
	}
}

func otherCurve(t *testing.T, i keys.Identity) *ecdh.PublicKey {
	if i.Recipient().Curve() == keys.P256 {
		return Identity(t, keys.X25519, "peer").Recipient().PublicKey()
	}
	return Identity(t, keys.P256, "peer").Recipient().PublicKey()
}

// smallOrder is a point of X25519 with which every private key agrees on zeros. P-256 has no such point, and
// for it this is a point on another curve.
func smallOrder(t *testing.T) *ecdh.PublicKey {
	t.Helper()
	key, err := ecdh.X25519().NewPublicKey(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func testAgreeingCancelled(t *testing.T, i keys.Identity) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if secret, err := i.ECDH(ctx, peer(t, i).PublicKey()); err == nil || secret != nil {
		t.Errorf("ECDH ignores a context that is cancelled, or gives a secret beside an error: %v", err)
	}
}

func testAgreesConcurrently(t *testing.T, i keys.Identity) {
	var wg sync.WaitGroup
	for range 16 {
		one := peer(t, i)
		wg.Go(func() {
			want, err := one.ECDH(i.Recipient().PublicKey())
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := i.ECDH(context.Background(), one.PublicKey()); err != nil ||
				!bytes.Equal(got, want) {
				t.Errorf("the two sides do not agree: %v", err)
			}
		})
	}
	wg.Wait()
}
