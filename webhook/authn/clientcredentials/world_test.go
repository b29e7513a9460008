package clientcredentials_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/jitter"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

const (
	endpoint = "https://issuer.example/oauth2/token?tenant=7"
	secret   = "s3cr3t/of:the client+1"
)

// issuer is a token endpoint in memory, with a clock.
type issuer struct {
	mu       sync.Mutex
	now      time.Time
	forms    []url.Values                                         // of the requests
	requests []*http.Request                                      // that came
	answer   func(n int, r *http.Request) (*http.Response, error) // to the nth request
}

func newIssuer() *issuer {
	i := &issuer{now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	i.answer = func(n int, _ *http.Request) (*http.Response, error) {
		return ok(fmt.Sprintf(`{"access_token":"token-%d","token_type":"Bearer","expires_in":3600}`, n)), nil
	}
	return i
}

// RoundTrip is the method of http.RoundTripper.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	i.forms, i.requests = append(i.forms, form), append(i.requests, r)
	n, answer := len(i.forms), i.answer
	i.mu.Unlock()
	return answer(n, r)
}

func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *issuer) sleep(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// asked is how often the issuer was asked.
func (i *issuer) asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.forms)
}

func (i *issuer) options() *clientcredentials.Options {
	return &clientcredentials.Options{Now: i.clock, Client: &http.Client{Transport: i}}
}

func (i *issuer) source(t testing.TB, opts *clientcredentials.Options) *clientcredentials.Source {
	t.Helper()
	if opts == nil {
		opts = i.options()
	}
	s, err := clientcredentials.New(endpoint, "4client", secret, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// steady is a context in which renewals are not spread.
func steady(ctx context.Context) context.Context {
	return jitter.With(ctx, func() float64 { return 0 })
}

// ok is an answer in JSON.
func ok(body string) *http.Response { return answered(http.StatusOK, "application/json", body) }

func answered(status int, media, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: -1}
}
