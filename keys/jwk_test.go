package keys

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
)

const (
	goodOKP = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	goodEC  = `{"kty":"EC","crv":"P-256","x":"Z805D3eqNZywjCI19lInBJOp7YMrCrzAH3CVTAOQ0jg","y":"DHgr1U4mkSWkT0Qzr_FDLOlOErynOqZ6yAzqEmCN33Q"}`
	// RFC 7748 section 6.1, Alice.
	goodX25519 = `{"kty":"OKP","crv":"X25519","x":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}`
)

// with adds members to a JWK.
func with(jwk, members string) string { return strings.TrimSuffix(jwk, "}") + "," + members + "}" }

func TestParseJWK(t *testing.T) {
	for name, doc := range map[string]string{
		"OKP": goodOKP, "EC": goodEC, "white space": " " + goodEC + "\n",
		"another kid":       with(goodOKP, `"kid":"mine"`),
		"EdDSA":             with(goodOKP, `"alg":"EdDSA"`),
		"Ed25519":           with(goodOKP, `"alg":"Ed25519"`),
		"ES256":             with(goodEC, `"alg":"ES256"`),
		"use":               with(goodEC, `"use":"sig"`),
		"key_ops":           with(goodEC, `"key_ops":["verify"]`),
		"other members":     with(goodEC, `"x5c":["AAAA"],"iat":1,"z":{"d":1}`),
		"escaped but equal": strings.Replace(goodOKP, `"11q`, `"\u00311q`, 1),
	} {
		v, err := ParseJWK([]byte(doc))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := ParseJWK(v.JWK())
		if err != nil || again.KeyID() != v.KeyID() || !bytes.Equal(again.JWK(), v.JWK()) {
			t.Errorf("%s: does not come back: %v", name, err)
		}
	}
	for name, doc := range map[string]string{
		"nothing": ``, "null": `null`, "array": `[]`, "empty object": `{}`, "trailing": goodEC + "x",
		"RSA":                 `{"kty":"RSA","n":"AQAB","e":"AQAB"}`,
		"oct":                 `{"kty":"oct","k":"AAAA"}`,
		"P-384":               strings.Replace(goodEC, "P-256", "P-384", 1),
		"secp256k1":           strings.Replace(goodEC, "P-256", "secp256k1", 1),
		"X25519":              goodX25519,
		"OKP on P-256":        strings.Replace(goodOKP, "Ed25519", "P-256", 1),
		"kty of another case": strings.Replace(goodEC, `"EC"`, `"ec"`, 1),
		"no x":                `{"kty":"OKP","crv":"Ed25519"}`,
		"no y":                `{"kty":"EC","crv":"P-256","x":"Z805D3eqNZywjCI19lInBJOp7YMrCrzAH3CVTAOQ0jg"}`,
		"y beside Ed25519":    with(goodOKP, `"y":"AAAA"`),
		"empty y":             with(goodOKP, `"y":""`),
		"x null":              `{"kty":"OKP","crv":"Ed25519","x":null}`,
		"x padded":            strings.Replace(goodOKP, `URo"`, `URo="`, 1),
		"x trailing bits":     strings.Replace(goodOKP, `URo"`, `URp"`, 1),
		"x standard base64":   strings.Replace(goodOKP, `S_7T`, `S/7T`, 1),
		"x line break":        strings.Replace(goodOKP, `11qY`, `11\nqY`, 1),
		"x of 31 bytes":       `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ"}`,
		"x of 33 bytes": strings.Replace(goodEC, `"Z805`,
			`"AABnzTkPd6o1nLCMIjX2UicEk6ntgysKvMAfcJVMA5DSOA`, 1),
		"not on the curve":    strings.Replace(goodEC, `"DHgr`, `"DHgs`, 1),
		"small order":         `{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
		"wrong alg OKP":       with(goodOKP, `"alg":"ES256"`),
		"wrong alg EC":        with(goodEC, `"alg":"EdDSA"`),
		"alg none":            with(goodEC, `"alg":"none"`),
		"use enc":             with(goodEC, `"use":"enc"`),
		"key_ops":             with(goodEC, `"key_ops":["deriveKey"]`),
		"key_ops empty":       with(goodEC, `"key_ops":[]`),
		"duplicate x":         with(goodOKP, `"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`),
		"duplicate elsewhere": with(goodOKP, `"z":{"a":1,"a":1}`),
		"too large":           with(goodEC, `"z":"`+strings.Repeat("a", maxJWK)+`"`),
	} {
		if _, err := ParseJWK([]byte(doc)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPublicJWKHasNothingPrivate(t *testing.T) {
	for _, member := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth", "priv"} {
		if _, err := ParseJWK([]byte(with(goodEC, `"`+member+`":"AAAA"`))); err == nil {
			t.Errorf("member %q is accepted", member)
		}
	}
}

func TestParsePrivateJWK(t *testing.T) {
	s := mustGenerate(t, ES256)
	good, err := s.UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	other, err := mustGenerate(t, ES256).UnsafePrivateJWK()
	if err != nil {
		t.Fatal(err)
	}
	d := func(jwk []byte) string { k, _ := parseJWK(jwk); return base64URL(k.d) }
	for name, doc := range map[string]string{
		"public":           string(s.Verifier().JWK()),
		"d of another key": strings.Replace(string(good), d(good), d(other), 1),
		"d zero":           strings.Replace(string(good), d(good), strings.Repeat("A", 43), 1),
		"d beyond the order": strings.Replace(string(good), d(good),
			base64URL(bytes.Repeat([]byte{0xff}, 32)), 1),
		"d short":         strings.Replace(string(good), d(good), "AAAA", 1),
		"another private": with(string(s.Verifier().JWK()), `"k":"AAAA"`),
		"duplicate d":     with(string(good), `"d":"`+d(good)+`"`),
		"d not base64":    strings.Replace(string(good), d(good), d(good)+"!", 1),
		"trailing":        string(good) + string(good),
	} {
		_, err := ParsePrivateJWK([]byte(doc), "p")
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), d(good)) || strings.Contains(err.Error(), d(other)) {
			t.Errorf("%s: the error has the secret", name)
		}
	}
	if back, err := ParsePrivateJWK(good, "p"); err != nil ||
		back.Verifier().KeyID() != s.Verifier().KeyID() {
		t.Error(err)
	}
	if _, err := ParsePrivateJWK(good, ""); err == nil {
		t.Error("no producer is accepted")
	}
}

// FuzzJWK: the JWK of a parsed key is canonical, gives the same key, and is written the same again. A
// document with exactly the members and spelling of that form is returned byte for byte.
func FuzzJWK(f *testing.F) {
	akp, _ := akpJWK(f)
	for _, s := range []string{akp, goodOKP, goodEC, goodX25519,
		with(goodOKP, `"alg":"EdDSA","use":"sig","key_ops":["verify"]`), with(goodEC, `"d":"AAAA"`)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if r, err := ParseRecipientJWK(doc); err == nil {
			if again, err := ParseRecipientJWK(r.JWK()); err != nil || again.KeyID() != r.KeyID() ||
				!bytes.Equal(again.JWK(), r.JWK()) {
				t.Fatalf("%s came back as %v (%v)", r.JWK(), again, err)
			}
		}
		v, err := ParseJWK(doc)
		if err != nil {
			return
		}
		out := v.JWK()
		if !jsontext.Value(out).IsCanonical() {
			t.Fatalf("%s is not canonical", out)
		}
		again, err := ParseJWK(out)
		if err != nil || again.KeyID() != v.KeyID() || !bytes.Equal(again.JWK(), out) {
			t.Fatalf("%s came back as %v (%v)", out, again, err)
		}
	})
}
