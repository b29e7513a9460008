package webhook

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
)

// The prefixes of Standard Webhooks' keys.
const (
	prefixSecret  = "whsec_" // and base64 of 24 to 64 bytes
	prefixPublic  = "whpk_"  // and base64 of 32 bytes
	prefixPrivate = "whsk_"  // and base64 of 64 bytes: the seed, then the public key
)

// key is a parsed secret. A secret of HMAC is inside closures only, which print as addresses.
type key struct {
	id       string
	secret   *Secret // its dates
	form     string  // of secretForm
	newMAC   func() hash.Hash
	mac      func(text []byte) []byte // for challenges
	verifier *keys.Verifier           // nil = HMAC
}

// newKey parses a secret for the kinds of one way. It is nil with an error that quotes nothing of the secret.
func newKey(s *Secret, kinds []kind) (*key, error) {
	k, err := kindFor(s.Text, kinds)
	if err != nil {
		return nil, err
	}
	raw, err := decodeSecret(s.Text, k.secret)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, errors.New("it is empty: everyone could sign")
	}
	out := &key{id: s.ID, secret: s, form: k.secret}
	switch k.algorithm {
	case "hmac-sha256":
		out.newMAC = func() hash.Hash { return hmac.New(sha256.New, raw) }
	case "hmac-sha512":
		out.newMAC = func() hash.Hash { return hmac.New(sha512.New, raw) }
	default:
		out.verifier, err = publicKey(raw, k)
		return out, err
	}
	out.mac = func(text []byte) []byte {
		h := out.newMAC()
		h.Write(text)
		return h.Sum(nil)
	}
	return out, nil
}

// kindFor is the kind that a secret is for: the prefix whsec_ or whpk_ says so where a kind takes it, and all
// other kinds of a way take one form.
func kindFor(text string, kinds []kind) (kind, error) {
	for _, k := range kinds {
		if k.secret == "whsec" && strings.HasPrefix(text, prefixSecret) ||
			k.secret == "whpk" && strings.HasPrefix(text, prefixPublic) {
			return k, nil
		}
	}
	switch {
	case strings.HasPrefix(text, prefixPrivate):
		return kind{}, errors.New("it is a private key (whsk_): a receiver needs the public key (whpk_)")
	case strings.HasPrefix(text, prefixPublic): // as the secret of an HMAC, everyone would know it
		return kind{}, errors.New("it is a public key (whpk_), which this way of signing does not take")
	}
	i := slices.IndexFunc(kinds, func(k kind) bool { return !prefixed(k.secret) })
	if i < 0 {
		return kind{}, errors.New("it begins with neither whsec_ nor whpk_, as this scheme takes them")
	}
	return kinds[i], nil
}

// prefixed reports whether secrets of that form begin with a prefix of their own.
func prefixed(form string) bool { return form == "whsec" || form == "whpk" }

// decodeSecret turns the text of a secret into the key's bytes.
func decodeSecret(text, form string) (raw []byte, err error) {
	switch form {
	case "text":
		return []byte(text), nil
	case "hex":
		if raw, err = hex.DecodeString(text); err != nil {
			return nil, errors.New("it is not hexadecimal") // the error of hex quotes a byte
		}
		return raw, nil
	case "whsec":
		raw, err = jsontext.Base64.AppendDecode(nil, []byte(text[len(prefixSecret):]))
		if err == nil && (len(raw) < 24 || len(raw) > 64) {
			err = fmt.Errorf("it has %d bytes, not 24 to 64", len(raw))
		}
		return raw, err
	case "whpk":
		text = text[len(prefixPublic):]
	}
	return jsontext.Base64.AppendDecode(nil, []byte(text))
}

// publicKey reads a public key. keys.NewVerifier refuses points of small order, under which everyone can
// sign.
func publicKey(raw []byte, k kind) (*keys.Verifier, error) {
	var public crypto.PublicKey = ed25519.PublicKey(raw)
	if k.secret == "pkix" {
		var err error
		if public, err = x509.ParsePKIXPublicKey(raw); err != nil {
			return nil, errors.New("it is no PKIX public key")
		}
	}
	v, err := keys.NewVerifier(public)
	if err != nil {
		return nil, err
	}
	want := map[string]keys.Algorithm{"ed25519": keys.Ed25519, "ecdsa-p256": keys.ES256}[k.algorithm]
	if v.Algorithm() != want {
		return nil, fmt.Errorf("it is a key for %s, not %s", v.Algorithm(), want)
	}
	return v, nil
}
