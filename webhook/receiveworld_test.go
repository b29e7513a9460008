package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

var receiveStart = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

const receiveSecret = "a secret of the test's provider"

// testScheme signs "url.id.time.body" with HMAC-SHA256, in hex: the header X-Test-Signature.
type testScheme struct {
	fails  error           // what Check returns
	answer *webhook.Answer // what every delivery is a challenge for; nil = none is
}

func (testScheme) Name() string { return "test" }

func (s testScheme) Open(secrets []webhook.Secret, o webhook.SchemeOptions) (webhook.Checker, error) {
	return testChecker{s, secrets, o.BaseURL}, nil
}

type testChecker struct {
	testScheme
	secrets []webhook.Secret
	base    string
}

func (c testChecker) Check(_ context.Context, r webhook.Request, _ time.Time) (webhook.Signed, error) {
	if c.fails != nil {
		return webhook.Signed{}, c.fails
	}
	var values [3]string
	for i, name := range []string{"X-Test-Signature", "X-Test-Id", "X-Test-Time"} {
		var err error
		if values[i], err = r.HeaderValue(name); err != nil {
			return webhook.Signed{}, err
		}
	}
	if values[0] == "" {
		return webhook.Signed{}, &webhook.Error{Reason: envelope.ReasonUnsigned}
	}
	at, err := time.Parse(time.RFC3339, values[2])
	if err != nil || c.base != "" && r.Target == "" {
		return webhook.Signed{}, &webhook.Error{
			Reason: envelope.ReasonMalformed,
			Err:    errors.New("no time or URL"),
		}
	}
	url := ""
	if c.base != "" {
		url = c.base + r.Target
	}
	for _, s := range c.secrets {
		if hmac.Equal([]byte(testMAC(s.Text, url, values[1], values[2], r.Body)), []byte(values[0])) {
			return webhook.Signed{KeyID: s.ID, Head: values[1] + "." + values[2] + ".", Body: true, Time: at,
				Tolerance: 5 * time.Minute, ID: values[1], IDSigned: values[1] != "", Answer: c.answer,
				Signature: values[0], Type: "test.paid", Subject: "invoice/7"}, nil
		}
	}
	return webhook.Signed{}, &webhook.Error{Reason: envelope.ReasonBadSignature,
		Err: errors.New("no secret made it")}
}

func testMAC(secret, url, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(url + "." + id + "." + at + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// signedAs is a delivery with that ID, "" = none, and body, signed at that time.
func signedAs(id string, body []byte, at time.Time) webhook.Request {
	text := at.UTC().Format(time.RFC3339)
	r := webhook.Request{Method: "POST", Target: "/hooks", Body: body, Header: []webhook.Field{
		{Name: "Content-Type", Value: "application/json"}, {Name: "X-Test-Time", Value: text},
		{Name: "X-Test-Signature", Value: testMAC(receiveSecret, "", id, text, body)},
	}}
	if id != "" {
		r.Header = append(r.Header, webhook.Field{Name: "X-Test-Id", Value: id})
	}
	return r
}

// receiving is a receiver with everything around it, in a time of its own.
type receiving struct {
	testing.TB
	clock   *replaytest.Clock
	scheme  testScheme
	vopts   webhook.Options
	store   *brokenStore
	opts    webhook.ReceiverOptions
	next    func(context.Context, *webhook.Verified) error // called after it was counted; nil = succeeds
	mu      sync.Mutex
	handled []string // the bodies that next was called with
}

// brokenStore is a real store with faults that a test switches on.
type brokenStore struct {
	replay.Store
	claim, complete, release error
	slow                     func() // what happens before the answer to Claim; nil = nothing
	renews                   int
	releases                 int
}

func (s *brokenStore) Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (
	replay.Claim, replay.Status, error,
) {
	if s.claim != nil {
		return replay.Claim{}, 0, s.claim
	}
	claim, status, err := s.Store.Claim(ctx, key, digest, until, lease)
	if s.slow != nil {
		s.slow()
	}
	return claim, status, err
}

func (s *brokenStore) Renew(ctx context.Context, c replay.Claim, lease time.Duration) error {
	s.renews++
	return s.Store.Renew(ctx, c, lease)
}

func (s *brokenStore) Complete(ctx context.Context, c replay.Claim, until time.Time) error {
	if s.complete != nil {
		return s.complete
	}
	return s.Store.Complete(ctx, c, until)
}

func (s *brokenStore) Release(ctx context.Context, c replay.Claim) error {
	s.releases++
	if s.release != nil {
		return s.release
	}
	return s.Store.Release(ctx, c)
}

func newReceiving(t testing.TB) *receiving {
	clock := replaytest.NewClock(receiveStart)
	return &receiving{TB: t, clock: clock,
		store: &brokenStore{Store: replay.NewMemory(&replay.MemoryOptions{Capacity: 1000, Now: clock.Now})},
		opts:  webhook.ReceiverOptions{Now: clock.Now, Logger: slog.New(slog.DiscardHandler)}}
}

// receiver makes another receiver with the same store, as a restarted process does.
func (w *receiving) receiver() *webhook.Receiver {
	w.Helper()
	v, err := webhook.New(w.scheme, "billing", []webhook.Secret{{ID: "k1", Text: receiveSecret}}, &w.vopts)
	if err != nil {
		w.Fatal(err)
	}
	var store replay.Store
	if w.store != nil {
		store = w.store
	}
	c, err := webhook.NewReceiver(v, store, func(ctx context.Context, v *webhook.Verified) error {
		w.mu.Lock()
		w.handled = append(w.handled, string(v.Body))
		w.mu.Unlock()
		if w.next != nil {
			return w.next(ctx, v)
		}
		return nil
	}, &w.opts)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// receive sends it through a new receiver and checks status, Reason and how often next was called in all.
func (w *receiving) receive(
	r webhook.Request,
	status int,
	reason envelope.Reason,
	handled int,
) webhook.Response {
	w.Helper()
	resp := w.receiver().Receive(w.Context(), r, time.Time{})
	if resp.Status != status || resp.Reason != reason {
		w.Errorf("status %d, reason %q (%v), want %d %q", resp.Status, resp.Reason, resp.Err, status, reason)
	}
	if len(w.handled) != handled {
		w.Errorf("next was called %d times, want %d", len(w.handled), handled)
	}
	return resp
}

func headerOf(r webhook.Response, name string) string {
	for _, f := range r.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// problem is the body of a refusal.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Reason string `json:"reason"`
}

func problemOf(t testing.TB, body []byte) (p problem) {
	t.Helper()
	if err := json.Unmarshal(body, &p); err != nil {
		t.Errorf("the body %q is no problem: %v", body, err)
	}
	return p
}

func hmacOf(secret, text string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// needCorpus fails unless the fuzz target has its committed inputs.
func needCorpus(f *testing.F, target string) {
	f.Helper()
	files, err := filepath.Glob("testdata/fuzz/" + target + "/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
}
