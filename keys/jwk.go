package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"filippo.io/mldsa"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// maxJWK bounds a JSON Web Key on its own, in bytes. A key with a certificate chain still fits.
const maxJWK = 64 << 10

const (
	ktyOKP = "OKP"
	ktyEC  = "EC"
	ktyAKP = "AKP"

	crvEd25519 = "Ed25519"
	crvX25519  = "X25519"
	crvP256    = "P-256"

	uncompressed = 4 // first byte of an uncompressed point, SEC 1 section 2.3.3
)

// jwk has the members of a JSON Web Key that count (RFC 7517, RFC 7518 section 6, RFC 8037, RFC 9964).
type jwk struct {
	kty, crv, alg, use string
	x, y, pub          []byte // decoded
	d                  []byte // decoded, of "d" or "priv": secret
	private            string // the name of a private member, "" if there is none
	keyOps             []string
}

// ParseJWK reads a public signing key: OKP with Ed25519, EC with P-256, or AKP with ML-DSA-65, which needs
// its "alg" (RFC 9964 section 3). Coordinates have their full length in canonical base64url (RFC 7518 section
// 6.2.1.2); "alg", "use" and "key_ops" must fit a signing key when they are present. A private
// member of any key type is refused. "kid" and all other members are ignored, because the ID is computed.
func ParseJWK(doc []byte) (*Verifier, error) {
	k, err := parsePublicJWK(doc)
	if err != nil {
		return nil, err
	}
	v, err := k.verifier()
	if err != nil && k.use == "enc" {
		return nil, fmt.Errorf("%w: ParseRecipientJWK reads it", err)
	}
	return v, err
}

// parsePublicJWK reads one JWK that has no private member. If doc is another file, the error says which kind.
func parsePublicJWK(doc []byte) (*jwk, error) {
	k, err := parseJWK(doc)
	if err == nil && k.kty == "" {
		err = errors.New(`keys: JWK: it has no "kty"`)
	}
	if err != nil {
		err = keydoc.Explained(doc, keydoc.Unprefixed(err), "one public JWK", filekind.JWK,
			filekind.PrivateJWK)
		return nil, fmt.Errorf("keys: %w", err)
	}
	if k.private != "" {
		return nil, fmt.Errorf("keys: this is a private key (it has %q): export its public half", k.private)
	}
	return k, nil
}

func parseJWK(doc []byte) (*jwk, error) {
	if len(doc) > maxJWK {
		return nil, fmt.Errorf("keys: a JWK of more than %d bytes", maxJWK)
	}
	r := jsontext.NewDecoder(doc)
	k := readJWK(&r, nil)
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("keys: JWK: %w", err)
	}
	return k, nil
}

// readJWK reads one JWK. It calls other for each member that a JWK does not have: other reads the value and
// returns true, or returns false. readJWK skips the value if other returns false or is nil.
func readJWK(r *jsontext.Decoder, other func(name []byte, r *jsontext.Decoder) bool) *jwk {
	k := &jwk{}
	for obj := r.Object(); r.Member(&obj); {
		if !k.read(obj.Name, r) && (other == nil || !other(obj.Name, r)) {
			r.SkipValue()
		}
	}
	return k
}

func (k *jwk) read(name []byte, r *jsontext.Decoder) bool {
	switch string(name) {
	case "kty":
		k.kty = readName(r)
	case "crv":
		k.crv = readName(r)
	case "alg":
		k.alg = readName(r)
	case "use":
		k.use = readName(r)
	case "kid":
		r.Bytes() // the ID is computed
	case "key_ops":
		k.keyOps = keydoc.ReadStrings(r, 16)
	case "x":
		k.x = readBase64URL(r, name)
	case "y":
		k.y = readBase64URL(r, name)
	case "pub":
		k.pub = readBase64URL(r, name)
	case "d", "priv":
		if k.private != "" {
			r.Failf("the private members %q and %q in one key", k.private, name)
		}
		k.private, k.d = string(name), readBase64URL(r, name)
	case "k", "p", "q", "dp", "dq", "qi", "oth":
		k.private = string(name)
		r.SkipValue()
	default:
		return false
	}
	return true
}

// readName reads a string, and allocates nothing for one that a key of ours has.
func readName(r *jsontext.Decoder) string {
	text := r.Bytes()
	for _, name := range [...]string{ktyOKP, ktyEC, ktyAKP, crvX25519, crvP256, string(Ed25519), string(ES256),
		string(MLDSA65), keyAgreement, "sig", "enc"} {
		if string(text) == name {
			return name
		}
	}
	return string(text)
}

func readBase64URL(r *jsontext.Decoder, name []byte) []byte {
	out, err := jsontext.Base64URL.AppendDecode([]byte{}, r.Bytes()) // not nil: empty is not absent
	if err != nil {
		r.Failf("member %q is not canonical base64url", name)
	}
	return out
}

