package keys

import (
	"crypto"
	"crypto/ed25519"
	"io"
	"testing"
)

// opaque is a crypto.Signer that keeps its key to itself.
type opaque struct{ inner crypto.Signer }

func (o opaque) Public() crypto.PublicKey { return o.inner.Public() }
func (o opaque) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return o.inner.Sign(r, digest, opts)
}

func (s *LocalSigner) mustSeed(t *testing.T) []byte {
	k, ok := s.private().(ed25519.PrivateKey)
	if !ok {
		t.Fatal("not an Ed25519 key")
	}
	return k.Seed()
}
