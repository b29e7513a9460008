package httpsig

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
)

// publicKey is a key that verifies.
type publicKey struct {
	verifier  *keys.Verifier
	algorithm string // its name in the parameter alg
	schedule  keys.Schedule
	secret    *webhook.Secret // with dates
}

// valid reports whether the key is valid at the judging time, and whether its owner used it when the
// signature was made.
func (k *publicKey) valid(at, created time.Time) bool {
	s := k.secret
	return (s.NotBefore.IsZero() || !at.Before(s.NotBefore)) &&
		(s.NotAfter.IsZero() || !at.After(s.NotAfter)) && k.schedule.AcceptedAt(at, created, 0)
}

// algorithmOf is the name of RFC 9421, section 3.3; "" = it has none.
func algorithmOf(v *keys.Verifier) string {
	switch v.Algorithm() {
	case keys.Ed25519:
		return "ed25519"
	case keys.ES256:
		return "ecdsa-p256-sha256"
	}
	return ""
}

var errKey = errors.New("it must be a public key, Ed25519 or ECDSA P-256, in PEM or as a JWK, or a JWK Set " +
	"with such a key")

// openKeys are the keys by their keyid.
func openKeys(secrets []webhook.Secret) (map[string]*publicKey, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no key: give the public keys of the sender")
	}
	set := map[string]*publicKey{}
	for i := range secrets {
		s := &secrets[i]
		list, err := parseKeys(s.Text)
		if err != nil {
			return nil, fmt.Errorf("the key with the ID %.80q: %w", s.ID, err)
		}
		for _, k := range list {
			id := s.ID
			if id == "" {
				id = k.KeyID()
			}
			if !isPlain(id) {
				return nil, fmt.Errorf(`the ID %.80q: visible ASCII without " and \ is needed`, id)
			}
			if set[id] != nil {
				return nil, fmt.Errorf("two keys have the ID %.80q: leave the ID of a JWK Set out", id)
			}
			set[id] = &publicKey{k.Verifier, algorithmOf(k.Verifier), k.Schedule, s}
		}
	}
	return set, nil
}

// parseKeys reads the signing keys in a text, and leaves others of a set out.
func parseKeys(text string) ([]keys.PublicKey, error) {
	if strings.HasPrefix(text, "-----BEGIN ") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "PUBLIC KEY" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errKey
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errKey
		}
		v, err := keys.NewVerifier(public)
		if err != nil || algorithmOf(v) == "" {
			return nil, errKey
		}
		return []keys.PublicKey{{Verifier: v}}, nil
	}
	all, err := keys.ParseJWKSet([]byte(text))
	if err != nil {
		return nil, errKey // the text may be a private key: nothing of it is quoted
	}
	var list []keys.PublicKey
	for _, k := range all {
		if k.Verifier != nil && algorithmOf(k.Verifier) != "" {
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return nil, errKey
	}
	return list, nil
}

// KeySet serves public keys as a JWK Set (RFC 7517, section 5), for /.well-known/jwks.json. List gives the
// keys, such as keys.Keyring.PublicKeys. The set has those that Scheme takes and that have not expired; one
// that does not sign yet is among them, so that receivers know it before. It states neither owner nor dates.
// The clock is now; nil = time.Now.
func KeySet(list func() []keys.PublicKey, now func() time.Time) http.Handler {
	if now == nil {
		now = time.Now
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		var public []keys.PublicKey
		for _, k := range list() {
			if k.Verifier != nil && algorithmOf(k.Verifier) != "" &&
				k.Schedule.StateAt(now()) != keys.StateExpired {
				public = append(public, keys.PublicKey{Verifier: k.Verifier})
			}
		}
		doc, err := keys.FormatJWKSet(public...)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(doc) // net/http leaves the body of an answer to HEAD out
	})
}