// verifier is the key's public half, if it is a signing key.
func (k *jwk) verifier() (*Verifier, error) {
	switch {
	case k.use != "" && k.use != "sig":
		return nil, fmt.Errorf("keys: JWK: use %q is not for signing", keydoc.Clip(k.use))
	case k.keyOps != nil && !signingOps(k.keyOps):
		return nil, errors.New(`keys: JWK: key_ops has neither "sign" nor "verify"`)
	case k.kty == ktyOKP && k.crv == crvEd25519:
		return k.ed25519()
	case k.kty == ktyEC && k.crv == crvP256:
		return k.es256()
	case k.kty == ktyAKP:
		return k.mldsa65()
	}
	return nil,
		fmt.Errorf("keys: JWK: kty %q with crv %q is not supported: use OKP Ed25519, EC P-256 or AKP ML-DSA-65", keydoc.Clip(k.kty), keydoc.Clip(k.crv))
}

func signingOps(ops []string) bool {
	for _, op := range ops {
		if op == "sign" || op == "verify" {
			return true
		}
	}
	return false
}

func (k *jwk) ed25519() (*Verifier, error) {
	if k.y != nil || k.pub != nil {
		return nil, errors.New(`keys: JWK: an OKP key has neither "y" nor "pub"`)
	}
	// RFC 8037 has the name EdDSA, and RFC 9864 replaces it by Ed25519.
	if k.alg != "" && k.alg != string(Ed25519) && k.alg != "EdDSA" {
		return nil, fmt.Errorf("keys: JWK: alg %q does not fit an Ed25519 key", keydoc.Clip(k.alg))
	}
	return NewVerifier(ed25519.PublicKey(k.x))
}

func (k *jwk) es256() (*Verifier, error) {
	if k.alg != "" && k.alg != string(ES256) {
		return nil, fmt.Errorf("keys: JWK: alg %q does not fit a P-256 signing key", keydoc.Clip(k.alg))
	}
	if k.pub != nil {
		return nil, errors.New(`keys: JWK: an EC key has no "pub"`)
	}
	if len(k.x) != scalarSize || len(k.y) != scalarSize {
		return nil, errors.New("keys: JWK: the coordinates of a P-256 key have 32 bytes each")
	}
	point := slices.Concat([]byte{uncompressed}, k.x, k.y)
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("keys: the ECDSA key is not a point of P-256")
	}
	v := &Verifier{alg: ES256, public: public, point: point} // NewVerifier would parse the point twice more
	v.id = thumbprint(v.ThumbprintJWK())
	return v, nil
}

// mldsa65 reads a key of RFC 9964 section 3, where "alg" names the kind of the key.
func (k *jwk) mldsa65() (*Verifier, error) {
	switch {
	case k.alg != string(MLDSA65):
		return nil, fmt.Errorf("keys: JWK: an AKP key with alg %q is not supported: use %s",
			keydoc.Clip(k.alg), MLDSA65)
	case k.crv != "" || k.x != nil || k.y != nil:
		return nil, errors.New(`keys: JWK: an AKP key has no "crv", "x" and "y"`)
	}
	public, err := mldsa.NewPublicKey(mldsa.MLDSA65(), k.pub)
	if err != nil {
		return nil, fmt.Errorf("keys: JWK: not an ML-DSA-65 public key, which has %d bytes",
			mldsa.MLDSA65PublicKeySize)
	}
	return NewVerifier(public)
}

const keyIDSize = 43 // of 32 bytes in base64url

// thumbprint is the SHA-256 of a JWK with only its thumbprint members (RFC 7638 section 3), in base64url.
func thumbprint(jwk []byte) string {
	sum := sha256.Sum256(jwk)
	var text [keyIDSize]byte
	base64.RawURLEncoding.Encode(text[:], sum[:])
	return string(text[:])
}

// ThumbprintJWK is the JWK with only its thumbprint members, in canonical JSON (RFC 7638 section 3.2, RFC
// 9964 section 6). The key ID is the SHA-256 of these bytes.
func (v *Verifier) ThumbprintJWK() []byte {
	const most = `{"crv":"Ed25519","kty":"OKP","x":"","y":""}`
	text := base64.RawURLEncoding
	dst := make([]byte, 0, len(most)+text.EncodedLen(len(v.point))+1)
	switch v.alg {
	case Ed25519:
		dst = text.AppendEncode(append(dst, `{"crv":"Ed25519","kty":"OKP","x":"`...), v.point)
	case ES256:
		dst = text.AppendEncode(append(dst, `{"crv":"P-256","kty":"EC","x":"`...), v.point[1:1+scalarSize])
		dst = text.AppendEncode(append(dst, `","y":"`...), v.point[1+scalarSize:])
	default:
		dst = text.AppendEncode(append(dst, `{"alg":"ML-DSA-65","kty":"AKP","pub":"`...), v.point)
	}
	return append(dst, `"}`...)
}

// JWK is the public key as a JSON Web Key in canonical JSON: the thumbprint members and alg, kid, use.
func (v *Verifier) JWK() []byte { return v.appendJWK(nil, nil) }

// appendJWK appends the canonical JWK, with the private member d or priv unless it is nil.
func (v *Verifier) appendJWK(dst, private []byte) []byte {
	var o keydoc.Object
	o.Members(v.ThumbprintJWK())
	if v.alg != MLDSA65 { // whose thumbprint has it
		o.String("alg", string(v.alg))
	}
	o.String("kid", v.id)
	o.String("use", "sig")
	if private != nil {
		o.Raw(privateMember(v.alg), jsontext.AppendQuote(nil, base64URL(private)))
		defer o.Clear()
	}
	return o.Append(dst)
}

func base64URL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
