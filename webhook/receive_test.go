package webhook_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// statuses are the answers to refused deliveries, by Reason. Reasons that are not here are 401.
var statuses = map[envelope.Reason]int{
	"malformed": 400, "unsupported": 400, "schema_invalid": 400,
	"source_not_allowed": 403, "type_not_allowed": 403, "account_mismatch": 403, "envelope_mismatch": 403,
	"audience_mismatch": 403, "forbidden": 403,
	"too_large": 413, "in_progress": 409, "id_reused": 409, "replayed": 200,
	"trust_unavailable": 503, "store_unavailable": 503, "kms_unavailable": 503, "handler_failed": 503,
}

// TestStatusOfEachReason: the body is a problem with the Reason and tells nothing of the cause; what is
// transient says when to come back.
func TestStatusOfEachReason(t *testing.T) {
	for _, reason := range envelope.Reasons() {
		w := newReceiving(t)
		w.scheme.fails = &webhook.Error{Reason: reason, Err: errors.New("10.0.0.7 INSIDE")}
		status := statuses[reason]
		if status == 0 {
			status = 401
		}
		resp := w.receive(signedAs("1", []byte("{}"), receiveStart), status, reason, 0)
		if strings.Contains(string(resp.Body), "INSIDE") {
			t.Errorf("%s: the answer tells the cause: %s", reason, resp.Body)
		}
		if wait := headerOf(resp, "Retry-After"); (reason.Class() == envelope.Transient) != (wait != "") {
			t.Errorf("%s: Retry-After is %q", reason, wait)
		}
		if status == 200 {
			continue
		}
		want := problem{http.StatusText(status), status, string(reason)}
		if got := problemOf(t, resp.Body); got != want {
			t.Errorf("%s: the problem is %+v", reason, got)
		}
		if got := headerOf(resp, "Content-Type"); got != "application/problem+json" {
			t.Errorf("%s: the content type is %q", reason, got)
		}
	}
}

// TestOtherStatuses: what is refused beside the verdict on the signature.
func TestOtherStatuses(t *testing.T) {
	ok := signedAs("1", []byte("{}"), receiveStart)
	for name, c := range map[string]struct {
		set     func(w *receiving)
		request webhook.Request
		status  int
		reason  envelope.Reason
		wait    string
		handled int
	}{
		"handled":          {func(*receiving) {}, ok, 200, "", "", 1},
		"limit":            {limited(1500 * time.Millisecond), ok, 429, "", "2", 0},
		"within the limit": {limited(0), ok, 200, "", "", 1},
		"content type": {func(w *receiving) { w.opts.ContentTypes = []string{"text/plain"} }, ok, 415,
			"", "", 0},
		"right type": {func(w *receiving) { w.opts.ContentTypes = []string{"Application/JSON"} }, ok,
			200, "", "", 1},
		"body too large": {func(w *receiving) { w.vopts.MaxBody = 1 }, ok, 413, "too_large", "", 0},
		"store down": {func(w *receiving) { w.store.claim = replay.ErrUnavailable }, ok, 503,
			"store_unavailable", "5", 0},
		"next fails":        {nextFails(errors.New("INSIDE")), ok, 503, "handler_failed", "5", 1},
		"next is too large": {nextFails(&webhook.Error{Reason: "too_large"}), ok, 413, "too_large", "", 1},
		"next: transient": {nextFails(&webhook.Error{Reason: "trust_unavailable"}), ok, 503,
			"handler_failed", "5", 1},
		"next panics": {func(w *receiving) {
			w.next = func(context.Context, *webhook.Verified) error { panic("INSIDE") }
		}, ok, 503, "handler_failed", "5", 1},
		"not recorded": {func(w *receiving) { w.store.complete = replay.ErrUnavailable }, ok, 503,
			"store_unavailable", "5", 1},
		"stale": {func(*receiving) {}, signedAs("1", nil, receiveStart.Add(-301*time.Second)),
			401, "expired", "", 0},
		"oldest": {func(*receiving) {}, signedAs("1", nil, receiveStart.Add(-300*time.Second)),
			200, "", "", 1},
		"ahead": {func(*receiving) {}, signedAs("1", nil, receiveStart.Add(301*time.Second)), 401,
			"from_future", "", 0},
		"unsigned": {func(*receiving) {}, webhook.Request{Method: "POST"}, 401, "unsigned", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReceiving(t)
			c.set(w)
			resp := w.receive(c.request, c.status, c.reason, c.handled)
			if got := headerOf(resp, "Retry-After"); got != c.wait {
				t.Errorf("Retry-After is %q, want %q", got, c.wait)
			}
			if strings.Contains(string(resp.Body), "INSIDE") {
				t.Errorf("the answer tells the cause: %s", resp.Body)
			}
			if (resp.Verified != nil) != (c.handled > 0 || c.reason == "store_unavailable" ||
				c.status == 429) {
				t.Errorf("Verified is %v", resp.Verified)
			}
		})
	}
}

