package clientcredentials_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

// api is a protected API: it takes one token, and keeps what came.
type api struct {
	good string // the token that it takes
	came []string
	body []string
}

// RoundTrip is the method of http.RoundTripper.
func (a *api) RoundTrip(r *http.Request) (*http.Response, error) {
	a.came = append(a.came, r.Header.Get("Authorization"))
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	a.body = append(a.body, string(body))
	if a.came[len(a.came)-1] != "Bearer "+a.good {
		return answered(http.StatusUnauthorized, "text/plain", ""), nil
	}
	return answered(http.StatusOK, "text/plain", ""), nil
}

func transport(t *testing.T, s *clientcredentials.Source, base http.RoundTripper, origins ...string,
) http.RoundTripper {
	t.Helper()
	rt, err := s.Transport(base, origins...)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func post(t *testing.T, to string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(steady(t.Context()), http.MethodPost, to, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// status is that of the answer to a request.
func status(t *testing.T, rt http.RoundTripper, r *http.Request) int {
	t.Helper()
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestTransportRenewsOnce: a 401 to a token that was good causes one new token, and the request is sent again
// with the same body. If the new token is refused, too, that is the answer, and for 30 s no other is asked
// for.
func TestTransportRenewsOnce(t *testing.T) {
	i, a := newIssuer(), &api{good: "token-1"}
	rt := transport(t, i.source(t, nil), a, "https://api.example")
	request := post(t, "https://api.example/x", strings.NewReader("body"))
	if got := status(t, rt, request); got != 200 || request.Header.Get("Authorization") != "" {
		t.Fatalf("%d; the request was given %v", got, request.Header)
	}
	a.good = "token-2" // the issuer took the first one back
	i.sleep(29 * time.Second)
	got := status(t, rt, post(t, "https://api.example/x", strings.NewReader("body")))
	if got != 401 || i.asked() != 1 {
		t.Errorf("%d after %d requests for tokens: a token of 29 s is renewed", got, i.asked())
	}
	i.sleep(time.Second)
	a.came, a.body = nil, nil
	if got := status(t, rt, post(t, "https://api.example/x", strings.NewReader("body"))); got != 200 {
		t.Errorf("%d after a new token", got)
	}
	if strings.Join(a.came, ", ") != "Bearer token-1, Bearer token-2" ||
		strings.Join(a.body, ", ") != "body, body" {
		t.Errorf("the API got %v with %v", a.came, a.body)
	}
	a.good, a.came = "none", nil
	i.sleep(time.Hour / 2)
	for range 100 {
		if got := status(t, rt, post(t, "https://api.example/x", nil)); got != 401 {
			t.Errorf("%d", got)
		}
	}
	if i.asked() != 3 || len(a.came) != 101 {
		t.Errorf("%d tokens and %d requests for 100 refusals", i.asked(), len(a.came))
	}
	i.answer = func(int, *http.Request) (*http.Response, error) { return nil, errors.New("no route") }
	i.sleep(30 * time.Second)
	if got := status(t, rt, post(t, "https://api.example/x", nil)); got != 401 || i.asked() != 4 {
		t.Errorf("%d after %d requests, where the issuer fails", got, i.asked())
	}
}

// TestTransportCannotReadTwice: a request whose body cannot be read twice is not sent again, and the next one
// has the new token.
func TestTransportCannotReadTwice(t *testing.T) {
	i, a := newIssuer(), &api{good: "token-2"}
	s := i.source(t, nil)
	rt := transport(t, s, a, "https://api.example")
	if _, err := s.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.sleep(time.Minute)
	once := func() io.Reader { return io.MultiReader(strings.NewReader("x")) }
	if got := status(t, rt, post(t, "https://api.example/", once())); got != 401 {
		t.Errorf("%d", got)
	}
	got := status(t, rt, post(t, "https://api.example/", once()))
	if got != 200 || len(a.came) != 2 || i.asked() != 2 {
		t.Errorf("%d: %v, %d tokens", got, a.came, i.asked())
	}
}

// closing notes that it is closed.
type closing struct {
	bytes.Reader
	closed bool
}

// Close is the method of io.Closer.
func (c *closing) Close() error { c.closed = true; return nil }

// TestTransportIsForItsOrigins: requests to others are not sent, and no token is asked for.
func TestTransportIsForItsOrigins(t *testing.T) {
	i, a := newIssuer(), &api{good: "token-1"}
	rt := transport(t, i.source(t, nil), a, "https://API.example", "https://other.example:8443/")
	for _, to := range []string{"http://api.example/", "https://api.example:444/", "https://api.example.evil/",
		"https://evil.example/", "https://xapi.example/", "https://other.example/", "http://api.example:443/",
		"https://api.example@evil.example/"} {
		body := &closing{}
		r := post(t, to, body)
		if resp, err := rt.RoundTrip(r); err == nil || !body.closed {
			t.Errorf("%s: %v", to, resp)
		}
	}
	body := &closing{}
	r := post(t, "https://api.example/", body)
	r.Header.Set("Authorization", "Basic eDp5")
	if _, err := rt.RoundTrip(r); err == nil || !body.closed {
		t.Error("a request with an Authorization is sent")
	}
	if i.asked() != 0 || len(a.came) != 0 {
		t.Errorf("%d tokens were asked for, %d requests were sent", i.asked(), len(a.came))
	}
	for _, to := range []string{"https://api.example/", "https://API.EXAMPLE:443/x",
		"https://other.example:8443/?q"} {
		if got := status(t, rt, post(t, to, nil)); got != 200 {
			t.Errorf("%s: %d", to, got)
		}
	}
	i.answer = func(int, *http.Request) (*http.Response, error) { return nil, errors.New("no route") }
	i.sleep(time.Hour)
	body = &closing{}
	if _, err := rt.RoundTrip(post(t, "https://api.example/", body)); err == nil || !body.closed {
		t.Error("a request without a token is sent")
	}
	for _, origins := range [][]string{nil, {""}, {"api.example"}, {"http://api.example"},
		{"https://api.example/x"}, {"https://api.example?x"}, {"https://u@api.example"},
		{"https://api.example", "ftp://x"}} {
		if _, err := i.source(t, nil).Transport(nil, origins...); err == nil {
			t.Errorf("%q is taken for origins", origins)
		}
	}
}

// TestRedirectsCarryNothing, over real connections: the secret does not follow a redirect of the token
// endpoint, and the token does not follow one of the API.
func TestRedirectsCarryNothing(t *testing.T) {
	var stolen atomic.Int32
	thief := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		redirecting := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, thief.URL, code)
		}))
		defer redirecting.Close()
		s, err := clientcredentials.New(redirecting.URL, "4client", secret,
			&clientcredentials.Options{Client: thief.Client()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Token(t.Context()); !errors.Is(err, clientcredentials.ErrRefused) {
			t.Errorf("%d at the token endpoint: %v", code, err)
		}
		rt := transport(t, newIssuer().source(t, nil), thief.Client().Transport, redirecting.URL)
		client := &http.Client{Transport: rt}
		if resp, err := client.Do(post(t, redirecting.URL, strings.NewReader("x"))); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%d at the API is followed", code)
		}
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}
