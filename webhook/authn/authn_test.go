package authn_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

const issuer = "https://issuer.example/pool"

// at is half an hour after iat of the test claims, and half an hour before exp.
var at = time.Unix(1789993800, 0)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// testKeys are made once: making RSA keys is slow.
var testKeys = sync.OnceValue(func() (k struct {
	rsa, other, short *rsa.PrivateKey
	ec                *ecdsa.PrivateKey
	ed                ed25519.PrivateKey
}) {
	k.rsa, k.other = must(rsa.GenerateKey(rand.Reader, 2048)), must(rsa.GenerateKey(rand.Reader, 2048))
	k.short = must(rsa.GenerateKey(rand.Reader, 1024))
	k.ec = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

func jwk(kid, alg string, key any) string {
	return string(must(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}.MarshalJSON()))
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// allKeys has a key of each algorithm.
func allKeys() *authn.Keys {
	k := testKeys()
	return must(authn.ParseKeys(jwks(jwk("r", "RS256", &k.rsa.PublicKey), jwk("e", "ES256", &k.ec.PublicKey),
		jwk("d", "EdDSA", k.ed.Public()))))
}

// token is any header and any claims, signed by the test key of that name.
func token(key, header, claims string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	switch k := testKeys(); key {
	case "r":
		signature = must(rsa.SignPKCS1v15(rand.Reader, k.rsa, crypto.SHA256, sum[:]))
	case "e":
		r, s, err := ecdsa.Sign(rand.Reader, k.ec, sum[:])
		must(0, err)
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "d":
		signature = ed25519.Sign(k.ed, []byte(input))
	}
	return input + "." + b64(signature)
}

// claims are those of a good access token of Cognito; each pair replaces or adds a claim, or removes one for
// the value "".
func claims(pairs ...string) string {
	all := map[string]json.RawMessage{"iss": []byte(`"` + issuer + `"`), "sub": []byte(`"u1"`),
		"client_id": []byte(`"c1"`), "token_use": []byte(`"access"`), "scope": []byte(`"news/read news/delete"`),
		"cognito:groups": []byte(`["admin"]`), "iat": []byte("1789992000"), "exp": []byte("1789995600")}
	for i := 0; i < len(pairs); i += 2 {
		if all[pairs[i]] = json.RawMessage(pairs[i+1]); pairs[i+1] == "" {
			delete(all, pairs[i])
		}
	}
	return string(must(json.Marshal(all)))
}

const (
	rs256 = `{"kid":"r","alg":"RS256"}`
	atJWT = `{"kid":"r","alg":"RS256","typ":"at+jwt"}`
)

func verifier(t testing.TB, opts *authn.Options) *authn.Verifier {
	t.Helper()
	v, err := authn.New(issuer, allKeys(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantReason(t *testing.T, name string, err error, reason envelope.Reason, rule string) {
	t.Helper()
	e, ok := err.(*authn.Error)
	switch {
	case reason == "" && err != nil:
		t.Errorf("%s: %v", name, err)
	case reason != "" && (!ok || e.Reason != reason || rule != "" && e.Rule != rule):
		t.Errorf("%s: %v, not %s of %s", name, err, reason, rule)
	}
}

// vectorReasons are the Reasons of rows of the vectors by their "why", and those of rows by their name.
var vectorReasons = map[string]envelope.Reason{
	"exp": envelope.ReasonExpired, "type": envelope.ReasonMalformed, "nbf": envelope.ReasonFromFuture,
	"iat": envelope.ReasonFromFuture, "iss": envelope.ReasonSourceNotAllowed,
	"client_id": envelope.ReasonSourceNotAllowed, "token_use": envelope.ReasonTypeNotAllowed,
	"scope": envelope.ReasonForbidden, "group": envelope.ReasonForbidden,
	"scope is split at spaces only": envelope.ReasonForbidden,
	"duplicate member":              envelope.ReasonMalformed, "JSON": envelope.ReasonMalformed,
	"members are case-sensitive: exp is over": envelope.ReasonExpired, "UTF-8": envelope.ReasonMalformed,
	"alg": envelope.ReasonUnsupported, "alg confusion": envelope.ReasonUnsupported,
	"alg is the key's": envelope.ReasonUnsupported, "signature": envelope.ReasonBadSignature,
	"kid": envelope.ReasonMalformed, "jku ignored": envelope.ReasonUnknownKey,
	"crit": envelope.ReasonUnsupported, "crit must not be empty, RFC 7515 4.1.11": envelope.ReasonUnsupported,
	"form": envelope.ReasonMalformed, "alphabet": envelope.ReasonMalformed, "nested": envelope.ReasonUnsupported,

	"no exp": envelope.ReasonUndated, "no alg": envelope.ReasonMalformed, "kid path": envelope.ReasonUnknownKey,
	"alg None": envelope.ReasonMalformed, // its signature is empty
}

func reasonOfRow(name, why string) envelope.Reason {
	return cmp.Or(vectorReasons[name], vectorReasons[why])
}

// TestVectors: each row of the vectors has the verdict of the strict profile, for its own Reason.
func TestVectors(t *testing.T) {
	var file struct {
		Now          int64
		Issuer       string
		ClientID     string `json:"client_id"`
		Scope, Group string
		JWKS         json.RawMessage
		Tokens       []struct{ Name, Token, Expect, Why string }
	}
	if err := json.Unmarshal(must(os.ReadFile("testdata/jwt-cognito.json")), &file); err != nil {
		t.Fatal(err)
	}
	v := must(authn.New(file.Issuer, must(authn.ParseKeys(file.JWKS)),
		&authn.Options{ClientIDs: []string{file.ClientID}}))
	accepted := 0
	for _, row := range file.Tokens {
		id, err := v.Verify(t.Context(), row.Token, time.Unix(file.Now, 0))
		if err == nil {
			err = id.Check(&authn.Need{Scopes: []string{file.Scope}, Groups: []string{file.Group}})
		}
		want := reasonOfRow(row.Name, row.Why)
		if row.Expect == "accept" {
			want = ""
			accepted++
		} else if want == "" {
			t.Errorf("%s: no Reason is known for %q", row.Name, row.Why)
		}
		wantReason(t, row.Name, err, want, "")
	}
	if accepted != 4 || len(file.Tokens) < 40 {
		t.Errorf("%d of %d rows are to be accepted", accepted, len(file.Tokens))
	}
}

// TestAlgorithms: each key verifies what it signed, and no header chooses another algorithm.
func TestAlgorithms(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	for kid, alg := range map[string]string{"r": "RS256", "e": "ES256", "d": "EdDSA"} {
		for _, says := range []string{"RS256", "ES256", "EdDSA", "HS256", "none", "PS256", "rs256"} {
			_, err := v.Verify(t.Context(), token(kid, `{"kid":"`+kid+`","alg":"`+says+`"}`, claims()), at)
			want := envelope.ReasonUnsupported
			if says == alg {
				want = ""
			}
			wantReason(t, kid+" "+says, err, want, "alg")
		}
		for _, signer := range []string{"r", "e", "d"} {
			if signer != kid {
				_, err := v.Verify(t.Context(), token(signer, `{"kid":"`+kid+`","alg":"`+alg+`"}`, claims()), at)
				wantReason(t, kid+" by "+signer, err, envelope.ReasonBadSignature, "signature")
			}
		}
	}
	text := token("e", `{"kid":"e","alg":"ES256"}`, claims())
	dot := strings.LastIndexByte(text, '.')
	signature := must(base64.RawURLEncoding.DecodeString(text[dot+1:]))
	for name, bad := range map[string][]byte{"s with a zero": slices.Insert(slices.Clone(signature), 32, 0),
		"r alone": signature[:32], "zeros": make([]byte, 64), "DER": append([]byte{0x30, 0x44}, signature...)} {
		_, err := v.Verify(t.Context(), text[:dot+1]+base64.RawURLEncoding.EncodeToString(bad), at)
		wantReason(t, name, err, envelope.ReasonBadSignature, "signature")
	}
}

// TestClaims: each claim has its rule.
func TestClaims(t *testing.T) {
	client, api := []string{"c1"}, []string{"api"}
	ofClient, ofAPI := authn.Options{ClientIDs: client}, authn.Options{Audiences: api}
	idTokens := authn.Options{ClientIDs: client, IDTokens: true}
	for name, c := range map[string]struct {
		opts           authn.Options
		header, claims string
		reason         envelope.Reason
		rule           string
	}{
		"good": {ofClient, rs256, claims(), "", ""},
		"RFC 9068": {ofAPI, atJWT,
			claims("token_use", "", "aud", `["x","api"]`), "", ""},
		"aud as text": {ofAPI, atJWT,
			claims("token_use", "", "aud", `"api"`), "", ""},
		"media type": {ofAPI, `{"kid":"r","alg":"RS256","typ":"application/AT+JWT"}`,
			claims("token_use", "", "aud", `"api"`), "", ""},
		"RFC 9068 has an aud": {ofClient, atJWT,
			claims("token_use", ""), envelope.ReasonAudienceMismatch, "aud"},
		"neither says": {ofClient, rs256,
			claims("token_use", ""), envelope.ReasonTypeNotAllowed, "typ"},
		"token_use empty": {ofClient, atJWT,
			claims("token_use", `""`), envelope.ReasonTypeNotAllowed, "token_use"},
		"typ of a logout": {ofClient, `{"kid":"r","alg":"RS256","typ":"logout+jwt"}`,
			claims(), envelope.ReasonTypeNotAllowed, "typ"},
		"no aud": {ofAPI, atJWT,
			claims(), envelope.ReasonAudienceMismatch, "aud"},
		"another aud": {ofAPI, atJWT,
			claims("aud", `"apis"`), envelope.ReasonAudienceMismatch, "aud"},
		"aud not configured": {ofClient, rs256,
			claims("aud", `"api"`), envelope.ReasonAudienceMismatch, "aud"},
		"aud, and client": {authn.Options{Audiences: api, ClientIDs: client}, rs256,
			claims("aud", `"api"`, "client_id", `"c2"`), envelope.ReasonSourceNotAllowed, "client_id"},
		"id token": {idTokens, rs256,
			claims("token_use", `"id"`, "client_id", "", "aud", `"c1"`), "", ""},
		"id token of OpenID": {idTokens, rs256,
			claims("token_use", "", "client_id", "", "scope", "", "aud", `["c1","x"]`, "azp", `"c1"`), "", ""},
		"id token, no azp": {idTokens, rs256,
			claims("token_use", `"id"`, "aud", `["c1","x"]`), envelope.ReasonSourceNotAllowed, "azp"},
		"access for id": {idTokens, rs256,
			claims("aud", `"c1"`), envelope.ReasonTypeNotAllowed, "token_use"},
		"at+jwt for id": {idTokens, atJWT,
			claims("token_use", "", "aud", `"c1"`), envelope.ReasonTypeNotAllowed, "typ"},
		"access for id, no token_use": {idTokens, rs256,
			claims("token_use", "", "aud", `"c1"`), envelope.ReasonTypeNotAllowed, "typ"},
		"id token of another": {idTokens, rs256,
			claims("token_use", `"id"`, "aud", `"c2"`), envelope.ReasonAudienceMismatch, "aud"},
		"id token, another azp": {idTokens, rs256,
			claims("token_use", `"id"`, "aud", `"c1"`, "azp", `"c2"`), envelope.ReasonSourceNotAllowed, "azp"},
		"bound": {ofClient, rs256,
			claims("cnf", `{"jkt":"x"}`), envelope.ReasonUnsupported, "cnf"},
	} {
		_, err := verifier(t, &c.opts).Verify(t.Context(), token("r", c.header, c.claims), at)
		wantReason(t, name, err, c.reason, c.rule)
	}
}

// TestTimes: exp is exclusive, nbf and iat are inclusive, and the leeway moves each by exactly that much.
func TestTimes(t *testing.T) {
	for _, leeway := range []time.Duration{0, time.Second, time.Minute} {
		v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}, Leeway: leeway})
		text := token("r", rs256, claims("iat", "1789992000", "nbf", "1789992000", "exp", "1789995600"))
		for _, c := range []struct {
			at     time.Time
			reason envelope.Reason
		}{
			{time.Unix(1789995600, 0).Add(leeway), envelope.ReasonExpired},
			{time.Unix(1789995600, 0).Add(leeway - 1), ""},
			{time.Unix(1789992000, 0).Add(-leeway), ""},
			{time.Unix(1789992000, 0).Add(-leeway - 1), envelope.ReasonFromFuture},
		} {
			_, err := v.Verify(t.Context(), text, c.at)
			wantReason(t, leeway.String(), err, c.reason, "")
		}
	}
}

// TestNew: options that would accept tokens for others are refused.
func TestNew(t *testing.T) {
	keys := allKeys()
	for name, c := range map[string]struct {
		issuer string
		keys   *authn.Keys
		opts   *authn.Options
	}{
		"no issuer":      {"", keys, &authn.Options{ClientIDs: []string{"c"}}},
		"no keys":        {issuer, nil, &authn.Options{ClientIDs: []string{"c"}}},
		"nil":            {issuer, keys, nil},
		"empty client":   {issuer, keys, &authn.Options{ClientIDs: []string{""}}},
		"empty audience": {issuer, keys, &authn.Options{Audiences: []string{"a", ""}}},
		"id, audience": {issuer, keys, &authn.Options{ClientIDs: []string{"c"}, Audiences: []string{"a"},
			IDTokens: true}},
		"long leeway":    {issuer, keys, &authn.Options{ClientIDs: []string{"c"}, Leeway: time.Minute + 1}},
		"negative":       {issuer, keys, &authn.Options{ClientIDs: []string{"c"}, Leeway: -1}},
		"bad source":     {issuer, keys, &authn.Options{ClientIDs: []string{"c"}, Source: "header.Authorization"}},
		"spaces as name": {issuer, keys, &authn.Options{ClientIDs: []string{"c"}, Source: "$request.header. "}},
	} {
		if _, err := authn.New(c.issuer, c.keys, c.opts); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
