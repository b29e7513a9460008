package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook"
)

const (
	maxKeys    = 32   // in a JWK Set: providers have two or three
	minRSABits = 2048 // go-jose takes shorter keys (NIST SP 800-131A does not)
)

// publicKey is a key of a provider.
type publicKey struct {
	id        string // reported as KeyID
	key       any    // *rsa.PublicKey or *ecdsa.PublicKey
	notBefore time.Time
	notAfter  time.Time // zero = no bound, both
}

func (k *publicKey) valid(at time.Time) bool {
	return (k.notBefore.IsZero() || !at.Before(k.notBefore)) && (k.notAfter.IsZero() || !at.After(k.notAfter))
}

// source finds a key by its ID. Its error is a *webhook.Error.
type source interface {
	key(ctx context.Context, kid string) (*publicKey, error)
}

// keySet are keys by their ID.
type keySet map[string]*publicKey

func (s keySet) key(_ context.Context, kid string) (*publicKey, error) {
	if k := s[kid]; k != nil {
		return k, nil
	}
	return nil, refuse(envelope.ReasonUnknownKey, "no key has the ID %.80q", kid)
}

// configured are the keys in secrets, each of which is a JWK or a JWK Set.
func configured(secrets []webhook.Secret, alg jose.SignatureAlgorithm) (keySet, error) {
	all := make(keySet)
	for i := range secrets {
		s := &secrets[i]
		set, err := parseKeys([]byte(s.Text), alg)
		if err != nil {
			return nil, fmt.Errorf("the secret with the ID %.80q: %w", s.ID, err)
		}
		for kid, k := range set {
			if all[kid] != nil {
				return nil, fmt.Errorf("two keys have the ID %.80q", kid)
			}
			if s.ID != "" {
				k.id = s.ID
			}
			k.notBefore, k.notAfter = s.NotBefore, s.NotAfter
			all[kid] = k
		}
	}
	return all, nil
}

// parseKeys reads a JWK Set, or a single JWK (RFC 7517). Keys for something else than this algorithm are
// skipped, as RFC 7517, section 5 asks. Two keys of one ID are an error, and so is a private key.
func parseKeys(text []byte, alg jose.SignatureAlgorithm) (keySet, error) {
	var entries []jsontext.Value
	d := jsontext.NewDecoder(text)
	isSet := false
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) != "keys" {
			d.SkipValue()
			continue
		}
		isSet = true
		for a := d.Array(); d.Element(&a); {
			if len(entries) == maxKeys {
				d.Failf("more than %d keys", maxKeys)
			}
			entries = append(entries, d.ReadValue())
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("no JWK Set: %w", err)
	}
	if !isSet {
		entries = append(entries, text)
	}
	set := make(keySet)
	for _, entry := range entries {
		kid, key, err := parseKey(entry, alg)
		switch {
		case err != nil:
			return nil, err
		case key == nil:
		case set[kid] != nil:
			return nil, fmt.Errorf("two keys have the ID %.80q", kid)
		default:
			set[kid] = &publicKey{id: kid, key: key}
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("no key for %s with a key ID", alg)
	}
	return set, nil
}

// parseKey reads a JWK. The key is nil if it is not for this algorithm.
func parseKey(text []byte, alg jose.SignatureAlgorithm) (kid string, key any, err error) {
	var kty, use, named string
	private := false
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		switch string(o.Name) {
		case "kid":
			kid = d.String()
		case "kty":
			kty = d.String()
		case "use":
			use = d.String()
		case "alg":
			named = d.String()
		case "d", "k":
			private = true
			d.SkipValue()
		default:
			d.SkipValue()
		}
	}
	switch {
	case d.End() != nil:
		return "", nil, errors.New("an entry is no JWK")
	case private:
		return "", nil, errors.New("a key is private: give the public one")
	case kty != map[jose.SignatureAlgorithm]string{jose.RS256: "RSA", jose.ES256: "EC"}[alg],
		use != "" && use != "sig", named != "" && named != string(alg), !kidText().MatchString(kid):
		return kid, nil, nil
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return "", nil, fmt.Errorf("the key %.80q is not valid", kid)
	}
	switch key := jwk.Key.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSABits {
			return "", nil, fmt.Errorf("the key %.80q has %d bits, fewer than %d", kid, key.N.BitLen(),
				minRSABits)
		}
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return kid, nil, nil // RFC 7518, section 3.4: ES256 is on P-256
		}
	}
	return kid, jwk.Key, nil
}
