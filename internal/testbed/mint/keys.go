package mint

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"

	"filippo.io/mldsa"

	"github.com/sealbus/sealbus/keys"
)

// SeededSigner is a signer whose key anybody can derive from its name: for vectors and demonstrations, where
// the same bytes must come out every time. Such a key protects nothing.
func SeededSigner(alg keys.Algorithm, producer, name string) *keys.LocalSigner {
	seed := sha256.Sum256([]byte("sealbus test key: " + name))
	var s *keys.LocalSigner
	var err error
	switch alg {
	case keys.ES256:
		var k *ecdsa.PrivateKey
		if k, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:]); err == nil {
			s, err = keys.NewLocalSigner(k, producer)
		}
	case keys.MLDSA65:
		var k *mldsa.PrivateKey
		if k, err = mldsa.NewPrivateKey(mldsa.MLDSA65(), seed[:]); err == nil {
			s, err = keys.NewLocalSigner(k, producer)
		}
	default:
		s, err = keys.NewLocalSigner(ed25519.NewKeyFromSeed(seed[:]), producer)
	}
	if err != nil {
		panic("mint: " + err.Error()) // a bad name, in our own code
	}
	return s.Deterministic()
}

// SeededIdentity is an encryption key that anybody can derive from its name, as that of a SeededSigner.
func SeededIdentity(curve keys.Curve, name string) *keys.LocalIdentity {
	seed := sha256.Sum256([]byte("sealbus test encryption key: " + name))
	on := ecdh.X25519()
	if curve == keys.P256 {
		on = ecdh.P256()
	}
	private, err := on.NewPrivateKey(seed[:])
	must(err)
	i, err := keys.NewLocalIdentity(private)
	must(err)
	return i
}
