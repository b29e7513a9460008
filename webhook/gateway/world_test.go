package gateway_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook/gateway"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// memoryBus keeps what it is sent.
type memoryBus struct {
	mu   sync.Mutex
	sent []string
	err  error
	hold chan struct{} // a Send waits until it is closed; nil = none waits
	held chan struct{} // has one for each Send that waits
}

func (b *memoryBus) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	b.mu.Lock()
	hold, err := b.hold, b.err
	b.mu.Unlock()
	if hold != nil {
		b.held <- struct{}{}
		<-hold
	}
	results := make([]producer.Result, len(events))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range events {
		if results[i].Err = err; err == nil {
			b.sent = append(b.sent, string(e.JSON()))
		}
	}
	return results
}

func (b *memoryBus) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// block makes each Send wait; the function lets all of them go on.
func (b *memoryBus) block() (release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hold := make(chan struct{})
	b.hold, b.held = hold, make(chan struct{}, 64)
	return func() {
		b.mu.Lock()
		b.hold = nil
		b.mu.Unlock()
		close(hold)
	}
}

func (b *memoryBus) events() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.sent...)
}

// world is a gateway on 127.0.0.1.
type world struct {
	*gateway.Gateway
	t   *testing.T
	bus *memoryBus
	url string
}

const oneEndpoint = `
endpoints:
  github:
    path: /hooks/github
    provider: github
    secrets: [env:GITHUB_SECRET]
    source: https://hooks.example/github
`

func options() *gateway.Options {
	return &gateway.Options{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}
}

func ring(t testing.TB) keys.SignerSource {
	return keys.SignWith(keystest.Signer(t, keys.Ed25519, "hooks", "gateway"))
}

func newWorld(t *testing.T, config string, opts *gateway.Options) *world {
	t.Helper()
	t.Setenv("GITHUB_SECRET", "first")
	if opts == nil {
		opts = options()
	}
	w := &world{t: t, bus: &memoryBus{}}
	var err error
	w.Gateway, err = gateway.New(t.Context(), []byte(config), ring(t), w.bus,
		replay.NewMemory(&replay.MemoryOptions{Now: opts.Now}), opts)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.Gateway)
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

// signed is a delivery of GitHub.
func signed(t testing.TB, url, secret, body string) *http.Request {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-GitHub-Event", "push")
	r.Header.Set("Content-Type", "application/json")
	return r
}

// do sends a request, and gives the status and the body of the answer.
func do(t testing.TB, r *http.Request) (int, string, http.Header) {
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, "", nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// send sends a delivery to the endpoint github.
func (w *world) send(secret, body string) int {
	status, _, _ := do(w.t, signed(w.t, w.url+"/hooks/github", secret, body))
	return status
}

// admin is the answer to a GET.
func (w *world) admin(path string) (int, string) {
	answer := httptest.NewRecorder()
	w.Admin().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Code, answer.Body.String()
}

// logged is a logger that keeps its lines.
func logged() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &b
}
