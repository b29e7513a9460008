package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/mldsa"

	"github.com/sealbus/sealbus/internal/ecdsasig"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
)

// redacted is embedded in types that hold a secret. They print, log and marshal as its text.
type redacted = redact.Printed

// LocalSigner is a Signer whose private key is in memory, or behind a crypto.Signer. It prints, logs and
// marshals as redacted.
type LocalSigner struct {
	redacted
	verifier      *Verifier
	producer      string
	deterministic bool
	private       redact.Hidden[crypto.Signer]
}

var _ Signer = (*LocalSigner)(nil)

// GenerateSigner makes a new private key. The producer is the name that the trust policy has, see
// CheckProducer.
func GenerateSigner(alg Algorithm, producer string) (*LocalSigner, error) {
	key, err := generate(alg)
	if err != nil {
		return nil, err
	}
	return NewLocalSigner(key, producer)
}

func generate(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case MLDSA65:
		return mldsa.GenerateKey(mldsa.MLDSA65())
	}
	return nil, fmt.Errorf("keys: no algorithm %q: use %s, %s or %s", keydoc.Clip(string(alg)), Ed25519,
		ES256, MLDSA65)
}

// NewLocalSigner signs with private: an ed25519.PrivateKey, *ecdsa.PrivateKey on P-256 or *mldsa.PrivateKey
// of ML-DSA-65 (filippo.io/mldsa), all of which are copied, or another crypto.Signer with such a public key.
func NewLocalSigner(private crypto.Signer, producer string) (*LocalSigner, error) {
	if err := CheckProducer(producer); err != nil {
		return nil, err
	}
	return newLocalSigner(private, producer)
}

func newLocalSigner(private crypto.Signer, producer string) (*LocalSigner, error) {
	if err := nilcheck.Check("keys: the private key", private); err != nil {
		return nil, err
	}
	own, err := ownKey(private)
	if err != nil {
		return nil, err
	}
	v, err := NewVerifier(own.Public())
	if err != nil {
		return nil, err
	}
	return &LocalSigner{
		redacted: redact.Key("LocalSigner", v.id), verifier: v, producer: producer, private: redact.Hide(own),
	}, nil
}

// ownKey copies a key that is in memory. It first checks that the two halves belong together, because signing
// with a foreign public half reveals an Ed25519 private key.
func ownKey(private crypto.Signer) (crypto.Signer, error) {
	switch k := private.(type) {
	case nil:
		return nil, errors.New("keys: no private key")
	case ed25519.PrivateKey:
		return ownEd25519(k)
	case *ed25519.PrivateKey:
		return ownEd25519(*k)
	case *ecdsa.PrivateKey:
		return ownECDSA(k)
	case *mldsa.PrivateKey:
		return ownMLDSA(k)
	}
	return private, nil
}

func ownEd25519(k ed25519.PrivateKey) (crypto.Signer, error) {
	if len(k) != ed25519.PrivateKeySize {
		return nil, errors.New("keys: an Ed25519 private key has 64 bytes")
	}
	own := ed25519.NewKeyFromSeed(k.Seed())
	if !own.Equal(k) {
		return nil, errors.New("keys: the two halves of the Ed25519 key do not belong together")
	}
	return own, nil
}

func ownECDSA(k *ecdsa.PrivateKey) (crypto.Signer, error) {
	if k.Curve != elliptic.P256() {
		return nil, errors.New("keys: an ECDSA key must be on P-256")
	}
	raw, err := k.Bytes()
	if err != nil {
		return nil, errors.New("keys: the ECDSA private key is not valid")
	}
	own, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil || !own.Equal(k) {
		return nil, errors.New("keys: the two halves of the ECDSA key do not belong together")
	}
	return own, nil
}

// ownMLDSA makes the key again from its seed. That also refuses other parameter sets and the zero key.
func ownMLDSA(k *mldsa.PrivateKey) (crypto.Signer, error) {
	if k == nil {
		return nil, errors.New("keys: no private key")
	}
	seed := k.Bytes()
	defer clear(seed)
	own, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), seed)
	if err != nil || !own.Equal(k) {
		return nil, errors.New("keys: an ML-DSA key must be of ML-DSA-65")
	}
	return own, nil
}

// Deterministic is the same signer with deterministic ECDSA (RFC 6979) and ML-DSA (FIPS 204 section 3.4), for
// reproducible vectors. It changes nothing for Ed25519, which is always deterministic, or for a crypto.Signer
// that ignores a nil random source.
func (s *LocalSigner) Deterministic() *LocalSigner {
	d := *s
	d.deterministic = true
	return &d
}

// Verifier is the public half.
func (s *LocalSigner) Verifier() *Verifier { return s.verifier }

// Producer is the name of the producer that owns the key.
func (s *LocalSigner) Producer() string { return s.producer }