func limited(wait time.Duration) func(w *receiving) {
	return func(w *receiving) { w.opts.Limit = func(time.Time) time.Duration { return wait } }
}

// TestOnlyHandledDeliveriesUseUpTheLimit: an attacker without the secret sends forgeries, copies and stale
// deliveries, as many as they like. The next true one is handled all the same. A delivery over the limit is
// handled when it comes again.
func TestOnlyHandledDeliveriesUseUpTheLimit(t *testing.T) {
	w := newReceiving(t)
	left := 2
	w.opts.Limit = func(time.Time) time.Duration {
		if left == 0 {
			return time.Second
		}
		left--
		return 0
	}
	first := signedAs("1", []byte("{}"), receiveStart)
	w.receive(first, 200, "", 1)
	forged := clone(first)
	forged.Body = []byte("[]")
	for range 10 {
		w.receive(forged, 401, "bad_signature", 1)
		w.receive(webhook.Request{Method: "POST"}, 401, "unsigned", 1)
		w.receive(first, 200, "replayed", 1)
		w.receive(signedAs("old", nil, receiveStart.Add(-time.Hour)), 401, "expired", 1)
	}
	w.receive(signedAs("2", []byte("{}"), receiveStart), 200, "", 2)
	over := signedAs("3", []byte("{}"), receiveStart)
	w.receive(over, 429, "", 2)
	left = 1
	w.receive(over, 200, "", 3)
}

func nextFails(err error) func(w *receiving) {
	return func(w *receiving) { w.next = func(context.Context, *webhook.Verified) error { return err } }
}

// TestFailedDeliveriesAreHandledWhenTheyComeAgain: whatever ends next without success frees the claim.
func TestFailedDeliveriesAreHandledWhenTheyComeAgain(t *testing.T) {
	first := true
	for name, fail := range map[string]func() error{
		"an error": func() error { return errors.New("no") },
		"a panic":  func() error { panic("no") },
	} {
		w := newReceiving(t)
		first = true
		w.next = func(context.Context, *webhook.Verified) error {
			if !first {
				return nil
			}
			first = false
			return fail()
		}
		r := signedAs("1", []byte("{}"), receiveStart)
		w.receive(r, 503, "handler_failed", 1)
		t.Log(name)
		w.receive(r, 200, "", 2)
		w.receive(r, 200, "replayed", 2)
	}
}

// TestAGoroutineThatEndsReleasesItsClaim: next may end its goroutine, as t.FailNow does.
func TestAGoroutineThatEndsReleasesItsClaim(t *testing.T) {
	w := newReceiving(t)
	w.next = func(context.Context, *webhook.Verified) error { runtime.Goexit(); return nil }
	r := signedAs("1", []byte("{}"), receiveStart)
	c := w.receiver()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Receive(context.Background(), r, time.Time{})
	}()
	<-ended
	w.next = nil
	w.receive(r, 200, "", 2)
}

