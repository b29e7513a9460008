package sender_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// The defaults of a sender.
const (
	timeout     = 20 * time.Second
	lease       = 2 * time.Minute
	poll        = time.Second
	concurrency = 4
)

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// request is one that the receivers got.
type request struct {
	*http.Request
	body []byte
	at   time.Time
}

func (r *request) id() string { return r.Header.Get("Webhook-Id") }

// world is a sender whose transport is a function. Its clock is that of the bubble.
type world struct {
	t     *testing.T
	store sender.BackEnd
	*sender.Sender
	answer func(r *request) *http.Response // nil = it hangs until its context ends

	mu       sync.Mutex
	got      []request
	attempts []sender.Attempt
	inFlight map[string]int // by host
	most     map[string]int
}

func endpoint(id string) sender.Endpoint {
	signing, err := sender.StandardWebhooks([]webhook.Secret{{Text: secretText}})
	if err != nil {
		panic(err)
	}
	return sender.Endpoint{ID: id, URL: "https://" + id + ".example/hooks", Signing: signing}
}

func newWorld(t *testing.T, o sender.Options, list ...sender.Endpoint) *world {
	t.Helper()
	endpoints, err := sender.NewEndpoints(list...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: sender.NewMemory(nil), inFlight: map[string]int{}, most: map[string]int{}}
	w.answer = func(*request) *http.Response { return status(200) }
	o.UnsafeTransport, o.Observer, o.Logger = w, w, slog.New(slog.DiscardHandler)
	if w.Sender, err = sender.New(w.store, endpoints, &o); err != nil {
		t.Fatal(err)
	}
	return w
}

// status is an answer.
func status(code int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: code, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader("SECRET"))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	got := request{r, body, time.Now()}
	w.mu.Lock()
	w.got = append(w.got, got)
	w.inFlight[r.Host]++
	w.most[r.Host] = max(w.most[r.Host], w.inFlight[r.Host])
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.inFlight[r.Host]--
		w.mu.Unlock()
	}()
	if resp := w.answer(&got); resp != nil {
		return resp, nil
	}
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

// Attempted is the Observer.
func (w *world) Attempted(_ context.Context, a sender.Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts = append(w.attempts, a)
}

func (w *world) send(endpoint, id string) {
	w.t.Helper()
	m := sender.Message{ID: id, Body: []byte(`{"id":"` + id + `"}`)}
	if err := w.Send(w.t.Context(), endpoint, m); err != nil {
		w.t.Fatal(err)
	}
}

// run runs the sender for that long, on the clock of the bubble.
func (w *world) run(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		w.t.Error(err)
	}
}

// to are the requests to an endpoint.
func (w *world) to(id string) (list []request) {
	for _, r := range w.got {
		if r.Host == id+".example" {
			list = append(list, r)
		}
	}
	return list
}

// dead is the dead list: ID and cause.
func (w *world) dead() map[string]sender.Cause {
	w.t.Helper()
	list, err := w.store.Dead(w.t.Context(), sender.Key{}, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]sender.Cause{}
	for _, d := range list {
		out[d.ID] = d.Cause
	}
	return out
}

// bubble is a test on a clock of its own.
func bubble(name string, t *testing.T, test func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}
