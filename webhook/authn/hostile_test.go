package authn_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
)

const (
	malformed   = envelope.ReasonMalformed
	unsupported = envelope.ReasonUnsupported
)

// TestForms: there is one way to write a token: the compact form, in canonical base64url, with nothing around
// it.
func TestForms(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	good := token("r", rs256, claims())
	part := strings.Split(good, ".")
	std := strings.NewReplacer("-", "+", "_", "/")
	for i := 0; !strings.ContainsAny(part[2], "-_"); i++ { // one in 2^340 has neither
		part = strings.Split(token("r", rs256, claims("jti", `"`+strings.Repeat("x", i)+`"`)), ".")
	}
	join := func(parts ...string) string { return strings.Join(parts, ".") }
	for name, text := range map[string]string{
		"empty": "", "one part": part[0], "two parts": join(part[0], part[1]),
		"four parts": join(part[0], part[1], part[2], part[2]), "a dot more": good + ".",
		"five parts": join(part[0], "", part[1], part[2], part[2]), "a dot before": "." + good,
		"dots": "..", "no header": join("", part[1], part[2]), "no claims": join(part[0], "", part[2]),
		"no signature": join(part[0], part[1], ""),
		"space before": " " + good, "space after": good + " ", "line after": good + "\n",
		"tab within":            part[0] + "\t." + part[1] + "." + part[2],
		"line in the signature": join(part[0], part[1], part[2][:9]+"\r\n"+part[2][9:]),
		"line in the claims":    join(part[0], part[1][:8]+"\n"+part[1][8:], part[2]),
		"padded signature":      join(part[0], part[1], part[2]+"=="),
		"padded header":         join(part[0]+"=", part[1], part[2]),
		"standard alphabet":     join(part[0], part[1], std.Replace(part[2])),
		"trailing bits":         join(part[0], part[1], part[2][:len(part[2])-1]+nextLetter(part[2])),
		"a letter less":         good[:len(good)-1],
		"NUL":                   good + "\x00", "BOM": "\ufeff" + good,
		"Bearer": "Bearer " + good, "quoted": `"` + good + `"`,
		"JSON form": `{"payload":"` + part[1] + `","protected":"` + part[0] + `","signature":"` + part[2] + `"}`,
	} {
		_, err := v.Verify(t.Context(), text, at)
		want := malformed
		if text == "" {
			want = envelope.ReasonUnsigned
		}
		wantReason(t, name, err, want, "form")
	}
	_, err := v.Verify(t.Context(), join(part...), at)
	wantReason(t, "good", err, "", "")
}

// nextLetter is the letter that follows the last one of the text. The last letter of 256 bytes in base64url
// has four bits that are not used, so the next one stands for the same bytes.
func nextLetter(text string) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(letters, text[len(text)-1])
	return letters[i+1 : i+2]
}

// TestLongToken: a token has at most 16 KiB.
func TestLongToken(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	pad := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	header := rs256
	text := token("r", header, claims("pad", pad(11600)))
	for n := 11600; len(text) != 16<<10; n++ { // each third length cannot be had
		if len(text) > 16<<10 {
			n, header = 11600, strings.Replace(header, "{", `{"x":1,`, 1)
		}
		text = token("r", header, claims("pad", pad(n)))
	}
	_, err := v.Verify(t.Context(), text, at)
	wantReason(t, "16 KiB", err, "", "")
	_, err = v.Verify(t.Context(), text+"A", at)
	wantReason(t, "16 KiB and a byte", err, envelope.ReasonTooLarge, "form")
}

// verdict is a Reason and a Rule; none = it is verified.
type verdict struct {
	reason envelope.Reason
	rule   string
}