// TestACrashIsHandledAfterTheLease: a process that died in next leaves its claim. Until the lease has
// expired, the delivery is in progress; after that another process handles it, and the first one, should it
// wake up, does not answer that it did.
func TestACrashIsHandledAfterTheLease(t *testing.T) {
	w := newReceiving(t)
	entered, wake := make(chan struct{}), make(chan struct{})
	w.next = func(context.Context, *webhook.Verified) error {
		close(entered)
		<-wake
		return nil
	}
	r := signedAs("1", []byte("{}"), receiveStart)
	frozen := make(chan webhook.Response)
	c := w.receiver()
	go func() { frozen <- c.Receive(context.Background(), r, time.Time{}) }()
	<-entered
	w.next = nil
	resp := w.receive(r, 409, "in_progress", 1)
	if got := headerOf(resp, "Retry-After"); got != "30" {
		t.Errorf("Retry-After is %q, want that of the lease", got)
	}
	w.clock.Advance(31 * time.Second)
	w.receive(r, 200, "", 2)
	close(wake)
	if resp := <-frozen; resp.Status != 409 {
		t.Errorf("the process that lost its claim answers %d", resp.Status)
	}
	w.receive(r, 200, "replayed", 2)
}

// TestTheLeaseIsRenewedWhileNextRuns, and not after that.
func TestTheLeaseIsRenewedWhileNextRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReceiving(t)
		w.opts.Now, w.opts.Lease = time.Now, 3*time.Second
		w.store.Store = replay.NewMemory(nil)
		w.next = func(context.Context, *webhook.Verified) error { time.Sleep(20 * time.Second); return nil }
		r := signedAs("1", []byte("{}"), time.Now())
		c, answers := w.receiver(), make(chan int, 2)
		go func() { answers <- c.Receive(t.Context(), r, time.Time{}).Status }()
		time.Sleep(15 * time.Second)
		if resp := c.Receive(t.Context(), r, time.Time{}); resp.Status != 409 {
			t.Errorf("while next runs, the same delivery is answered %d", resp.Status)
		}
		if status := <-answers; status != 200 {
			t.Errorf("the long delivery is answered %d", status)
		}
	})
}

// TestALostClaimCancelsNext.
func TestALostClaimCancelsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newReceiving(t)
		w.opts.Now, w.opts.Lease = time.Now, 3*time.Second
		w.store.Store = lostStore{replay.NewMemory(nil)}
		w.next = func(ctx context.Context, _ *webhook.Verified) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}
		resp := w.receiver().Receive(t.Context(), signedAs("1", []byte("{}"), time.Now()), time.Time{})
		if resp.Status != 503 || !errors.Is(resp.Err, replay.ErrClaimLost) {
			t.Errorf("%d %v", resp.Status, resp.Err)
		}
	})
}

type lostStore struct{ replay.Store }

func (lostStore) Renew(context.Context, replay.Claim, time.Duration) error {
	return replay.ErrClaimLost
}

// TestDuplicates: a signed ID makes the delivery, and a copy with a new time is a duplicate for 72 h. Another
// body under the same ID is no duplicate: it is not acknowledged.
func TestDuplicates(t *testing.T) {
	w := newReceiving(t)
	w.receive(signedAs("1", []byte("{}"), receiveStart), 200, "", 1)
	w.receive(signedAs("2", []byte("{}"), receiveStart), 200, "", 2)
	w.receive(signedAs("1", []byte("[]"), receiveStart), 409, "id_reused", 2)
	w.clock.Advance(71 * time.Hour)
	w.receive(signedAs("1", []byte("{}"), w.clock.Now()), 200, "replayed", 2)
}

// TestReplayUnderANewUnsignedID: GitHub's delivery ID is not signed.
func TestReplayUnderANewUnsignedID(t *testing.T) {
	w := newReceiving(t)
	github, err := webhook.Provider("github")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(github, "billing", []webhook.Secret{{Text: "It's a Secret to Everybody"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	next := func(context.Context, *webhook.Verified) error { calls++; return nil }
	c, err := webhook.NewReceiver(v, w.store, next, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"first", "second"} {
		resp := c.Receive(
			t.Context(),
			webhook.Request{Method: "POST", Target: "/", Body: []byte("Hello, World!"),
				Header: []webhook.Field{
					{
						Name:  "X-Hub-Signature-256",
						Value: "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
					},
					{Name: "X-GitHub-Delivery", Value: id}, {Name: "X-GitHub-Event", Value: "ping"},
				}},
			time.Time{},
		)
		if resp.Status != 200 || (resp.Reason == "replayed") != (i == 1) {
			t.Errorf("%s: %d %q %v", id, resp.Status, resp.Reason, resp.Err)
		}
	}
	if calls != 1 {
		t.Errorf("a captured body was handled %d times", calls)
	}
}

// TestOneOfManyCopiesIsHandled: the others are duplicates or in progress.
func TestOneOfManyCopiesIsHandled(t *testing.T) {
	w := newReceiving(t)
	c := w.receiver()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			resp := c.Receive(context.Background(), signedAs("1", []byte("{}"), receiveStart), time.Time{})
			if resp.Status != 200 && resp.Status != 409 {
				t.Errorf("status %d: %v", resp.Status, resp.Err)
			}
		})
	}
	all.Wait()
	if len(w.handled) != 1 {
		t.Errorf("next was called %d times", len(w.handled))
	}
}

