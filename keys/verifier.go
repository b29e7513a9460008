package keys

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	"filippo.io/edwards25519"
	"filippo.io/mldsa"
)

// Algorithm is a signature algorithm, by its JOSE name. It belongs to a key, never to a message.
type Algorithm string

// The algorithms of signing keys.
const (
	Ed25519 Algorithm = "Ed25519" // RFC 8032, RFC 9864; signature 64 bytes
	ES256   Algorithm = "ES256"   // ECDSA P-256 with SHA-256, RFC 7518 section 3.4; signature r||s, 64 bytes

	// MLDSA65 is ML-DSA-65 (FIPS 204) with an empty context, RFC 9964: a forger with a quantum computer cannot
	// break it. Its public key has 1,952 bytes and its signature 3,309.
	MLDSA65 Algorithm = "ML-DSA-65"
)

// Algorithms are the algorithms of signing keys, the default first.
func Algorithms() []Algorithm { return []Algorithm{Ed25519, ES256, MLDSA65} }

// PostQuantum reports whether signatures of the algorithm hold against a forger with a quantum computer.
func (a Algorithm) PostQuantum() bool { return a == MLDSA65 }

// SignatureSize is the length of every signature of the algorithm, in bytes; 0 = no algorithm of ours.
func (a Algorithm) SignatureSize() int {
	switch a {
	case Ed25519, ES256:
		return signatureSize
	case MLDSA65:
		return mldsa.MLDSA65SignatureSize
	}
	return 0
}

const (
	signatureSize = 64 // of Ed25519 and of raw ES256 alike
	scalarSize    = 32 // r and s of P-256
)

// Verifier is the public half of a signing key. It is immutable and safe for concurrent use.
type Verifier struct {
	alg    Algorithm
	id     string
	public crypto.PublicKey // ed25519.PublicKey, *ecdsa.PublicKey or *mldsa.PublicKey
	point  []byte           // Ed25519: 32 bytes; P-256: the uncompressed point; ML-DSA-65: 1,952 bytes
}

// Signer makes signatures. Implementations are safe for concurrent use.
type Signer interface {
	// Verifier is the public half.
	Verifier() *Verifier
	// Producer is the name of the producer that this key speaks for, as the trust policy has it.
	Producer() string
	// Sign signs message (the whole message, not a digest).
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// NewVerifier takes an ed25519.PublicKey, a P-256 *ecdsa.PublicKey or an ML-DSA-65 *mldsa.PublicKey, which is
// copied. It refuses a point that is not on the curve, is encoded in another than the canonical way, or is of
// small order, and an ML-DSA key that is zero: the signatures of such a key say nothing about who made them.
func NewVerifier(public crypto.PublicKey) (*Verifier, error) {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return newEd25519Verifier(k)
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return nil, errors.New("keys: an ECDSA key must be on P-256")
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, errors.New("keys: the ECDSA key is not a point of P-256")
		}
		return newES256Verifier(point)
	case *mldsa.PublicKey:
		if k == nil {
			return nil, errors.New("keys: no ML-DSA public key")
		}
		return newMLDSA65Verifier(k.Bytes())
	}
	return nil, fmt.Errorf("keys: %T is not supported: use Ed25519, ECDSA P-256 or ML-DSA-65", public)
}

func newEd25519Verifier(key []byte) (*Verifier, error) {
	if len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("keys: an Ed25519 public key has 32 bytes, not %d", len(key))
	}
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil || string(p.Bytes()) != string(key) {
		return nil, errors.New("keys: the Ed25519 key is not a canonically encoded point")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, errors.New("keys: the Ed25519 key is a point of small order")
	}
	own := ed25519.PublicKey(append([]byte(nil), key...))
	return withID(&Verifier{alg: Ed25519, public: own, point: own}), nil
}

func newES256Verifier(point []byte) (*Verifier, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("keys: the ECDSA key is not a point of P-256")
	}
	return withID(&Verifier{alg: ES256, public: k, point: append([]byte(nil), point...)}), nil
}

// mldsaSeedSize is how much of an ML-DSA public key is the seed of its matrix; the rest is the vector t1
// (FIPS 204 algorithm 22).
const mldsaSeedSize = 32

func newMLDSA65Verifier(key []byte) (*Verifier, error) {
	if len(key) != mldsa.MLDSA65PublicKeySize {
		return nil, fmt.Errorf("keys: an ML-DSA-65 public key has %d bytes, not %d", mldsa.MLDSA65PublicKeySize, len(key))
	}
	if len(bytes.TrimLeft(key[mldsaSeedSize:], "\x00")) == 0 { // any short vector is a signature then
		return nil, errors.New("keys: the ML-DSA-65 key is zero")
	}
	k, err := mldsa.NewPublicKey(mldsa.MLDSA65(), key)
	if err != nil {
		return nil, errors.New("keys: not an ML-DSA-65 public key")
	}
	return withID(&Verifier{alg: MLDSA65, public: k, point: bytes.Clone(key)}), nil
}

// withID derives the key ID: the SHA-256 JWK thumbprint (RFC 7638), base64url.
func withID(v *Verifier) *Verifier {
	v.id = thumbprint(v.ThumbprintJWK())
	return v
}

// KeyID is the key's ID: its JWK thumbprint (RFC 7638), SHA-256, base64url without padding.
func (v *Verifier) KeyID() string { return v.id }

// Algorithm is the one algorithm that this key verifies.
func (v *Verifier) Algorithm() Algorithm { return v.alg }

// Public is the key as an ed25519.PublicKey, *ecdsa.PublicKey or *mldsa.PublicKey (filippo.io/mldsa), not
// shared with the Verifier.
func (v *Verifier) Public() crypto.PublicKey {
	switch v.alg {
	case Ed25519:
		return ed25519.PublicKey(append([]byte(nil), v.point...))
	case MLDSA65:
		return v.public // immutable
	}
	k, _ := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), v.point) // parsed before
	return k
}

// Verify reports whether sig, in the form that goes over the wire, is this key's signature of message.
func (v *Verifier) Verify(message, sig []byte) bool {
	if len(sig) != v.alg.SignatureSize() {
		return false
	}
	switch k := v.public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		r, s := new(big.Int).SetBytes(sig[:scalarSize]), new(big.Int).SetBytes(sig[scalarSize:])
		return ecdsa.Verify(k, digest[:], r, s)
	case *mldsa.PublicKey:
		return mldsa.Verify(k, message, sig, nil) == nil
	}
	return false
}
