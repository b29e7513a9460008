package authn_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/webhook/authn"
)

// FuzzToken: any text is judged without a panic. Only the token that was made is accepted.
func FuzzToken(f *testing.F) {
	v := verifier(f, &authn.Options{ClientIDs: []string{"c1"}})
	sound := token("d", `{"kid":"d","alg":"EdDSA"}`, claims())
	f.Add(sound)
	f.Fuzz(func(t *testing.T, text string) {
		_, err := v.Verify(t.Context(), text, at)
		if err == nil && text != sound {
			t.Fatalf("accepted: %q", text)
		}
		if e, ok := err.(*authn.Error); err != nil && (!ok || e.Reason == "" || e.Rule == "" || e.Status() < 401) {
			t.Fatalf("%v", err)
		}
	})
}

// FuzzClaims: any header and any claims, signed by a good key, are judged without a panic. Whatever is
// accepted names the issuer and the client.
func FuzzClaims(f *testing.F) {
	v := verifier(f, &authn.Options{ClientIDs: []string{"c1"}})
	f.Add(`{"kid":"d","alg":"EdDSA"}`, claims())
	f.Add(`{"kid":"d","alg":"EdDSA","typ":"at+jwt","crit":[]}`, claims("token_use", "", "aud", `["x"]`))
	f.Fuzz(func(t *testing.T, header, text string) {
		id, err := v.Verify(t.Context(), token("d", header, text), at)
		if err == nil && (id.Issuer != issuer || id.ClientID != "c1" || !at.Before(id.Expires) ||
			!strings.Contains(text, "exp")) {
			t.Fatalf("accepted: %q %q", header, text)
		}
	})
}

// FuzzKeys: a key set opens, or is refused. One that opens accepts no token of a key that is not in it.
func FuzzKeys(f *testing.F) {
	text := token("d", `{"kid":"r","alg":"EdDSA"}`, claims())
	f.Add(jwks(jwk("r", "RS256", &testKeys().rsa.PublicKey)))
	f.Add(jwks(jwk("r", "ES256", &testKeys().ec.PublicKey), `{"kty":"OKP","crv":"X25519"}`))
	f.Fuzz(func(t *testing.T, set []byte) {
		keys, err := authn.ParseKeys(set)
		if err != nil {
			return
		}
		v, err := authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), text, at); err == nil {
			t.Fatalf("accepted under %q", set)
		}
	})
}

// FuzzSource: an identity source is refused, or finds the one value that stands in its place.
func FuzzSource(f *testing.F) {
	f.Add("$request.header.Authorization", "Bearer x")
	f.Add("method.request.querystring.token", "x")
	f.Fuzz(func(t *testing.T, text, value string) {
		s, err := authn.ParseSource(text)
		if err != nil {
			return
		}
		name := text[strings.Index(text, "request.")+len("request."):]
		kind, name, _ := strings.Cut(name, ".")
		header, query := http.Header{}, url.Values{}
		if kind == "header" {
			header.Set(name, value)
		} else {
			query.Set(name, value)
		}
		got, err := s.Token(header, query)
		if err == nil && (got == "" && value == "" || !strings.HasSuffix(value, got)) {
			t.Fatalf("%q of %q", got, value)
		}
	})
}
