package jwt_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"crypto/elliptic"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

// otherForm is the token with the second form of its ECDSA signature.
func otherForm(token string) string {
	at := strings.LastIndex(token, ".") + 1
	signature := must(base64.RawURLEncoding.DecodeString(token[at:]))
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s)
	s.FillBytes(signature[32:])
	return token[:at] + base64.RawURLEncoding.EncodeToString(signature)
}

// provider is a transport with the keys of a provider. It notes what is asked.
type provider struct {
	mu     sync.Mutex
	answer func(req *http.Request, body string) (int, string)
	asked  []string // address and body
}

func (p *provider) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var body []byte
	if req.Body != nil {
		body = must(io.ReadAll(req.Body))
	}
	p.asked = append(p.asked, req.Method+" "+req.URL.String()+" "+string(body))
	status, text := p.answer(req, string(body))
	if status == 0 {
		return nil, fmt.Errorf("no answer")
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"https://evil.example/"}},
		Body: io.NopCloser(bytes.NewBufferString(text))}, nil
}

func (p *provider) serve(status int, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = func(*http.Request, string) (int, string) { return status, text }
}

func (p *provider) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// TestGoogleKeysAreFetchedNowAndThen: a flood of invented key IDs costs a request in 30 seconds, a new key
// is found after that time, and a key that Google took away is not believed after an hour.
func TestGoogleKeysAreFetchedNowAndThen(t *testing.T) {
	google, next := testKeys().google, testKeys().other
	tokens := map[string]string{"g1": token(jose.RS256, "g1", google, googleClaims("x", "x")),
		"g2": token(jose.RS256, "g2", next, googleClaims("x", "x"))}
	synctest.Test(t, func(t *testing.T) {
		p := new(provider)
		p.serve(200, jwkSet(jwk("g1", jose.RS256, &google.PublicKey)))
		v := open(t, jwt.GooglePubSub(audience, email, &jwt.Options{Transport: p}))
		verify := func(kid string, want envelope.Reason, requests int) {
			t.Helper()
			got, err := v.Verify(context.Background(), push(tokens[kid], pushBody), at)
			if webhook.ReasonOf(err) != want || p.count() != requests || want == "" && got.KeyID != kid {
				t.Errorf("%s: %v after %d requests; want %q after %d", kid, err, p.count(), want, requests)
			}
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { _, _ = v.Verify(context.Background(), push(tokens["g1"], pushBody), at) })
		}
		all.Wait()
		verify("g1", "", 1)
		for range 100 {
			verify("g2", "unknown_key", 1)
		}
		p.serve(200, jwkSet(jwk("g1", jose.RS256, &google.PublicKey), jwk("g2", jose.RS256, &next.PublicKey)))
		time.Sleep(29 * time.Second)
		verify("g2", "unknown_key", 1)
		time.Sleep(time.Second)
		verify("g2", "", 2)
		p.serve(200, jwkSet(jwk("g2", jose.RS256, &next.PublicKey)))
		time.Sleep(time.Hour - time.Second)
		verify("g1", "", 2)
		time.Sleep(time.Second)
		verify("g1", "unknown_key", 3)
		verify("g2", "", 3)
		p.serve(503, "")
		time.Sleep(time.Hour)
		verify("g2", "trust_unavailable", 4)
		p.serve(200, jwkSet(jwk("g2", jose.RS256, &next.PublicKey)))
		verify("g2", "", 5)
	})
}

// TestGoogleKeysThatCannotBeFetched: the sender retries.
func TestGoogleKeysThatCannotBeFetched(t *testing.T) {
	good := jwkSet(jwk("g1", jose.RS256, &testKeys().google.PublicKey))
	r := push(token(jose.RS256, "g1", testKeys().google, googleClaims("x", "x")), pushBody)
	p := new(provider)
	v := open(t, jwt.GooglePubSub(audience, email, &jwt.Options{Transport: p}))
	for _, c := range []struct {
		status int
		text   string
	}{{0, ""}, {302, good}, {404, good}, {500, ""}, {200, ""}, {200, "<html>"}, {200, `{"keys":[]}`},
		{200, good + strings.Repeat(" ", 64<<10)}} {
		p.serve(c.status, c.text)
		if _, err := v.Verify(context.Background(), r, at); webhook.ReasonOf(err) != "trust_unavailable" {
			t.Error(c.status, err)
		}
	}
	p.serve(200, good)
	if _, err := v.Verify(context.Background(), r, at); err != nil {
		t.Error(err)
	}
	for _, asked := range p.asked {
		if asked != "GET https://www.googleapis.com/oauth2/v3/certs " {
			t.Error(asked)
		}
	}
}

const plaidSecret = "a secret of the API of Plaid"