// InMemory reports whether the private key is in memory. It is not if a crypto.Signer of another type holds
// it, which may call another machine for each signature.
func (s *LocalSigner) InMemory() bool {
	if s.private == nil {
		return false // the zero LocalSigner has no key
	}
	switch s.private().(type) {
	case ed25519.PrivateKey, *ecdsa.PrivateKey, *mldsa.PrivateKey:
		return true
	}
	return false
}

// Sign signs message.
func (s *LocalSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sig, err := s.sign(message)
	if err != nil {
		return nil, fmt.Errorf("keys: signing with %s: %w", s.verifier.id, err)
	}
	return sig, nil
}

func (s *LocalSigner) sign(message []byte) ([]byte, error) {
	key := s.private()
	if s.verifier.alg == ES256 {
		return s.signES256(message)
	}
	if k, ok := key.(*mldsa.PrivateKey); ok && s.deterministic {
		return k.SignDeterministic(message, nil)
	}
	return key.Sign(rand.Reader, message, crypto.Hash(0)) // Ed25519 and ML-DSA sign the message itself
}

func (s *LocalSigner) signES256(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	random := rand.Reader
	if s.deterministic {
		random = nil // crypto/ecdsa then signs by RFC 6979
	}
	der, err := s.private().Sign(random, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return ecdsasig.RawFromDER(der)
}

// ParsePrivateJWK reads a private signing key (RFC 8037 section 2, RFC 7518 section 6.2.2, RFC 9964 section
// 3). The public half must be present and belong to it.
func ParsePrivateJWK(doc []byte, producer string) (*LocalSigner, error) {
	if err := CheckProducer(producer); err != nil {
		return nil, err
	}
	k, err := parseJWK(doc)
	if err != nil {
		return nil, explainedPrivateJWK(doc, err)
	}
	s, err := k.signer(producer)
	return s, explainedPrivateJWK(doc, err)
}

func (k *jwk) signer(producer string) (*LocalSigner, error) {
	v, err := k.verifier()
	if err != nil {
		return nil, err
	}
	key, err := k.privateKey(v.alg)
	if err != nil {
		return nil, err
	}
	s, err := newLocalSigner(key, producer)
	if err != nil || s.verifier.KeyID() != v.KeyID() {
		return nil, fmt.Errorf("keys: JWK: %q does not belong to the public key", k.private)
	}
	return s, nil
}

// explainedPrivateJWK is the error of reading a private JWK. It quotes nothing of the JWK.
func explainedPrivateJWK(doc []byte, err error) error {
	if err == nil {
		return nil
	}
	err = keydoc.Unquoted(err)
	better := keydoc.ExplainedPrivate(doc, err, "one private JWK", filekind.PrivateJWK, filekind.JWK)
	if better == err {
		return err
	}
	return fmt.Errorf("keys: %w", better)
}

// privateMember is the name of the private member in the JWK of such a key. Its value has 32 bytes.
func privateMember(alg Algorithm) string {
	if alg == MLDSA65 {
		return "priv"
	}
	return "d"
}

func (k *jwk) privateKey(alg Algorithm) (crypto.Signer, error) {
	name := privateMember(alg)
	if k.private != name {
		return nil, fmt.Errorf("keys: JWK: no private key (member %q)", name)
	}
	if len(k.d) != scalarSize {
		return nil, fmt.Errorf("keys: JWK: %q has 32 bytes", name)
	}
	switch alg {
	case Ed25519:
		return ed25519.NewKeyFromSeed(k.d), nil
	case MLDSA65:
		return mldsa.NewPrivateKey(mldsa.MLDSA65(), k.d)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.d)
	if err != nil {
		return nil, errors.New(`keys: JWK: "d" is not a P-256 private key`)
	}
	return key, nil
}

// UnsafePrivateJWK is the private key as a JWK in canonical JSON. Unsafe because the holder of these bytes
// can sign as the producer: keep them in a Keyring. It fails for a crypto.Signer that does not give its key
// out.
func (s *LocalSigner) UnsafePrivateJWK() ([]byte, error) {
	var d []byte
	switch k := s.private().(type) {
	case ed25519.PrivateKey:
		d = k.Seed()
	case *ecdsa.PrivateKey:
		d, _ = k.Bytes() // checked in ownECDSA
	case *mldsa.PrivateKey:
		d = k.Bytes()
	default:
		return nil, fmt.Errorf("keys: the private half of %s cannot be exported", s.verifier.id)
	}
	defer clear(d)
	return s.verifier.appendJWK(make([]byte, 0, maxPrivateJWK), d), nil // growing would leave copies behind
}

// maxPrivateJWK is more bytes than a private JWK of ours has.
const maxPrivateJWK = 4096
