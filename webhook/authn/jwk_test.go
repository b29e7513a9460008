package authn_test

import (
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook/authn"
)

// with is a JWK with other members in addition.
func with(jwk, members string) string { return strings.TrimSuffix(jwk, "}") + "," + members + "}" }

// TestKeysOfIssuers: key sets as issuers publish them do not lock their callers out.
func TestKeysOfIssuers(t *testing.T) {
	k := testKeys()
	enc := strings.Replace(rKey(), `"use":"sig"`, `"use":"enc"`, 1)
	for name, set := range map[string][]byte{
		"a certificate that is none":    jwks(with(rKey(), `"x5c":["bm8gY2VydGlmaWNhdGU="]`)),
		"certificates in base64url":     jwks(with(rKey(), `"x5c":["_-8"],"x5t":"not base64 ~","x5t#S256":"AA"`)),
		"a certificate's address":       jwks(with(rKey(), `"x5u":"http://[::1"`)),
		"members of another type":       jwks(with(rKey(), `"x5c":"text","x5t":1,"x5u":{},"oth":[],"ext":true`)),
		"members that are null":         jwks(with(rKey(), `"crv":null,"d":null,"k":null,"key_ops":null,"x":null`)),
		"for encryption, same ID":       jwks(enc, rKey()),
		"for RSA-OAEP, same ID":         jwks(jwk("r", "RSA-OAEP", &k.rsa.PublicKey), rKey()),
		"for RS512, same ID":            jwks(rKey(), jwk("r", "RS512", &k.rsa.PublicKey)),
		"listed twice":                  jwks(rKey(), rKey()),
		"listed twice, once with chain": jwks(rKey(), with(rKey(), `"x5c":["AAAA"]`)),
		"beside a broken one":           jwks(`{"kty":"RSA","kid":"b","n":"AQ==","e":"AQAB"}`, rKey()),
		"beside an ID that is a number": jwks(`{"kty":"RSA","kid":7}`, rKey()),
		"beside what is no key":         jwks(`null`, `[]`, `7`, `{}`, rKey()),
		"beside secp256k1":              jwks(`{"kty":"EC","crv":"secp256k1","kid":"s","x":"AA","y":"AA"}`, rKey()),
		"other members of the set":      []byte(`{"SkipUnresolved":true,"keys":[` + rKey() + `],"ttl":60}`),
	} {
		keys, err := authn.ParseKeys(set)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		v := must(authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}}))
		wantReason(t, name, errOf(v.Verify(t.Context(), token("r", rs256, claims()), at)), "", "")
	}
}

// TestRSASizes: RSA keys of 2,048 to 8,192 bits are used, with each exponent that crypto/rsa takes.
func TestRSASizes(t *testing.T) {
	one := big.NewInt(1)
	modulus := func(bits uint) *big.Int { // a number of that size is enough: no signature is made
		return new(big.Int).Add(new(big.Int).Lsh(one, bits-1), one)
	}
	for bits, usable := range map[uint]bool{2047: false, 2048: true, 3072: true, 4096: true, 4097: true,
		8192: true, 8193: false, 16384: false} {
		public := &rsa.PublicKey{N: modulus(bits), E: 65537}
		if _, err := authn.ParseKeys(jwks(jwk("r", "RS256", public))); (err == nil) != usable {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	for e, usable := range map[string]bool{"AQ": false, "Ag": false, "Aw": true, "AQAB": true, "AAEAAQ": true,
		"f____w": true, "_____w": false, "gAAAAQ": false, "AQAAAAAAAAAAAQ": false, "": false} {
		text := jwk("r", "RS256", &rsa.PublicKey{N: modulus(2048), E: 65537})
		text = strings.Replace(text, `"e":"AQAB"`, `"e":"`+e+`"`, 1)
		if _, err := authn.ParseKeys(jwks(text)); (err == nil) != usable {
			t.Errorf("exponent %s: %v", e, err)
		}
	}
}

// TestKeysThatAreNone: points that are not on the curve, or that have a small order, are no keys.
func TestKeysThatAreNone(t *testing.T) {
	p := elliptic.P256().Params()
	for name, text := range map[string]string{
		"not on the curve":  strings.Replace(eKey(), `"y":"`, `"y":"A`, 1),
		"at infinity":       `{"kty":"EC","crv":"P-256","kid":"e","x":"","y":""}`,
		"P-384":             strings.Replace(eKey(), "P-256", "P-384", 1),
		"the identity":      `{"kty":"OKP","crv":"Ed25519","kid":"d","x":"AQ` + strings.Repeat("A", 41) + `"}`,
		"a short point":     `{"kty":"OKP","crv":"Ed25519","kid":"d","x":"AQAA"}`,
		"X25519":            `{"kty":"OKP","crv":"X25519","kid":"d","x":"CQ` + strings.Repeat("A", 41) + `"}`,
		"an RSA key's text": with(`{"kty":"RSA","kid":"r"}`, `"n":"`+p.Gx.String()+`","e":"AQAB"`),
	} {
		if _, err := authn.ParseKeys(jwks(text)); err == nil {
			t.Errorf("%s is a key", name)
		}
	}
}
