package keystest

import (
	"crypto"
	"io"
	"testing"

	"github.com/sealbus/sealbus/keys"
)

// remote is a crypto.Signer of another type than the in-memory keys, as a hardware key is.
type remote struct{ inner crypto.Signer }

func (r remote) Public() crypto.PublicKey { return r.inner.Public() }
func (r remote) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return r.inner.Sign(random, digest, opts)
}

func TestLocalSignersConform(t *testing.T) {
	for name, open := range map[string]func(t testing.TB) keys.Signer{
		"Ed25519":              func(t testing.TB) keys.Signer { return Signer(t, keys.Ed25519, "orders", "a") },
		"ES256":                func(t testing.TB) keys.Signer { return Signer(t, keys.ES256, "orders", "a") },
		"ES256 randomised":     func(t testing.TB) keys.Signer { return randomised(t, private(t, keys.ES256, "orders", "a")) },
		"remote Ed25519":       func(t testing.TB) keys.Signer { return viaRemote(t, keys.Ed25519) },
		"remote ES256":         func(t testing.TB) keys.Signer { return viaRemote(t, keys.ES256) },
		"ML-DSA-65":            func(t testing.TB) keys.Signer { return Signer(t, keys.MLDSA65, "orders", "a") },
		"ML-DSA-65 randomised": func(t testing.TB) keys.Signer { return randomised(t, private(t, keys.MLDSA65, "orders", "a")) },
		"remote ML-DSA-65":     func(t testing.TB) keys.Signer { return viaRemote(t, keys.MLDSA65) },
	} {
		t.Run(name, func(t *testing.T) { TestSigner(t, open) })
	}
}

func viaRemote(t testing.TB, alg keys.Algorithm) keys.Signer {
	return randomised(t, remote{private(t, alg, "orders", "a")})
}

func randomised(t testing.TB, private crypto.Signer) keys.Signer {
	s, err := keys.NewLocalSigner(private, "orders")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Vectors that others publish from these keys depend on them.
func TestKeysAreFixed(t *testing.T) {
	if got := Signer(t, keys.Ed25519, "orders",
		"a").Verifier().KeyID(); got != "W_AEnyj3NZw78LO4dvKOL3ZaD-8JbRGHKCKplmwuNVQ" {
		t.Errorf("Ed25519: key ID %s", got)
	}
	if got := Signer(t, keys.ES256, "orders",
		"a").Verifier().KeyID(); got != "lS_b5Ge1ZzUH1ADQE90ckJOXxBQRBwzYchLuzDVSqBY" {
		t.Errorf("ES256: key ID %s", got)
	}
	if got := Root(t, "a").Verifier().KeyID(); got != "0Pqmg8r1IIgZKfVg7VhdoN68_XzHdrWGpnAg0vecc9c" {
		t.Errorf("root: key ID %s", got)
	}
}

func TestLocalIdentitiesConform(t *testing.T) {
	for name, open := range map[string]func(t testing.TB) keys.Identity{
		"X25519": func(t testing.TB) keys.Identity { return Identity(t, keys.X25519, "a") },
		"P-256":  func(t testing.TB) keys.Identity { return Identity(t, keys.P256, "a") },
	} {
		t.Run(name, func(t *testing.T) { TestIdentity(t, open) })
	}
}
