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
	"slices"
	"time"

	"filippo.io/edwards25519"
	"filippo.io/mldsa"

	"github.com/sealbus/sealbus/internal/edtable"
)

// Algorithm is a signature algorithm, by its JOSE name. It belongs to a key, never to a message.
type Algorithm string

// The algorithms of signing keys.
const (
	Ed25519 Algorithm = "Ed25519" // RFC 8032, RFC 9864; signature 64 bytes
	ES256   Algorithm = "ES256"   // ECDSA P-256 with SHA-256, RFC 7518 section 3.4; signature r||s, 64 bytes

	// MLDSA65 is ML-DSA-65 (FIPS 204) with an empty context, RFC 9964. A forger with a quantum computer cannot
	// break it. Its public key has 1,952 bytes and its signature 3,309.
	MLDSA65 Algorithm = "ML-DSA-65"
)

// Algorithms are the algorithms of signing keys, the default first.
func Algorithms() []Algorithm { return []Algorithm{Ed25519, ES256, MLDSA65} }

// PostQuantum reports whether a forger with a quantum computer cannot break the algorithm.
func (a Algorithm) PostQuantum() bool { return a == MLDSA65 }

// SignatureSize is the length of every signature of the algorithm, in bytes; 0 = the algorithm is unknown.
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

// Signer makes signatures. Implementations are safe for concurrent use. One that makes no calls of another
// machine may say so by a method InMemory() bool: a producer.Producer then seals several events at a time.
// A type that embeds such a signer says so, too: give it a method of its own if its Sign makes calls.
type Signer interface {
	// Verifier is the public half.
	Verifier() *Verifier
	// Producer is the name of the producer that owns the key, as in the trust policy.
	Producer() string
	// Sign signs message (the whole message, not a digest).
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// NewVerifier takes an ed25519.PublicKey, a P-256 *ecdsa.PublicKey or an ML-DSA-65 *mldsa.PublicKey, and
// keeps a copy. Signatures of some keys do not tell who made them, so it refuses a point that is not on the
// curve, that is of small order or that is not encoded canonically, and an ML-DSA key that is zero.
func NewVerifier(public crypto.PublicKey) (*Verifier, error) {
	v := &Verifier{}
	switch k := public.(type) {
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("keys: an Ed25519 public key has 32 bytes, not %d", len(k))
		}
		if err := checkEd25519(k); err != nil {
			return nil, err
		}
		own := bytes.Clone(k)
		v.alg, v.public, v.point = Ed25519, ed25519.PublicKey(own), own
	case *ecdsa.PublicKey:
		if k == nil || k.Curve != elliptic.P256() {
			return nil, errors.New("keys: an ECDSA key must be on P-256")
		}
		point, err := k.Bytes()
		if err != nil {
			return nil, errors.New("keys: the ECDSA key is not a point of P-256")
		}
		own, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			return nil, errors.New("keys: the ECDSA key is not a point of P-256")
		}
		v.alg, v.public, v.point = ES256, own, point
	case *mldsa.PublicKey:
		if k == nil {
			return nil, errors.New("keys: no ML-DSA public key")
		}
		point := k.Bytes()
		if len(point) != mldsa.MLDSA65PublicKeySize {
			return nil, fmt.Errorf("keys: an ML-DSA-65 public key has %d bytes, not %d",
				mldsa.MLDSA65PublicKeySize, len(point))
		}
		if len(bytes.TrimLeft(point[mldsaSeedSize:], "\x00")) == 0 { // any short vector would be a signature
			return nil, errors.New("keys: the ML-DSA-65 key is zero")
		}
		v.alg, v.public, v.point = MLDSA65, k, point // k is immutable
	default:
		if public == nil {
			return nil, errors.New("keys: no public key")
		}
		return nil, fmt.Errorf("keys: %T is not supported: use Ed25519, ECDSA P-256 or ML-DSA-65", public)
	}
	v.id = thumbprint(v.ThumbprintJWK())
	return v, nil
}

// checkEd25519 refuses 32 bytes that are no point, a second encoding of a point, and the points of small
// order. RFC 8032 section 5.1.3 has one encoding: y is below p = 2^255-19, and an x of 0 has no sign. x is 0
// only where y is 1 or p-1. Point.SetBytes checks neither. To encode the point again would cost an inversion,
// which takes as long as SetBytes.
func checkEd25519(k []byte) error {
	y := [ed25519.PublicKeySize]byte(k)
	y[31] &= 0x7f
	isReduced := y[0] < 0xed || y[31] < 0x7f || bytes.Count(y[1:31], []byte{0xff}) < 30
	small, hasSign := slices.Index(smallOrderY[:], string(y[:])), k[31] != y[31]
	switch _, err := new(edwards25519.Point).SetBytes(k); {
	case err != nil, !isReduced, hasSign && (small == 0 || small == 1):
		return errors.New("keys: the Ed25519 key is not a canonically encoded point")
	case small >= 0:
		return errors.New("keys: the Ed25519 key is a point of small order")
	}
	return nil
}

// smallOrderY are the y of the eight points of small order on edwards25519: 1 of the identity, p-1 of order
// 2, 0 of the two of order 4, and two y of the four of order 8. Two points of one y differ in the sign of x.
var smallOrderY = [...]string{
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
	"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
}

// mldsaSeedSize is how much of an ML-DSA public key is the seed of its matrix. The rest is the vector t1
// (FIPS 204 algorithm 22).
const mldsaSeedSize = 32

// KeyID is the key's ID: its JWK thumbprint (RFC 7638), SHA-256, base64url without padding.
func (v *Verifier) KeyID() string { return v.id }

// Algorithm is the one algorithm that this key verifies.
func (v *Verifier) Algorithm() Algorithm { return v.alg }

// Public is the key as an ed25519.PublicKey, *ecdsa.PublicKey or *mldsa.PublicKey (filippo.io/mldsa), not
// shared with the Verifier.
func (v *Verifier) Public() crypto.PublicKey {
	switch v.alg {
	case Ed25519:
		return ed25519.PublicKey(bytes.Clone(v.point))
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

// VerifyOften is Verify for a trusted key that signs many messages: same verdict, less time. After eight
// Ed25519 signatures of a key have verified, the process keeps multiples of its public key, 30 KiB, for at
// most 64 keys. The next verifications then take about 0.4 of the time. One more key takes the place of a key
// that is idle while 16 of its signatures verify. It is Verify in FIPS 140-3 mode, and for other algorithms.
//
// Call it for keys that a forger cannot choose, and that live for long: not for session keys.
func (v *Verifier) VerifyOften(message, sig []byte) bool {
	if k, ok := v.public.(ed25519.PublicKey); ok {
		return tables.Verify(k, message, sig)
	}
	return v.Verify(message, sig)
}

// tables are those of the whole process. They change no verdict, only how long it takes.
var tables = edtable.NewCache(time.Now)