// headerCases are headers of a token that the key r signed, and what becomes of them.
func headerCases() map[string]verdict {
	k := testKeys()
	const unknown = envelope.ReasonUnknownKey
	good := `"kid":"r","alg":"RS256"`
	return map[string]verdict{
		"{" + good + "}": {}, " { \"alg\" : \"RS256\",\n\t\"kid\":\"r\" } ": {},
		`{"kid":"\u0072","alg":"RS\u003256"}`: {}, `{` + good + `,"typ":"JWT"}`: {},
		`{` + good + `,"typ":"jwt"}`: {}, `{` + good + `,"typ":"application/at+jwt"}`: {},
		`{` + good + `,"cty":"json"}`: {}, `{` + good + `,"x":{"y":[1,null,{"z":2}]}}`: {},
		`{` + good + `,"jku":"https://evil.example/","x5u":"https://evil.example/","x5c":["AA=="],"x5t":"AA"}`: {},
		`{` + good + `,"jwk":` + jwk("r", "RS256", &k.other.PublicKey) + `}`:                                   {},
		`{` + good + `,"KID":"e","Alg":"none","CRIT":["x"],"cRit":["exp"]}`:                                    {},

		`{"alg":"RS256"}`: {malformed, "kid"}, `{"kid":"","alg":"RS256"}`: {malformed, "kid"},
		`{"kid":"r ","alg":"RS256"}`:                               {malformed, "kid"},
		`{"kid":"r\u0000","alg":"RS256"}`:                          {malformed, "kid"},
		`{"kid":"é","alg":"RS256"}`:                                {malformed, "kid"},
		`{"kid":"` + strings.Repeat("r", 257) + `","alg":"RS256"}`: {malformed, "kid"},
		`{"kid":"` + strings.Repeat("r", 256) + `","alg":"RS256"}`: {unknown, "kid"},
		`{"kid":"R","alg":"RS256"}`:                                {unknown, "kid"},
		`{"KID":"r","alg":"RS256"}`:                                {malformed, "kid"},
		`{"kid":"rr","alg":"RS256"}`:                               {unknown, "kid"},
		`{"kid":"../r","alg":"RS256"}`:                             {unknown, "kid"},
		`{"kid":1,"alg":"RS256"}`:                                  {malformed, "header"},
		`{"kid":null,"alg":"RS256"}`:                               {malformed, "header"},
		`{"kid":["r"],"alg":"RS256"}`:                              {malformed, "header"},
		`{"kid":{"r":1},"alg":"RS256"}`:                            {malformed, "header"},
		`{"kid":"r"}`:                                              {malformed, "alg"},
		`{"kid":"r","alg":""}`:                                     {malformed, "alg"},
		`{"kid":"r","ALG":"RS256"}`:                                {malformed, "alg"},
		`{"kid":"r","alg":null}`:                                   {malformed, "header"},
		`{"kid":"r","alg":["RS256"]}`:                              {malformed, "header"},
		`{"kid":"r","alg":256}`:                                    {malformed, "header"},
		`{"kid":"r","alg":"RS256 "}`:                               {unsupported, "alg"},
		`{"kid":"r","alg":"rs256"}`:                                {unsupported, "alg"},
		`{"kid":"r","alg":"none"}`:                                 {unsupported, "alg"},
		`{"kid":"r","alg":"HS256"}`:                                {unsupported, "alg"},
		`{"kid":"r","alg":"RS384"}`:                                {unsupported, "alg"},
		`{"kid":"e","alg":"RS256"}`:                                {unsupported, "alg"},
		`{"kid":"d","alg":"Ed25519"}`:                              {unsupported, "alg"},
		`{"kid":"r","alg":"ES256"}`:                                {unsupported, "alg"},

		`{` + good + `,"crit":["exp"]}`:            {unsupported, "crit"},
		`{` + good + `,"crit":[]}`:                 {unsupported, "crit"},
		`{` + good + `,"crit":null}`:               {unsupported, "crit"},
		`{` + good + `,"crit":"alg"}`:              {unsupported, "crit"},
		`{` + good + `,"cr\u0069t":["x"],"x":1}`:   {unsupported, "crit"},
		`{` + good + `,"crit":["b64"],"b64":true}`: {unsupported, "b64"},
		`{` + good + `,"b64":false}`:               {unsupported, "b64"},
		`{` + good + `,"b64":true}`:                {unsupported, "b64"},
		`{` + good + `,"zip":"DEF"}`:               {unsupported, "zip"},
		`{` + good + `,"enc":"A128GCM"}`:           {unsupported, "enc"},
		`{` + good + `,"cty":"JWT"}`:               {unsupported, "cty"},
		`{` + good + `,"cty":"jwt"}`:               {unsupported, "cty"},
		`{` + good + `,"cty":"application/JWT"}`:   {unsupported, "cty"},
		`{` + good + `,"cty":1}`:                   {malformed, "header"},
		`{` + good + `,"typ":1}`:                   {malformed, "header"},
		`{` + good + `,"typ":null}`:                {malformed, "header"},
		`{` + good + `,"typ":"JWS"}`:               {envelope.ReasonTypeNotAllowed, "typ"},
		`{` + good + `,"typ":"id+jwt"}`:            {envelope.ReasonTypeNotAllowed, "typ"},
		`{` + good + `,"typ":"dpop+jwt"}`:          {envelope.ReasonTypeNotAllowed, "typ"},

		`{"kid":"x",` + good + `}`:           {malformed, "header"},
		`{` + good + `,"alg":"RS256"}`:       {malformed, "header"},
		`{` + good + `,"k\u0069d":"r"}`:      {malformed, "header"},
		`{` + good + `,"x":{"y":1,"y":2}}`:   {malformed, "header"},
		`{` + good + `,"x":[{"y":1,"y":1}]}`: {malformed, "header"},
		`{` + good + `} {}`:                  {malformed, "header"}, `{` + good + `,}`: {malformed, "header"},
		`{` + good: {malformed, "header"}, `[]`: {malformed, "header"}, `null`: {malformed, "header"},
		`"x"`: {malformed, "header"}, `{` + good + `,"x":"` + "\xff" + `"}`: {malformed, "header"},
		`{` + good + `,"x":"\ud800"}`: {malformed, "header"}, `{` + good + `,"x":01}`: {malformed, "header"},
		"\ufeff{" + good + `}`: {malformed, "header"}, `{` + good + `,"x":NaN}`: {malformed, "header"},
		`{` + good + `,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: {malformed, "header"},
		`{` + good + `/**/}`: {malformed, "header"}, `{'kid':'r','alg':'RS256'}`: {malformed, "header"},
	}
}

// TestHeaders: a header is strict JSON. It cannot change the key, the algorithm or how the claims are read.
func TestHeaders(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	for header, want := range headerCases() {
		_, err := v.Verify(t.Context(), token("r", header, claims()), at)
		wantReason(t, header, err, want.reason, want.rule)
	}
}

// TestClaimTypes: each claim has one JSON type, and claims are strict JSON to the last byte.
func TestClaimTypes(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	refused := func(text, rule string) {
		t.Helper()
		_, err := v.Verify(t.Context(), token("r", rs256, text), at)
		wantReason(t, text, err, malformed, rule)
	}
	for _, name := range []string{"iss", "sub", "client_id", "azp", "token_use", "scope", "jti"} {
		for _, value := range []string{"1", "null", "true", `["c1"]`, `{"c1":1}`, `{}`} {
			refused(claims(name, value), name)
		}
	}
	for _, value := range []string{`"admin"`, `"admin,x"`, "null", "1", `{"admin":true}`, `["admin",1]`,
		`[["admin"]]`, `["admin",null]`} {
		refused(claims("cognito:groups", value), "cognito:groups")
	}
	for _, value := range []string{"null", "1", `{"x":1}`, "[1]", `[["c1"]]`, "true"} {
		refused(claims("aud", value), "aud")
	}
	for _, name := range []string{"exp", "nbf", "iat"} {
		for _, value := range []string{`"1789995600"`, "null", "true", "[1789995600]", "{}", `""`, "-1", "-0",
			"-1789995600", "1789995600e0", "1.7899956e9", "17899956E2", "1e999", "1e400", "253402300800",
			"9223372036854775808", "18446744073709551616", "-9223372036854775809", "1789995600.5e0",
			"1789995600.1234567890e1",
			"9" + strings.Repeat("0", 400), `"2026-09-21"`} {
			refused(claims(name, value), name)
		}
	}
	good := strings.TrimSuffix(claims(), "}")
	for _, text := range []string{good + `,"exp":1789995600}`, good + `,"e\u0078p":1789999999}`,
		good + `,"x":1,"x":2}`, good + `,"x":{"y":1,"y":2}}`, good + `,"x":[[{"y":1,"\u0079":2}]]}`, good,
		good + "} {}", good + "}}", good + "},", good + ",}", "[]", "null", `"x"`, "1", "", " ",
		"[" + good + "}]", good + `,"x":"` + "\xff" + `"}`, good + `,"x":"` + "\xc0\xaf" + `"}`,
		good + `,"` + "\xed\xa0\x80" + `":1}`, good + `,"x":"\ud800"}`, good + `,"x":"` + "\n" + `"}`,
		good + `,"x":01}`, good + `,"x":+1}`, good + `,"x":.5}`, good + `,"x":1.}`, good + `,"x":Infinity}`,
		good + `,"x":tru}`, good + `,"x":'y'}`, good + `,x:1}`, good + "}\x00", "\ufeff" + good + "}",
		good + `,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}"} {
		if text == "" {
			_, err := v.Verify(t.Context(), token("r", rs256, text), at)
			wantReason(t, "no claims", err, malformed, "form")
			continue
		}
		refused(text, "claims")
	}
}

