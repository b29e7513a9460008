// Package keystest has fixed keys for tests, and the tests that every keys.Signer, keys.Identity,
// keys.KeyringFetch and trust.Refresher must pass. The private halves are derived from their names, so they
// protect nothing: never put one of these keys into a trust policy.
package keystest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"testing"

	"filippo.io/mldsa"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Signer is a signer of the producer. The same algorithm, producer and label give the same key at all times,
// and the same message the same signature.
func Signer(tb testing.TB, alg keys.Algorithm, producer, label string) *keys.LocalSigner {
	tb.Helper()
	s, err := keys.NewLocalSigner(private(tb, alg, producer, label), producer)
	if err != nil {
		tb.Fatal(err)
	}
	return s.Deterministic()
}

// Root is a root key. The same label gives the same key at all times.
func Root(tb testing.TB, label string) *trust.RootKey {
	tb.Helper()
	root, err := trust.NewRootKey(private(tb, keys.Ed25519, "root", label))
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

// Roots is version 1 of the roots, with these root keys.
func Roots(tb testing.TB, threshold int, roots ...*trust.RootKey) *trust.Roots {
	tb.Helper()
	var public []*keys.Verifier
	for _, root := range roots {
		public = append(public, root.Verifier())
	}
	r, err := trust.NewRoots(1, threshold, public...)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func private(tb testing.TB, alg keys.Algorithm, owner, label string) crypto.Signer {
	tb.Helper()
	seed := sha256.Sum256([]byte("sealbus/keystest/" + string(alg) + "\x00" + owner + "\x00" + label))
	var key crypto.Signer
	var err error
	switch alg {
	case keys.Ed25519:
		key = ed25519.NewKeyFromSeed(seed[:])
	case keys.MLDSA65:
		key, err = mldsa.NewPrivateKey(mldsa.MLDSA65(), seed[:])
	default:
		key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	}
	if err != nil {
		tb.Fatalf("label %q gives no key, choose another: %v", label, err)
	}
	return key
}
