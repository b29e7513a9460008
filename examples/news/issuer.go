package main

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sealbus/sealbus/examples/news/newsroom"
)

// client is the app client of the readers.
const client = "news-website"

// groups are the users, and the groups that they are in.
var groups = map[string][]string{"rob": nil, "ada": {"admin"}}

// issuer is a user pool for this example: it issues the tokens that Amazon Cognito would, and asks for no
// password. Its key is in memory, and gone with the program.
type issuer struct {
	url string
	key ed25519.PrivateKey
	now func() time.Time
}

func newIssuer(url string) (*issuer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	return &issuer{url, key, time.Now}, err
}

const keyID = "example"

// keys has the public key, as every issuer publishes its own: a JWK Set (RFC 7517).
func (i *issuer) keys(w http.ResponseWriter, _ *http.Request) {
	public, _ := i.key.Public().(ed25519.PublicKey)
	w.Header().Set("Content-Type", "application/jwk-set+json")
	fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":%q}]}`, keyID,
		base64.RawURLEncoding.EncodeToString(public))
}

// token signs a user in: the form has the user, and use=id for an id token.
func (i *issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<10)
	user := r.PostFormValue("user")
	if _, known := groups[user]; !known {
		http.Error(w, "the users are rob and ada", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, i.sign(user, r.PostFormValue("use") == "id")+"\n")
}

// sign is a token of a user.
func (i *issuer) sign(user string, isID bool) string {
	claims := map[string]any{"sub": user}
	if len(groups[user]) > 0 {
		claims["cognito:groups"] = groups[user]
	}
	if isID {
		claims["token_use"], claims["aud"] = "id", client
	} else {
		claims["token_use"], claims["client_id"], claims["scope"] = "access", client, newsroom.UserScope
	}
	return i.issue(claims)
}

// issue makes a token as Amazon Cognito writes it, which is good for an hour.
func (i *issuer) issue(claims map[string]any) string {
	now := i.now()
	claims["iss"], claims["iat"], claims["exp"] = i.url, now.Unix(), now.Add(time.Hour).Unix()
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err) // texts and numbers always have JSON
	}
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(`{"alg":"EdDSA","kid":"`+keyID+`"}`)) + "." + encode(text)
	return input + "." + encode(ed25519.Sign(i.key, []byte(input)))
}

// signIn is a user of the walk who signs in over HTTP.
func (i *issuer) signIn(ctx context.Context, form string) (string, error) {
	answer, err := request(ctx, http.MethodPost, i.url+"/token", "", form)
	return trimmed(answer), err
}