// plaidAPI answers as Plaid's API does. expired is the member expired_at.
func plaidAPI(keys map[string]string, expired string) func(*http.Request, string) (int, string) {
	return func(req *http.Request, body string) (int, string) {
		kid := strings.TrimSuffix(strings.TrimPrefix(body, `{"key_id":"`), `"}`)
		key := keys[kid]
		if key == "" || req.Header.Get("PLAID-SECRET") != plaidSecret ||
			req.Header.Get("PLAID-CLIENT-ID") != "client" {
			return 400, `{"error_code":"INVALID_WEBHOOK_VERIFICATION_KEY_ID"}`
		}
		return 200, `{"key":` + strings.TrimSuffix(key, "}") + `,"created_at":1,"expired_at":` +
			expired + `},"request_id":"1"}`
	}
}

// TestPlaidKeysAreAskedForByID: with the credentials, at Plaid's address only, and for an invented one once
// a second.
func TestPlaidKeysAreAskedForByID(t *testing.T) {
	first, next := testKeys().plaid, testKeys().plaidNext
	api := plaidAPI(map[string]string{"p1": jwk("p1", jose.ES256, &first.PublicKey),
		"p2": jwk("p2", jose.ES256, &next.PublicKey), "p3": jwk("p1", jose.ES256, &first.PublicKey)}, "null")
	signed := map[string]webhook.Request{}
	for kid, key := range map[string]any{"p1": first, "p2": next, "p3": first, "forged": next} {
		signed[kid] = plaidPost(token(jose.ES256, kid, key, plaidClaims(at, plaidBody)), plaidBody)
	}
	synctest.Test(t, func(t *testing.T) {
		p := &provider{answer: api}
		v := open(t, jwt.Plaid("client", plaidSecret, &jwt.Options{Transport: p}))
		verify := func(kid string, want envelope.Reason, requests int) {
			t.Helper()
			_, err := v.Verify(context.Background(), signed[kid], at)
			if webhook.ReasonOf(err) != want || p.count() != requests {
				t.Errorf("%s: %v after %d requests; want %q after %d", kid, err, p.count(), want, requests)
			}
			if err != nil {
				secrettest.NotShown(t, kid, err.Error(), []byte(plaidSecret), plaidSecret)
			}
		}
		verify("p1", "", 1)
		verify("p1", "", 1)
		for range 10 {
			verify("forged", "trust_unavailable", 1) // less than a second after p1
		}
		time.Sleep(time.Second)
		verify("forged", "trust_unavailable", 2)
		verify("p2", "trust_unavailable", 2)
		verify("p1", "", 2)
		time.Sleep(time.Second)
		verify("p2", "", 3)
		time.Sleep(time.Second)
		verify("p3", "trust_unavailable", 4) // the answer has another key
		time.Sleep(time.Hour)
		verify("p1", "", 5)
		const want = `POST https://production.plaid.com/webhook_verification_key/get {"key_id":"p1"}`
		if p.asked[0] != want {
			t.Error(p.asked)
		}
	})
	sandbox := &provider{answer: api}
	v := open(t, jwt.Plaid("client", plaidSecret, &jwt.Options{Transport: sandbox, Sandbox: true}))
	if _, err := v.Verify(context.Background(), signed["p1"], at); err != nil ||
		!slices.Equal(sandbox.asked,
			[]string{`POST https://sandbox.plaid.com/webhook_verification_key/get {"key_id":"p1"}`}) {
		t.Error(err, sandbox.asked)
	}
}

// TestPlaidKeyThatExpired is not valid for what is judged after that.
func TestPlaidKeyThatExpired(t *testing.T) {
	key := testKeys().plaid
	keys := map[string]string{"p1": jwk("p1", jose.ES256, &key.PublicKey)}
	r := plaidPost(token(jose.ES256, "p1", key, plaidClaims(at, plaidBody)), plaidBody)
	for expired, want := range map[string]envelope.Reason{fmt.Sprint(at.Unix()): "",
		fmt.Sprint(at.Unix() - 1): "key_not_valid",
		`"soon"`:                  "trust_unavailable"} {
		v := open(t, jwt.Plaid("client", plaidSecret, &jwt.Options{Transport: &provider{answer: plaidAPI(keys,
			expired)}}))
		if _, err := v.Verify(context.Background(), r, at); webhook.ReasonOf(err) != want {
			t.Errorf("%s: %v; want %q", expired, err, want)
		}
	}
}

func TestPlaidPrintsNoSecret(t *testing.T) {
	s := jwt.Plaid("client", plaidSecret, nil)
	for _, printed := range append(secrettest.Prints(s), secrettest.Prints(open(t, s))...) {
		secrettest.NotShown(t, "plaid", printed, []byte(plaidSecret), plaidSecret)
	}
}
