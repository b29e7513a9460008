package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/ingest"
)

// inside is text of errors that no sender may see.
const inside = "10.0.0.7 INSIDE"

// statusCase is a delivery and the answer to it.
type statusCase struct {
	request webhook.Request
	set     func(t *testing.T, w *statusWorld) // nil = nothing
	status  int
	reason  envelope.Reason
	wait    string // Retry-After
}

// statusWorld is what a case can change.
type statusWorld struct {
	maxBody int // 0 = 1 KiB
	store   replay.Store
	next    func(context.Context, *webhook.Verified) error
	opts    webhook.ReceiverOptions
}

func (w *statusWorld) receiver(t *testing.T) *receiver {
	t.Helper()
	scheme, err := webhook.Provider("stripe")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "billing", []webhook.Secret{{ID: "k", Text: secret}},
		&webhook.Options{MaxBody: w.maxBody})
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{}
	r.Receiver, err = webhook.NewReceiver(v, w.store, w.next, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// status is a store that always gives this answer to Claim.
type status struct {
	replay.Store
	status replay.Status
	err    error
}

func (s status) Claim(context.Context, [32]byte, [32]byte, time.Time, time.Duration) (
	replay.Claim, replay.Status, error,
) {
	return replay.Claim{}, s.status, s.err
}

func claimed(s replay.Status, err error) func(*testing.T, *statusWorld) {
	return func(_ *testing.T, w *statusWorld) { w.store = status{w.store, s, err} }
}

func next(do func(context.Context, *webhook.Verified) error) func(*testing.T, *statusWorld) {
	return func(_ *testing.T, w *statusWorld) { w.next = do }
}

// noMemory fills the Budget, until the end of the test, with the body of another delivery.
func noMemory(t *testing.T, w *statusWorld) {
	var err error
	if w.opts.Budget, err = webhook.NewBudget(1 << 10); err != nil {
		t.Fatal(err)
	}
	other := *w
	held, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	other.next = func(context.Context, *webhook.Verified) error { close(held); <-release; return nil }
	full, r := stripe(strings.Repeat(" ", 1<<10)), other.receiver(t)
	go func() {
		defer close(ended)
		r.Receive(context.Background(), full, time.Time{})
	}()
	t.Cleanup(func() { close(release); <-ended })
	<-held
}

// published makes next seal and publish. The event of a body that just fits is too large once it is sealed.
func published(t *testing.T, w *statusWorld) {
	signer, err := keys.GenerateSigner(keys.Ed25519, "hooks")
	if err != nil {
		t.Fatal(err)
	}
	w.maxBody = 1 << 20
	w.next, err = ingest.New(keys.SignWith(signer), producer.NewLocalBus(nil),
		"https://hooks.example/billing",
		nil)
	if err != nil {
		t.Fatal(err)
	}
}

// statusCases are all statuses of docs/webhooks.md but 408, which only net/http has. Bodies have 1 KiB at
// most.
func statusCases() map[string]statusCase {
	ok, failed := stripe(`{"id":"1"}`), errors.New(inside)
	signed := func(signature, body string) webhook.Request {
		return request("/hooks", body, "Stripe-Signature", signature)
	}
	at := func(seconds string) webhook.Request {
		return signed("t="+seconds+",v1="+hexMAC(seconds+".{}"), "{}")
	}
	forged := signed("t=1796040000,v1="+hexMAC("1796040000.{}"), "[]")
	full := stripe(`{"id":"1","text":"` + strings.Repeat("a", 1<<20-20) + `"}`)
	option := func(set func(o *webhook.ReceiverOptions)) func(*testing.T, *statusWorld) {
		return func(_ *testing.T, w *statusWorld) { set(&w.opts) }
	}
	return map[string]statusCase{
		"handled":      {ok, nil, 200, "", ""},
		"duplicate":    {ok, claimed(replay.Completed, nil), 200, "", ""},
		"malformed":    {signed("t=1,v1=00", "{}"), nil, 400, "malformed", ""},
		"unsigned":     {request("/hooks", "{}"), nil, 401, "unsigned", ""},
		"wrong":        {forged, nil, 401, "bad_signature", ""},
		"stale":        {at("1796039699"), nil, 401, "expired", ""},
		"ahead":        {at("1796040301"), nil, 401, "from_future", ""},
		"in progress":  {ok, claimed(replay.Held, nil), 409, "in_progress", "30"},
		"another body": {ok, claimed(replay.CompletedOther, nil), 409, "id_reused", ""},
		"too large":    {stripe(strings.Repeat(" ", 1025)), nil, 413, "too_large", ""},
		"for the bus":  {full, published, 413, "too_large", ""},
		"content type": {ok, option(func(o *webhook.ReceiverOptions) {
			o.ContentTypes = []string{"text/plain"}
		}), 415, "", ""},
		"over the limit": {ok, option(func(o *webhook.ReceiverOptions) {
			o.Limit = func(time.Time) time.Duration { return 1500 * time.Millisecond }
		}), 429, "", "2"},
		"no memory": {ok, noMemory, 503, "", "5"},
		"no store":  {ok, claimed(0, failed), 503, "store_unavailable", "5"},
		"no bus": {ok, next(func(context.Context, *webhook.Verified) error { return failed }), 503,
			"handler_failed", "5"},
		"panic": {ok, next(func(context.Context, *webhook.Verified) error { panic(inside) }), 503,
			"handler_failed", "5"},
	}
}

// TestStatusesByEachFrontEnd: every status, the Reason, when to come again, and a problem (RFC 9457) that has
// status, title and Reason and nothing of the inside.
func TestStatusesByEachFrontEnd(t *testing.T) {
	for name, c := range statusCases() {
		for _, front := range slices.Sorted(maps.Keys(frontEnds)) {
			t.Run(name+"/"+front, func(t *testing.T) {
				clock := func() time.Time { return now }
				w := &statusWorld{maxBody: 1 << 10,
					store: replay.NewMemory(&replay.MemoryOptions{Capacity: 10, Now: clock}),
					next:  func(context.Context, *webhook.Verified) error { return nil },
					opts:  webhook.ReceiverOptions{Now: clock, Logger: slog.New(slog.DiscardHandler)}}
				if c.set != nil {
					c.set(t, w)
				}
				got := frontEnds[front](t, w.receiver(t), c.request)
				if got.status != c.status || got.header["Retry-After"] != c.wait ||
					bytes.Contains(got.body, []byte(inside)) {
					t.Fatalf("%d %v %s", got.status, got.header, got.body)
				}
				if c.status == 200 {
					if len(got.body) > 0 {
						t.Errorf("the body is %s", got.body)
					}
					return
				}
				want := map[string]any{"status": float64(c.status), "title": http.StatusText(c.status)}
				if c.reason != "" {
					want["reason"] = string(c.reason)
				}
				var problem map[string]any
				if err := json.Unmarshal(got.body, &problem); err != nil || !maps.Equal(problem, want) ||
					got.header["Content-Type"] != "application/problem+json" {
					t.Errorf("the problem is %s, of the type %s", got.body, got.header["Content-Type"])
				}
			})
		}
	}
}