// TestClaimValues: values are compared byte by byte, and names are case-sensitive.
func TestClaimValues(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1", "c2"}})
	source, use := envelope.ReasonSourceNotAllowed, envelope.ReasonTypeNotAllowed
	for _, c := range []struct {
		claims string
		reason envelope.Reason
		rule   string
	}{
		{claims("client_id", `"c2"`), "", ""}, {claims("client_id", `"\u0063\u0031"`), "", ""},
		{"\n" + claims() + " ", "", ""}, {claims("EXP", "1"), "", ""}, {claims("Iss", `"evil"`), "", ""},
		{claims("auth_time", "1789992000", "version", "2", "x", `{"exp":1}`), "", ""},
		{claims("exp", "1789993800.000000001"), "", ""}, {claims("iat", "1789993800.0"), "", ""},
		{claims("iat", "0"), "", ""}, {claims("iat", ""), "", ""}, {claims("nbf", "1789993800"), "", ""},
		{claims("iss", ""), source, "iss"}, {claims("iss", `""`), source, "iss"},
		{claims("iss", `"`+issuer+`/"`), source, "iss"}, {claims("iss", `"`+issuer+`x"`), source, "iss"},
		{claims("iss", `"`+issuer[:len(issuer)-1]+`"`), source, "iss"},
		{claims("iss", `" `+issuer+`"`), source, "iss"},
		{claims("iss", `"`+strings.ToUpper(issuer)+`"`), source, "iss"},
		{claims("iss", `"`+strings.Replace(issuer, "https", "http", 1)+`"`), source, "iss"},
		{claims("client_id", ""), source, "client_id"}, {claims("client_id", `""`), source, "client_id"},
		{claims("client_id", `"C1"`), source, "client_id"}, {claims("client_id", `"c1 "`), source, "client_id"},
		{claims("client_id", `"c"`), source, "client_id"}, {claims("client_id", `"c1,c2"`), source, "client_id"},
		{claims("client_id", `"c1\u0000"`), source, "client_id"},
		{claims("client_id", "", "azp", `"c1"`), source, "client_id"},
		{claims("client_id", "", "aud", `"c1"`), source, "client_id"},
		{claims("client_id", "", "Client_ID", `"c1"`), source, "client_id"},
		{claims("token_use", `"id"`), use, "token_use"}, {claims("token_use", `"Access"`), use, "token_use"},
		{claims("token_use", `"access "`), use, "token_use"}, {claims("token_use", `"refresh"`), use, "token_use"},
		{claims("token_use", ""), use, "typ"}, {claims("token_use", "", "Token_use", `"access"`), use, "typ"},
		{claims("aud", `[]`), envelope.ReasonAudienceMismatch, "aud"},
		{claims("aud", `["c1","x"]`), envelope.ReasonAudienceMismatch, "aud"},
		{claims("exp", "", "Exp", longLived), envelope.ReasonUndated, "exp"},
		{claims("exp", "0"), envelope.ReasonExpired, "exp"},
		{claims("exp", "1789993800.0"), envelope.ReasonExpired, "exp"},
		{claims("exp", "1789993799.999999999"), envelope.ReasonExpired, "exp"},
		{claims("nbf", "1789993800.000000001"), envelope.ReasonFromFuture, "nbf"},
		{claims("nbf", "253402300799"), envelope.ReasonFromFuture, "nbf"},
		{claims("iat", "1789993800.000000001"), envelope.ReasonFromFuture, "iat"},
	} {
		_, err := v.Verify(t.Context(), token("r", rs256, c.claims), at)
		wantReason(t, c.claims, err, c.reason, c.rule)
	}
}