// TestAfterAFreeze: a claim that may have expired is renewed, and a delivery that has become stale meanwhile
// is not handled, because its key may have been forgotten.
func TestAfterAFreeze(t *testing.T) {
	for _, c := range []struct {
		frozen                  time.Duration
		status, renews, handled int
		reason                  envelope.Reason
	}{
		{14 * time.Second, 200, 0, 1, ""}, {16 * time.Second, 200, 1, 1, ""},
		{6 * time.Minute, 409, 0, 0, "in_progress"},
	} {
		w := newReceiving(t)
		w.store.slow = func() { w.clock.Advance(c.frozen) }
		w.receive(signedAs("", []byte("{}"), receiveStart), c.status, c.reason, c.handled)
		if w.store.renews != c.renews || w.store.releases != 1-c.handled {
			t.Errorf("after %v: %d renewals, %d releases", c.frozen, w.store.renews, w.store.releases)
		}
	}
	w := newReceiving(t) // another worker takes the claim over
	w.store.slow = func() {
		w.store.slow = nil
		w.clock.Advance(31 * time.Second)
		w.receive(signedAs("1", []byte("{}"), receiveStart), 200, "", 1)
	}
	w.receive(signedAs("1", []byte("{}"), receiveStart), 409, "in_progress", 1)
}

