package interop_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/webhook/authn"
)

// cognito is how tokens of one user pool are to be judged, as peers/jwt.mjs reads it.
type cognito struct {
	Now      int64           `json:"now"`
	Issuer   string          `json:"issuer"`
	ClientID string          `json:"client_id"`
	Scope    string          `json:"scope"`
	Group    string          `json:"group"`
	JWKS     json.RawMessage `json:"jwks"`
	Tokens   []string        `json:"tokens"`
}

// theirs are the verdicts of aws-jwt-verify.
func (c *cognito) theirs(t *testing.T) (accepts []bool) {
	t.Helper()
	in, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	err = json.Unmarshal(node(t, in, "peers/jwt.mjs"), &accepts)
	if err != nil || len(accepts) != len(c.Tokens) {
		t.Fatal(len(accepts), err)
	}
	return accepts
}

// ours are the verdicts of package authn.
func (c *cognito) ours(t *testing.T) (accepts []bool) {
	t.Helper()
	keys, err := authn.ParseKeys(c.JWKS)
	if err != nil {
		t.Fatal(err)
	}
	v, err := authn.New(c.Issuer, keys, &authn.Options{ClientIDs: []string{c.ClientID}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range c.Tokens {
		id, err := v.Verify(t.Context(), token, time.Unix(c.Now, 0))
		if err == nil {
			err = id.Check(&authn.Need{Scopes: []string{c.Scope}, Groups: []string{c.Group}})
		}
		accepts = append(accepts, err == nil)
	}
	return accepts
}

// TestAWSJWTVerify: aws-jwt-verify itself has the verdicts on the vectors that are recorded in them, and that
// docs/webhooks.md argues with.
func TestAWSJWTVerify(t *testing.T) {
	needPackages(t)
	doc, err := os.ReadFile("../webhook/authn/testdata/jwt-cognito.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		cognito
		Tokens []struct {
			Name, Token, Expect string
			Theirs              string `json:"aws_jwt_verify"`
		} `json:"tokens"`
	}
	if err := json.Unmarshal(doc, &file); err != nil {
		t.Fatal(err)
	}
	for _, row := range file.Tokens {
		file.cognito.Tokens = append(file.cognito.Tokens, row.Token)
	}
	ours, theirs := file.ours(t), file.theirs(t)
	for i, row := range file.Tokens {
		if theirs[i] != (row.Theirs == "accept") || ours[i] != (row.Expect == "accept") {
			t.Errorf("%s: ours %t, theirs %t", row.Name, ours[i], theirs[i])
		}
	}
}

// oddTokens are headers and claims beside the vectors: name, header, claims. %s in claims stands for the
// claims of a good token.
var oddTokens = [][3]string{
	{"good", `{"kid":"k","alg":"RS256"}`, `{%s}`},
	{"header member named crit in a member", `{"kid":"k","alg":"RS256","x":{"crit":["y"]}}`, `{%s}`},
	{"b64", `{"kid":"k","alg":"RS256","b64":false}`, `{%s}`},
	{"zip", `{"kid":"k","alg":"RS256","zip":"DEF"}`, `{%s}`},
	{"typ of a logout token", `{"kid":"k","alg":"RS256","typ":"logout+jwt"}`, `{%s}`},
	{"typ is a number", `{"kid":"k","alg":"RS256","typ":1}`, `{%s}`},
	{"cty is a number", `{"kid":"k","alg":"RS256","cty":1}`, `{%s}`},
	{"cty JWT", `{"kid":"k","alg":"RS256","cty":"JWT"}`, `{%s}`},
	{"kid is a number", `{"kid":1,"alg":"RS256"}`, `{%s}`},
	{"alg is a list", `{"kid":"k","alg":["RS256"]}`, `{%s}`},
	{"duplicate in a member of the header", `{"kid":"k","alg":"RS256","x":{"y":1,"y":2}}`, `{%s}`},
	{"lone surrogate in the header", `{"kid":"k","alg":"RS256","x":"\ud800"}`, `{%s}`},
	{"duplicate in a claim", `{"kid":"k","alg":"RS256"}`, `{%s,"x":{"y":1,"y":2}}`},
	{"duplicate by escape", `{"kid":"k","alg":"RS256"}`, `{%s,"\u0073cope":"x news/delete"}`},
	{"lone surrogate", `{"kid":"k","alg":"RS256"}`, `{%s,"x":"\ud800"}`},
	{"BOM", `{"kid":"k","alg":"RS256"}`, "\ufeff" + `{%s}`},
	{"depth of 200", `{"kid":"k","alg":"RS256"}`,
		`{%s,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`},
	{"17 KiB", `{"kid":"k","alg":"RS256"}`, `{%s,"x":"` + strings.Repeat("x", 17<<10) + `"}`},
	{"exp of 1e400", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":1e400}`},
	{"exp in milliseconds", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":1790003540000}`},
	{"exp with an exponent", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":1.79000354e9}`},
	{"exp with a fraction", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":1790003540.5}`},
	{"exp now", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":1790000000}`},
	{"exp is a text", `{"kid":"k","alg":"RS256"}`, `{%s,"exp":"1790003540"}`},
	{"iat negative", `{"kid":"k","alg":"RS256"}`, `{%s,"iat":-1}`},
	{"iat is a text", `{"kid":"k","alg":"RS256"}`, `{%s,"iat":"1789999940"}`},
	{"nbf null", `{"kid":"k","alg":"RS256"}`, `{%s,"nbf":null}`},
	{"nbf is a text", `{"kid":"k","alg":"RS256"}`, `{%s,"nbf":"1"}`},
	{"an aud", `{"kid":"k","alg":"RS256"}`, `{%s,"aud":"https://another.example"}`},
	{"aud is a number", `{"kid":"k","alg":"RS256"}`, `{%s,"aud":1}`},
	{"cnf", `{"kid":"k","alg":"RS256"}`, `{%s,"cnf":{"jkt":"x"}}`},
	{"sub is a number", `{"kid":"k","alg":"RS256"}`, `{%s,"sub":1}`},
	{"jti is a list", `{"kid":"k","alg":"RS256"}`, `{%s,"jti":[]}`},
	{"client_id in a list", `{"kid":"k","alg":"RS256"}`, `{%s,"client_id":["c"]}`},
	{"groups as a text", `{"kid":"k","alg":"RS256"}`, `{%s,"cognito:groups":"admin"}`},
	{"groups with a number", `{"kid":"k","alg":"RS256"}`, `{%s,"cognito:groups":["admin",1]}`},
	{"scope in a list", `{"kid":"k","alg":"RS256"}`, `{%s,"scope":["news/delete"]}`},
}

// goodClaims are those of a good token. A row of oddTokens that names one of them again replaces it.
var goodClaims = map[string]string{"iss": `"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Sealbus01"`,
	"sub": `"s"`, "client_id": `"c"`, "token_use": `"access"`, "scope": `"news/delete"`, "exp": "1790003540",
	"iat": "1789999940", "cognito:groups": `["admin"]`}

func oddToken(t *testing.T, key *rsa.PrivateKey, row [3]string) []byte {
	t.Helper()
	var good []string
	for name, value := range goodClaims {
		if !strings.Contains(row[2], `%s,"`+name+`":`) {
			good = append(good, `"`+name+`":`+value)
		}
	}
	slices.Sort(good)
	claims := strings.Replace(row[2], "%s", strings.Join(good, ","), 1)
	b64 := base64.RawURLEncoding
	text := b64.AppendEncode(nil, []byte(row[1]))
	text = b64.AppendEncode(append(text, '.'), []byte(claims))
	sum := sha256.Sum256(text)
	signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return b64.AppendEncode(append(text, '.'), signature)
}

// TestOddTokens: docs/webhooks.md lists each odd token that aws-jwt-verify accepts and that is refused here.
// There is none the other way round.
func TestOddTokens(t *testing.T) {
	needPackages(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := &cognito{Now: 1790000000, Issuer: strings.Trim(goodClaims["iss"], `"`), ClientID: "c",
		Scope: "news/delete", Group: "admin", JWKS: set}
	for _, row := range oddTokens {
		c.Tokens = append(c.Tokens, string(oddToken(t, key, row)))
	}
	doc, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "<!-- odd tokens -->")
	table, _, _ = strings.Cut(table, "<!-- end -->")
	ours, theirs := c.ours(t), c.theirs(t)
	for i, row := range oddTokens {
		listed := strings.Contains(table, "\n| "+row[0]+" |")
		if ours[i] && !theirs[i] || listed != (theirs[i] && !ours[i]) {
			t.Errorf("%s: ours %t, theirs %t, listed %t", row[0], ours[i], theirs[i], listed)
		}
	}
	if !ours[0] || !theirs[0] {
		t.Error("the good token is refused")
	}
}
