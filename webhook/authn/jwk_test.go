package authn_test

import (
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

// TestPointsOfSmallOrder: under such a key, anyone can make a signature of any text.
func TestPointsOfSmallOrder(t *testing.T) {
	for _, x := range []string{"AQ" + strings.Repeat("A", 41), strings.Repeat("A", 43),
		"7P" + strings.Repeat("_", 39) + "38"} { // 1, 0 and p - 1
		text := `{"kty":"OKP","crv":"Ed25519","kid":"d","x":"` + x + `"}`
		if _, err := authn.ParseKeys(jwks(text)); err == nil {
			t.Errorf("%s is a key", x)
		}
	}
}
