package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/sealbus/sealbus/webhook/authn"
)

const (
	tokenIssuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_BENCH"
	tokenClient = "4client0app0one"
)

var tokenTime = time.Unix(1_790_000_000, 0)

// cognitoToken is an access token as Cognito issues it, with a scope and a group, and its key.
type cognitoToken struct {
	key  *rsa.PrivateKey
	text string
	jwks []byte
}

func newCognitoToken(b *testing.B) *cognitoToken {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		b.Fatal(err)
	}
	c := &cognitoToken{key: key, jwks: jwks}
	c.text = c.sign(b, "k1")
	return c
}

func (c *cognitoToken) sign(b *testing.B, kid string) string {
	b.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"kid":"`+kid+`","alg":"RS256"}`)) + "." +
		b64([]byte(`{"sub":"aaaa","iss":"`+tokenIssuer+
			`","client_id":"`+tokenClient+`","token_use":"access","scope":"news/read news/delete",`+
			`"auth_time":1789999940,"exp":1790003540,"iat":1789999940,"jti":"j1","version":2,`+
			`"cognito:groups":["admin"]}`))
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(nil, c.key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	return input + "." + b64(signature)
}

// cognitoClaims are the claims that each program judges: issuer, client, use, dates, a scope and a group.
type cognitoClaims struct {
	jwt.RegisteredClaims

	ClientID string   `json:"client_id"`
	TokenUse string   `json:"token_use"`
	Scope    string   `json:"scope"`
	Groups   []string `json:"cognito:groups"`
}

func (c *cognitoClaims) judge() error {
	if c.Issuer != tokenIssuer || c.ClientID != tokenClient || c.TokenUse != "access" || c.ExpiresAt == nil ||
		!slices.Contains(strings.Split(c.Scope, " "), "news/delete") || !slices.Contains(c.Groups, "admin") {
		return errors.New("refused")
	}
	return nil
}

// BenchmarkToken verifies an access token of Cognito, RS256 with 2,048 bits, beside three peers. Each has its
// keys at hand and judges the same claims. "raw" is the signature and SHA-256, and nothing else. All take
// turns, and the fastest turn of each counts.
func BenchmarkToken(b *testing.B) {
	const turn = 20
	c := newCognitoToken(b)
	ways := []struct {
		name   string
		verify func() error
		best   time.Duration
	}{{"raw", c.raw(b), time.Hour}, {"sealbus", c.sealbus(b), time.Hour}, {"go-oidc", c.oidc(), time.Hour},
		{"jwx", c.jwx(b), time.Hour}, {"golang-jwt", c.golangJWT(), time.Hour}}
	for b.Loop() {
		for i := range ways {
			start := time.Now()
			for range turn {
				if err := ways[i].verify(); err != nil {
					b.Fatal(ways[i].name, err)
				}
			}
			ways[i].best = min(ways[i].best, time.Since(start))
		}
	}
	for _, way := range ways {
		b.ReportMetric(float64(way.best)/float64(ways[0].best), way.name+"-x-raw")
		b.ReportMetric(testing.AllocsPerRun(10, func() { _ = way.verify() }), way.name+"-allocs")
	}
	b.ReportMetric(float64(ways[0].best)/turn, "raw-ns")
}

func (c *cognitoToken) raw(b *testing.B) func() error {
	dot := strings.LastIndexByte(c.text, '.')
	signature, err := base64.RawURLEncoding.DecodeString(c.text[dot+1:])
	if err != nil {
		b.Fatal(err)
	}
	return func() error {
		sum := sha256.Sum256([]byte(c.text[:dot]))
		return rsa.VerifyPKCS1v15(&c.key.PublicKey, crypto.SHA256, sum[:], signature)
	}
}

func (c *cognitoToken) sealbus(b *testing.B) func() error {
	keys, err := authn.ParseKeys(c.jwks)
	if err != nil {
		b.Fatal(err)
	}
	v, err := authn.New(tokenIssuer, keys, &authn.Options{ClientIDs: []string{tokenClient}})
	if err != nil {
		b.Fatal(err)
	}
	need := &authn.Need{Scopes: []string{"news/delete"}, Groups: []string{"admin"}}
	return func() error {
		id, err := v.Verify(context.Background(), c.text, tokenTime)
		if err != nil {
			return err
		}
		return id.Check(need)
	}
}

