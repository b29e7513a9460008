package keys

import (
	"crypto/ecdh"
	"errors"
	"fmt"
	"slices"

	"filippo.io/edwards25519/field"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// Curve is the curve of an encryption key, by its JOSE name.
type Curve string

// The curves of encryption keys. X25519 is the default; Key management services and some JOSE libraries
// have only P-256.
const (
	X25519 Curve = crvX25519 // RFC 7748, RFC 8037
	P256   Curve = crvP256   // FIPS 186-5, RFC 7518 section 6.2
)

// Curves are the curves of encryption keys, the default first.
func Curves() []Curve { return []Curve{X25519, P256} }

// keyAgreement is the JOSE algorithm of every encryption key. A content key is wrapped under a key on which
// both sides agree (RFC 7518 section 4.6).
const keyAgreement = "ECDH-ES+A256KW"

// Recipient is the public half of an encryption key. Only its Identity opens the events that are encrypted to
// it. It is immutable and safe for concurrent use.
type Recipient struct {
	id     string
	curve  Curve
	public *ecdh.PublicKey
}

// NewRecipient takes a public key on X25519 or P-256. It refuses an X25519 key of small order, because every
// private key agrees with it on the same secret, and a key that is not encoded canonically, because it would
// have two IDs.
func NewRecipient(public *ecdh.PublicKey) (*Recipient, error) {
	if public == nil {
		return nil, errors.New("keys: no public key")
	}
	r := &Recipient{public: public}
	switch public.Curve() {
	case ecdh.P256():
		r.curve = P256
	case ecdh.X25519():
		r.curve = X25519
		if err := checkX25519(public.Bytes()); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("keys: an encryption key on %v is not supported: use X25519 or P-256",
			public.Curve())
	}
	r.id = thumbprint(r.thumbprintJWK())
	return r, nil
}

func checkX25519(u []byte) error {
	e, err := new(field.Element).SetBytes(u)
	if err != nil || string(e.Bytes()) != string(u) {
		return errors.New("keys: the X25519 key is not canonically encoded")
	}
	if slices.Contains(smallOrder[:], string(u)) {
		return errors.New("keys: the X25519 key is of small order")
	}
	return nil
}

// smallOrder are the canonical encodings of the points of small order on Curve25519 and its twist: 0, 1, -1,
// and the two of order 8 (D. J. Bernstein, https://cr.yp.to/ecdh.html#validate).
var smallOrder = [...]string{
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
	"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
	"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00",
	"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57",
}

// ParseRecipientJWK reads a public encryption key: OKP with X25519, or EC with P-256, as strictly as
// ParseJWK. "alg", "use" and "key_ops" must fit such a key when they are present. "key_ops" may be empty, as
// some libraries write it. A private member is refused. "kid" and all other members are ignored.
func ParseRecipientJWK(doc []byte) (*Recipient, error) {
	k, err := parsePublicJWK(doc)
	if err != nil {
		return nil, err
	}
	r, err := k.recipient()
	if err != nil && k.use == "sig" {
		return nil, fmt.Errorf("%w: ParseJWK reads it", err)
	}
	return r, err
}

// recipient is the key's public half, if it is an encryption key.
func (k *jwk) recipient() (*Recipient, error) {
	switch {
	case k.use != "" && k.use != "enc":
		return nil, fmt.Errorf("keys: JWK: use %q is not for encryption", keydoc.Clip(k.use))
	case len(k.keyOps) > 0 && !slices.Contains(k.keyOps, "deriveKey") &&
		!slices.Contains(k.keyOps, "deriveBits"):
		return nil, errors.New(`keys: JWK: key_ops has neither "deriveKey" nor "deriveBits"`)
	case k.alg != "" && k.alg != keyAgreement:
		return nil, fmt.Errorf("keys: JWK: alg %q does not fit an encryption key: use %s", keydoc.Clip(k.alg),
			keyAgreement)
	case k.pub != nil:
		return nil, errors.New(`keys: JWK: an encryption key has no "pub"`)
	case k.kty == ktyOKP && k.crv == crvX25519 && k.y == nil:
		return recipientOn(ecdh.X25519(), k.x)
	case k.kty == ktyEC && k.crv == crvP256 && len(k.x) == scalarSize:
		return recipientOn(ecdh.P256(), slices.Concat([]byte{uncompressed}, k.x, k.y))
	}
	return nil,
		errors.New("keys: JWK: an encryption key is OKP X25519 or EC P-256, with coordinates of 32 bytes")
}

func recipientOn(curve ecdh.Curve, point []byte) (*Recipient, error) {
	public, err := curve.NewPublicKey(point)
	if err != nil {
		return nil, errors.New("keys: JWK: the encryption key is not a point of its curve")
	}
	return NewRecipient(public)
}

// KeyID is the key's ID: its JWK thumbprint (RFC 7638), SHA-256, base64url without padding.
func (r *Recipient) KeyID() string { return r.id }

// Curve is the curve of the key.
func (r *Recipient) Curve() Curve { return r.curve }

// PublicKey is the key to agree with. It is immutable.
func (r *Recipient) PublicKey() *ecdh.PublicKey { return r.public }

// thumbprintJWK is the JWK with only its thumbprint members, in canonical JSON (RFC 7638 section 3.2).
func (r *Recipient) thumbprintJWK() []byte {
	point := r.public.Bytes()
	if r.curve == X25519 {
		return fmt.Appendf(nil, `{"crv":"X25519","kty":"OKP","x":"%s"}`, base64URL(point))
	}
	return fmt.Appendf(nil, `{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}`,
		base64URL(point[1:1+scalarSize]), base64URL(point[1+scalarSize:]))
}

// JWK is the public key as a JSON Web Key in canonical JSON: the thumbprint members and alg, kid, use.
func (r *Recipient) JWK() []byte { return r.appendJWK(nil, nil) }

// appendJWK appends the canonical JWK, with the private member d unless it is nil.
func (r *Recipient) appendJWK(dst, d []byte) []byte {
	var o keydoc.Object
	o.Members(r.thumbprintJWK())
	o.String("alg", keyAgreement)
	o.String("kid", r.id)
	o.String("use", "enc")
	if d != nil {
		o.Raw("d", jsontext.AppendQuote(nil, base64URL(d)))
		defer o.Clear()
	}
	return o.Append(dst)
}
