package interop_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

// The client secret has what HTTP Basic and forms have to encode, each in its way.
const clientSecret = "s3cr3t/of: the client+%20"

const orders = "https://api.example/orders" // the audience of the API

// tokenIssuer is npm oidc-provider.
type tokenIssuer struct {
	t   *testing.T
	url string

	mu     sync.Mutex
	passed time.Duration // on the clocks of sources and keys
}

func startIssuer(t *testing.T) *tokenIssuer {
	t.Helper()
	needPackages(t)
	s := startServer(t, func(port string) *exec.Cmd {
		return exec.Command("node", "peers/issuer.mjs", port, clientSecret)
	})
	return &tokenIssuer{t: t, url: "http://" + s.addr()}
}

func (i *tokenIssuer) now() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return time.Now().Add(i.passed)
}

func (i *tokenIssuer) sleep(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.passed += d
}

func (i *tokenIssuer) rotate(query string) {
	i.t.Helper()
	resp, err := http.Post(i.url+"/rotate?"+query, "", nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		i.t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
}

// source gets tokens for the resource with these scopes.
func (i *tokenIssuer) source(clientID, secret, resource string, scopes ...string) *clientcredentials.Source {
	i.t.Helper()
	s, err := clientcredentials.New(i.url+"/token", clientID, secret, &clientcredentials.Options{Scopes: scopes,
		Parameters: url.Values{"resource": {resource}}, SecretInBody: clientID == "post", Now: i.now,
		UnsafeAllowHTTP: true})
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

// keys are those that the issuer names.
func (i *tokenIssuer) keys() *authn.Keys {
	i.t.Helper()
	resp, err := http.Get(i.url + "/.well-known/openid-configuration")
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	var says struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&says); err != nil {
		i.t.Fatal(err)
	}
	keys, err := authn.FetchKeys(says.JWKS, &authn.KeyOptions{Now: i.now, UnsafeAllowHTTP: true})
	if err != nil {
		i.t.Fatal(err)
	}
	return keys
}

// api is a protected API, which needs the scope orders/write.
func (i *tokenIssuer) api(keys *authn.Keys, now func() time.Time) (*httptest.Server, *authn.Verifier) {
	i.t.Helper()
	v, err := authn.New(i.url, keys, &authn.Options{Audiences: []string{orders}, Now: now})
	if err != nil {
		i.t.Fatal(err)
	}
	h, err := authn.Guard(v, &authn.Need{Scopes: []string{"orders/write"}},
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Client", authn.FromContext(r.Context()).ClientID)
		}))
	if err != nil {
		i.t.Fatal(err)
	}
	server := httptest.NewServer(h)
	i.t.Cleanup(server.Close)
	return server, v
}

// call calls the API with a token of the source, and returns the status and the client that the API saw.
func call(t *testing.T, s *clientcredentials.Source, api string) (status int, client string) {
	t.Helper()
	transport, err := s.Transport(nil, api)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get(api)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d without WWW-Authenticate", resp.StatusCode)
	}
	return resp.StatusCode, resp.Header.Get("Client")
}

// TestTokensOfOIDCProvider: real tokens pass, with the secret in either place. Another scope is 403, an
// expired token and one for another API are 401.
func TestTokensOfOIDCProvider(t *testing.T) {
	i := startIssuer(t)
	keys := i.keys()
	api, v := i.api(keys, nil)
	for _, client := range []string{"basic", "post"} {
		s := i.source(client, clientSecret, orders, "orders/write", "orders/read")
		if status, seen := call(t, s, api.URL); status != http.StatusOK || seen != client {
			t.Errorf("%s: %d, seen as %q", client, status, seen)
		}
	}
	good := i.source("basic", clientSecret, orders, "orders/write", "orders/read")
	token := mustToken(t, good)
	id, err := v.Verify(t.Context(), token, time.Now())
	if err != nil || !slices.Equal(id.Scopes, []string{"orders/write", "orders/read"}) || id.Issuer != i.url {
		t.Errorf("%+v, %v", id, err)
	}
	if status, _ := call(t, i.source("basic", clientSecret, orders, "orders/read"), api.URL); status != 403 {
		t.Errorf("without the scope: %d", status)
	}
	other := i.source("basic", clientSecret, "https://api.example/other", "orders/write")
	if status, _ := call(t, other, api.URL); status != 401 {
		t.Errorf("for another API: %d", status)
	}
	wantTokenReason(t, v, mustToken(t, other), time.Now(), envelope.ReasonAudienceMismatch)
	wantTokenReason(t, v, token, time.Now().Add(2*time.Hour), envelope.ReasonExpired)
	late, _ := i.api(keys, func() time.Time { return time.Now().Add(2 * time.Hour) })
	if status, _ := call(t, good, late.URL); status != 401 {
		t.Errorf("expired: %d", status)
	}
	for name, s := range map[string]*clientcredentials.Source{
		"another secret":  i.source("basic", clientSecret+"x", orders, "orders/write"),
		"another client":  i.source("unregistered", clientSecret, orders, "orders/write"),
		"a scope refused": i.source("basic", clientSecret, orders, "orders/delete"),
		"a scope dropped": i.source("basic", clientSecret, orders, "orders/write", "orders/unknown"),
	} {
		if _, err := s.Token(t.Context()); !errors.Is(err, clientcredentials.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRotationOfOIDCProvider: a new key of another algorithm works within 30 s, and a token under a key that
// was taken away is refused within 15 minutes. A client whose token is refused gets one new token.
func TestRotationOfOIDCProvider(t *testing.T) {
	i := startIssuer(t)
	api, v := i.api(i.keys(), nil)
	s := i.source("basic", clientSecret, orders, "orders/write")
	if status, _ := call(t, s, api.URL); status != http.StatusOK {
		t.Fatal(status)
	}
	old := mustToken(t, s)
	for _, alg := range []string{"ES256", "Ed25519", "RS256"} {
		i.rotate("alg=" + alg)
		i.sleep(30 * time.Second)
		next := i.source("basic", clientSecret, orders, "orders/write")
		if status, _ := call(t, next, api.URL); status != http.StatusOK {
			t.Errorf("%s, within 30 s: %d", alg, status)
		}
		if status, _ := call(t, s, api.URL); status != http.StatusOK || mustToken(t, s) != old {
			t.Errorf("%s: the old key is published, and its token: %d", alg, status)
		}
	}
	i.rotate("alg=ES256&drop")
	i.sleep(15 * time.Minute)
	wantTokenReason(t, v, old, time.Now(), envelope.ReasonUnknownKey)
	if mustToken(t, s) != old {
		t.Fatal("the source renewed the token by itself")
	}
	if status, _ := call(t, s, api.URL); status != http.StatusOK || mustToken(t, s) == old {
		t.Errorf("after a refusal: %d", status)
	}
}

func mustToken(t *testing.T, s *clientcredentials.Source) string {
	t.Helper()
	token, err := s.Token(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return token.AccessToken
}

func wantTokenReason(t *testing.T, v *authn.Verifier, token string, at time.Time, want envelope.Reason) {
	t.Helper()
	_, err := v.Verify(t.Context(), token, at)
	if e, ok := errors.AsType[*authn.Error](err); !ok || e.Reason != want {
		t.Errorf("%v, want %s", err, want)
	}
}