// TestBodiesInFlightShareABudget, also those of two receivers, until next has returned.
func TestBodiesInFlightShareABudget(t *testing.T) {
	w := newReceiving(t)
	w.vopts.MaxBody = 1000
	var err error
	if w.opts.Budget, err = webhook.NewBudget(1500); err != nil {
		t.Fatal(err)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	w.next = func(context.Context, *webhook.Verified) error {
		close(entered)
		<-leave
		return nil
	}
	first, done := w.receiver(), make(chan webhook.Response)
	body := make([]byte, 1000)
	r := signedAs("1", body, receiveStart)
	go func() { done <- first.Receive(context.Background(), r, time.Time{}) }()
	<-entered
	w.next = nil
	resp := w.receive(signedAs("2", body, receiveStart), 503, "", 1)
	if got := headerOf(resp, "Retry-After"); got != "5" || resp.Verified != nil {
		t.Errorf("Retry-After is %q, Verified is %v", got, resp.Verified)
	}
	second := httpRequest(t, serve(w), signedAs("2", body, receiveStart), bytes.NewReader(body))
	if status, answer := sendTo(t, second); status != 503 {
		t.Errorf("by net/http: %d %s", status, answer)
	}
	w.receive(signedAs("3", body[:500], receiveStart), 200, "", 2)
	close(leave)
	if resp := <-done; resp.Status != 200 {
		t.Errorf("the first one is answered %d", resp.Status)
	}
	w.receive(signedAs("2", body, receiveStart), 200, "", 3)
}

// TestAQueuedDeliveryIsJudgedAsOfItsArrival, and remembered from when it is handled.
func TestAQueuedDeliveryIsJudgedAsOfItsArrival(t *testing.T) {
	w := newReceiving(t)
	doc, err := webhook.AppendRecord(nil, signedAs("", []byte("{}"), receiveStart), receiveStart)
	if err != nil {
		t.Fatal(err)
	}
	r, received, err := webhook.ParseRecord(doc)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(20 * time.Hour)
	for i, reason := range []envelope.Reason{"", "replayed", "replayed"} {
		resp := w.receiver().Receive(t.Context(), r, received)
		if resp.Status != 200 || resp.Reason != reason {
			t.Errorf("delivery %d: %d %q %v", i, resp.Status, resp.Reason, resp.Err)
		}
		w.clock.Advance(2 * time.Minute)
	}
	w.receive(r, 401, "expired", 1) // judged as of now
}

// TestReceiverAnswersChallenges: they are not handed to next, and claim nothing.
func TestReceiverAnswersChallenges(t *testing.T) {
	w := newReceiving(t)
	w.scheme.answer = &webhook.Answer{Status: 200, ContentType: "text/plain", Body: []byte("pong")}
	w.store.claim = errors.New("a challenge is not claimed")
	resp := w.receive(signedAs("1", []byte("{}"), receiveStart), 200, "", 0)
	if string(resp.Body) != "pong" || headerOf(resp, "Content-Type") != "text/plain" {
		t.Errorf("the answer is %q, %q", resp.Body, resp.Header)
	}
	confirmed := 0
	w.scheme.answer.Confirm = func(context.Context) error { confirmed++; return nil }
	w.receive(signedAs("1", []byte("{}"), receiveStart), 200, "", 0)
	w.scheme.answer.Confirm = func(context.Context) error {
		confirmed++
		return &webhook.Error{Reason: envelope.ReasonTrustUnavailable}
	}
	w.receive(signedAs("1", []byte("{}"), receiveStart), 503, "trust_unavailable", 0)
	w.scheme.answer.Confirm = func(context.Context) error { panic("no") }
	w.receive(signedAs("1", []byte("{}"), receiveStart), 503, "trust_unavailable", 0)
	w.receive(signedAs("1", []byte("{}"), receiveStart.Add(-time.Hour)), 401, "expired", 0)
	if confirmed != 2 {
		t.Errorf("confirmed %d times, want 2", confirmed)
	}
}

// TestUnsafeNoReplayStore: every copy is handled.
func TestUnsafeNoReplayStore(t *testing.T) {
	w := newReceiving(t)
	w.store, w.opts.UnsafeNoReplayStore = nil, true
	r := signedAs("1", []byte("{}"), receiveStart)
	w.receive(r, 200, "", 1)
	w.receive(r, 200, "", 2)
}

// TestReceiverRefusesToBeMadeWrong.
func TestReceiverRefusesToBeMadeWrong(t *testing.T) {
	v, err := webhook.New(testScheme{}, "billing", []webhook.Secret{{Text: "x"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	small, err := webhook.NewBudget(1 << 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := webhook.NewBudget(-1); err == nil {
		t.Error("a negative budget")
	}
	store := replay.NewMemory(nil)
	next := func(context.Context, *webhook.Verified) error { return nil }
	for name, make := range map[string]func() (*webhook.Receiver, error){
		"no store": func() (*webhook.Receiver, error) { return webhook.NewReceiver(v, nil, next, nil) },
		"no next":  func() (*webhook.Receiver, error) { return webhook.NewReceiver(v, store, nil, nil) },
		"no verifier": func() (*webhook.Receiver,
			error) {
			return webhook.NewReceiver(nil, store, next, nil)
		},
		"empty verifier": func() (*webhook.Receiver, error) {
			return webhook.NewReceiver(&webhook.Verifier{}, store, next, nil)
		},
		"store and no store": func() (*webhook.Receiver, error) {
			return webhook.NewReceiver(v, store, next, &webhook.ReceiverOptions{UnsafeNoReplayStore: true})
		},
		"lease": func() (*webhook.Receiver, error) {
			return webhook.NewReceiver(v, store, next, &webhook.ReceiverOptions{Lease: time.Millisecond})
		},
		"timeout": func() (*webhook.Receiver, error) {
			return webhook.NewReceiver(v, store, next, &webhook.ReceiverOptions{ReadTimeout: -1})
		},
		"budget": func() (*webhook.Receiver, error) {
			return webhook.NewReceiver(v, store, next, &webhook.ReceiverOptions{Budget: small})
		},
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: it was made", name)
		}
	}
}