func (c *cognitoToken) oidc() func() error {
	v := oidc.NewVerifier(tokenIssuer, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{&c.key.PublicKey}},
		&oidc.Config{SkipClientIDCheck: true, Now: func() time.Time { return tokenTime }})
	return func() error {
		token, err := v.Verify(context.Background(), c.text)
		if err != nil {
			return err
		}
		claims := new(cognitoClaims)
		if err := token.Claims(claims); err != nil {
			return err
		}
		return claims.judge()
	}
}

func (c *cognitoToken) jwx(b *testing.B) func() error {
	set, err := jwk.Parse(c.jwks)
	if err != nil {
		b.Fatal(err)
	}
	return func() error {
		token, err := jwxjwt.ParseString(c.text, jwxjwt.WithKeySet(set), jwxjwt.WithIssuer(tokenIssuer),
			jwxjwt.WithRequiredClaim("exp"), jwxjwt.WithClaimValue("client_id", tokenClient),
			jwxjwt.WithClaimValue("token_use", "access"),
			jwxjwt.WithClock(jwxjwt.ClockFunc(func() time.Time { return tokenTime })))
		if err != nil {
			return err
		}
		var scope string
		var groups []any
		if err := errors.Join(token.Get("scope", &scope), token.Get("cognito:groups", &groups)); err != nil {
			return err
		}
		if !slices.Contains(strings.Split(scope, " "), "news/delete") || !slices.Contains(groups, any("admin")) {
			return errors.New("refused")
		}
		return nil
	}
}

func (c *cognitoToken) golangJWT() func() error {
	p := jwt.NewParser(jwt.WithValidMethods([]string{jwa.RS256().String()}), jwt.WithIssuer(tokenIssuer),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return tokenTime }))
	keys := map[any]any{"k1": &c.key.PublicKey}
	return func() error {
		claims := new(cognitoClaims)
		_, err := p.ParseWithClaims(c.text, claims, func(t *jwt.Token) (any, error) {
			if key := keys[t.Header["kid"]]; key != nil {
				return key, nil
			}
			return nil, errors.New("no such key")
		})
		if err != nil {
			return err
		}
		return claims.judge()
	}
}

// BenchmarkUnknownKeys shows how often an issuer is asked for its keys by 300 tokens with key IDs that it
// does not know.
func BenchmarkUnknownKeys(b *testing.B) {
	const tokens = 300
	c := newCognitoToken(b)
	var asked atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(c.jwks)
	}))
	defer site.Close()
	keys, err := authn.FetchKeys(site.URL, &authn.KeyOptions{UnsafeAllowHTTP: true})
	if err != nil {
		b.Fatal(err)
	}
	v, err := authn.New(tokenIssuer, keys, &authn.Options{ClientIDs: []string{tokenClient}})
	if err != nil {
		b.Fatal(err)
	}
	theirs := oidc.NewVerifier(tokenIssuer, oidc.NewRemoteKeySet(context.Background(), site.URL),
		&oidc.Config{SkipClientIDCheck: true, Now: func() time.Time { return tokenTime }})
	strange := make([]string, tokens)
	for i := range strange {
		strange[i] = c.sign(b, "x"+strconv.Itoa(i))
	}
	for _, way := range []struct {
		name   string
		verify func(text string) error
	}{
		{"sealbus", func(text string) error {
			_, err := v.Verify(context.Background(), text, tokenTime)
			return err
		}},
		{"go-oidc", func(text string) error {
			_, err := theirs.Verify(context.Background(), text)
			return err
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			asked.Store(0)
			rounds := 0
			for b.Loop() {
				rounds++
				for _, text := range strange {
					if way.verify(text) == nil {
						b.Fatal("a key that is not known is accepted")
					}
				}
			}
			b.ReportMetric(float64(asked.Load())/float64(rounds), "requests/300tokens")
		})
	}
}