// TestNeeds: scopes and groups are compared whole, and Cognito's groups are those of cognito:groups.
func TestNeeds(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	for _, c := range []struct {
		claim, value string
		ok           bool
	}{
		{"scope", `"news/delete"`, true}, {"scope", `"  news/delete "`, true}, {"scope", `"a news/delete b"`, true},
		{"scope", "", false}, {"scope", `""`, false}, {"scope", `" "`, false}, {"scope", `"news/deleted"`, false},
		{"scope", `"news/delet"`, false}, {"scope", `"xnews/delete"`, false}, {"scope", `"News/delete"`, false},
		{"scope", `"news/*"`, false}, {"scope", `"*"`, false}, {"scope", `"news/read,news/delete"`, false},
		{"scope", `"x\tnews/delete"`, false}, {"scope", `"x\nnews/delete"`, false},
		{"scope", `"x\u00a0news/delete"`, false}, {"Scope", `"news/delete"`, false},
		{"cognito:groups", `["x","admin"]`, true}, {"cognito:groups", "", false}, {"cognito:groups", "[]", false},
		{"cognito:groups", `["Admin"]`, false}, {"cognito:groups", `["admins"]`, false},
		{"cognito:groups", `["adm"]`, false}, {"cognito:groups", `["admin "]`, false},
		{"cognito:groups", `["admin,x"]`, false}, {"groups", `["admin"]`, false},
		{"Cognito:groups", `["admin"]`, false}, {"cognito:roles", `["admin"]`, false},
	} {
		text := claims(c.claim, c.value)
		switch c.claim {
		case "Scope":
			text = claims(c.claim, c.value, "scope", "")
		case "groups", "Cognito:groups", "cognito:roles":
			text = claims(c.claim, c.value, "cognito:groups", "")
		}
		id, err := v.Verify(t.Context(), token("r", rs256, text), at)
		if err != nil {
			t.Fatal(text, err)
		}
		err = id.Check(&authn.Need{Scopes: []string{"news/delete"}, Groups: []string{"admin", "root"}})
		want, rule := envelope.ReasonForbidden, "group"
		if strings.EqualFold(c.claim, "scope") {
			rule = "scope"
		}
		if c.ok {
			want, rule = "", ""
		}
		wantReason(t, text, err, want, rule)
	}
}

// TestIdentity: an Identity is what the token says, and nothing else.
func TestIdentity(t *testing.T) {
	v := verifier(t, &authn.Options{Audiences: []string{"api"}})
	text := claims("token_use", "", "aud", `"api"`, "groups", `["a",{"value":"b"},"c"]`, "jti", `"j1"`,
		"cognito:groups", `["x"]`, "exp", "1789995600.25")
	id, err := v.Verify(t.Context(), token("r", atJWT, text), at)
	if err != nil {
		t.Fatal(err)
	}
	if id.Issuer != issuer || id.Subject != "u1" || id.ClientID != "c1" || id.TokenID != "j1" ||
		id.KeyID != "r" ||
		strings.Join(id.Scopes, " ") != "news/read news/delete" || strings.Join(id.Groups, " ") != "a c" ||
		!id.Issued.Equal(time.Unix(1789992000, 0)) || !id.Expires.Equal(time.Unix(1789995600, 250_000_000)) ||
		string(id.Claims()) != text {
		t.Errorf("%+v", id)
	}
	opts := &authn.Options{ClientIDs: []string{"c1"}, IDTokens: true}
	text = claims("token_use", `"id"`, "client_id", "", "aud", `["x","c1"]`, "azp", `"c1"`, "iat", "")
	id, err = verifier(t, opts).Verify(t.Context(), token("r", rs256, text), at)
	if err != nil || id.ClientID != "c1" || strings.Join(id.Groups, " ") != "admin" || !id.Issued.IsZero() {
		t.Errorf("%+v, %v", id, err)
	}
}

// TestErrorsAreQuiet: no error has the token or its signature, and what it quotes is clipped.
func TestErrorsAreQuiet(t *testing.T) {
	v := verifier(t, &authn.Options{ClientIDs: []string{"c1"}})
	long := strings.Repeat("SECRET", 500)
	for _, text := range []string{token("r", rs256, claims("iss", `"`+long+`"`)), token("e", rs256, claims()),
		token("r", rs256, claims("client_id", `"`+long+`"`)), token("r", rs256, claims("aud", `"`+long+`"`)),
		token("r", `{"kid":"r","alg":"`+long+`"}`, claims()), token("r", rs256, claims("scope", `["`+long+`"]`)),
		token("r", rs256, claims("token_use", `"`+long+`"`)), long} {
		_, err := v.Verify(t.Context(), text, at)
		parts := strings.Split(text, ".")
		if err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), parts[len(parts)-1]) ||
			strings.Contains(err.Error(), base64.RawURLEncoding.EncodeToString([]byte(rs256))) {
			t.Errorf("%v", err)
		}
	}
}
