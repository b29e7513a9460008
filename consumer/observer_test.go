package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

// notebook is an Observer that keeps what it is told, and does what a test wants besides.
type notebook struct {
	mu      sync.Mutex
	reports []consumer.Result
	then    func()
	flush   error
	flushed int
}

var _ consumer.Observer = (*notebook)(nil)

func (n *notebook) Delivered(_ context.Context, r consumer.Result) {
	n.mu.Lock()
	n.reports = append(n.reports, r)
	n.mu.Unlock()
	if n.then != nil {
		n.then()
	}
}

func (n *notebook) Flush(context.Context) error {
	n.flushed++
	return n.flush
}

// last is what it was told last.
func (n *notebook) last(t *testing.T) consumer.Result {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.reports) == 0 {
		t.Fatal("the observer was told nothing")
	}
	return n.reports[len(n.reports)-1]
}

// watched is a world with a notebook.
func watched(t *testing.T) (*world, *notebook) {
	w, n := newWorld(t), &notebook{}
	w.opts.Observer = n
	return w, n
}

func TestReport(t *testing.T) {
	w, n := watched(t)
	w.publish(trust.BundleOptions{Expires: start.Add(24 * time.Hour)})
	sealed := w.event("1")
	w.clock.Advance(time.Minute)
	w.store.afterClaim = func() { w.clock.Advance(time.Second) }
	c := w.consumer()
	slow := func(context.Context, consumer.Delivery[[]byte]) error {
		w.clock.Advance(3 * time.Second)
		return nil
	}
	result, err := c.Handle(t.Context(), body(sealed), slow)
	w.check(result, err, consumer.Handled, "")
	r := n.last(t)
	if r.Consumer != "test" || r != result || r.Err != nil || !r.At.Equal(start.Add(64*time.Second)) ||
		r.Took != 4*time.Second {
		t.Errorf("%+v", r)
	}
	if !r.Called || r.Handler != 3*time.Second || !r.Claimed || r.Held != 3*time.Second {
		t.Errorf("called %v %v, claimed %v %v", r.Called, r.Handler, r.Claimed, r.Held)
	}
	if !r.SignedAt.Equal(start) || r.Age != 61*time.Second ||
		!r.BundleExpires.Equal(start.Add(24*time.Hour)) {
		t.Errorf("signed at %v, age %v, bundle until %v", r.SignedAt, r.Age, r.BundleExpires)
	}
}

// Each end of a delivery is told once, as the same that Handle returns.
func TestReportOfEachOutcome(t *testing.T) {
	genuine := func(w *world) []byte { return w.event("1") }
	forged := func(w *world) []byte { return edit(w.event("1"), "data", "other") }
	for name, c := range map[string]struct {
		prepare                                        func(*world)
		body                                           func(*world) []byte
		outcome                                        consumer.Outcome
		reason                                         envelope.Reason
		verified, called, claimed, rejected, replayHit bool
	}{
		"handled": {body: genuine, outcome: consumer.Handled, verified: true, called: true,
			claimed: true},
		"duplicate": {func(w *world) { w.want(w.event("1"), consumer.Handled, "") }, genuine,
			consumer.Duplicate, envelope.ReasonReplayed, true, false, false, false, true},
		"forged": {body: forged, outcome: consumer.Quarantined, reason: envelope.ReasonModified,
			rejected: true},
		"not put away": {func(w *world) { w.opts.Quarantine = nil }, forged, consumer.Retry,
			envelope.ReasonModified, false, false, false, true, false},
		"failed": {func(w *world) { w.fail = errors.New("no") }, genuine, consumer.Retry,
			envelope.ReasonHandlerFailed, true, true, true, false, false},
		"no store": {func(w *world) { w.store.claim = errors.New("no") }, genuine, consumer.Retry,
			envelope.ReasonStoreUnavailable, true, false, false, false, false},
		"no trust": {func(w *world) { w.trust.err = trust.ErrUnavailable }, genuine, consumer.Retry,
			envelope.ReasonTrustUnavailable, false, false, false, false, false},
		"migrating": {func(w *world) { migrates(w, new(error)) }, forged, consumer.Migrating,
			envelope.ReasonModified, false, false, false, false, false},
		"no JSON": {body: func(*world) []byte { return []byte("{") }, outcome: consumer.Quarantined,
			reason: envelope.ReasonMalformed, rejected: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, n := watched(t)
			if c.prepare != nil {
				c.prepare(w)
			}
			n.reports = nil
			result, err := w.deliver(c.body(w))
			w.check(result, err, c.outcome, c.reason)
			r := n.last(t)
			if len(n.reports) != 1 || r != result || r.Err != err {
				t.Fatalf("told %+v, want once %+v, %v", n.reports, result, err)
			}
			rejected := r.Verdict != nil && r.Verdict.Reason.Class() == envelope.Permanent &&
				r.Outcome != consumer.Migrating
			if r.Called != c.called || r.Claimed != c.claimed || rejected != c.rejected ||
				(r.Outcome == consumer.Duplicate) != c.replayHit {
				t.Errorf("%+v", r)
			}
			if verified := r.Producer == "orders" && r.Source == source &&
				!r.SignedAt.IsZero(); verified != c.verified {
				t.Errorf("verified: %+v", r)
			}
			if unverified := r.Producer+r.Source+r.Type+r.ID+r.IdempotencyKey == "" &&
				r.SignedAt.IsZero(); unverified == c.verified {
				t.Errorf("what looks verified is not: %+v", r)
			}
		})
	}
}

// A clock that is set back makes no duration negative.
func TestReportClockSetBack(t *testing.T) {
	w, n := watched(t)
	sealed := w.event("1")
	w.clock.Advance(-time.Minute)
	result, err := w.consumer().Handle(t.Context(), body(sealed),
		func(context.Context, consumer.Delivery[[]byte]) error {
			w.clock.Advance(-time.Hour)
			return nil
		})
	w.check(result, err, consumer.Handled, "")
	if r := n.last(t); r.Took != 0 || r.Handler != 0 || r.Held != 0 || r.Age != 0 ||
		!r.SignedAt.Equal(start) {
		t.Errorf("%+v", r)
	}
}

// refresher is a Source that has a newer bundle.
type refresher struct {
	source1
	newer *trust.Bundle
	asked []time.Time
}

var _ trust.Refresher = (*refresher)(nil)

func (r *refresher) Refresh(_ context.Context, since time.Time) (*trust.Bundle, error) {
	r.asked = append(r.asked, since)
	return r.newer, nil
}

// The bundle that is told is the one that judged, also if it was looked for.
func TestReportOfNewerBundle(t *testing.T) {
	w, n := watched(t)
	w.publish(trust.BundleOptions{Expires: start.Add(time.Hour)})
	source := &refresher{source1: w.trust}
	w.enrol("newcomer", "https://orders.example/*")
	w.publish(trust.BundleOptions{Expires: start.Add(48 * time.Hour)})
	source.newer = w.trust.bundle
	sealed := w.sealAs(w.signers["newcomer"], placed("1"), envelope.SealOptions{}).JSON()
	c, err := consumer.New("test", source, w.store, &w.policy, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	result, err := c.Handle(t.Context(), body(sealed), w.handle)
	w.check(result, err, consumer.Handled, "")
	if r := n.last(t); !r.BundleExpires.Equal(start.Add(48*time.Hour)) || len(source.asked) != 1 {
		t.Errorf("bundle until %v, looked for %v", r.BundleExpires, source.asked)
	}
}

// The first delivery of a message counts as its beginning, by a clock that may be 15 seconds behind ours.
func TestFirstReceived(t *testing.T) {
	for name, c := range map[string]struct{ first, want time.Duration }{
		"of this moment": {0, 0}, "received a little before": {-15 * time.Second, 0}, "in the future": {time.Minute, 0},
		"received before": {-time.Minute, -45 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := watched(t)
			source := &refresher{source1: w.trust, newer: w.trust.bundle}
			sealed := w.sealAs(keystest.Signer(t, keys.Ed25519, "orders", "stranger"), placed("1"),
				envelope.SealOptions{}).JSON()
			c1, err := consumer.New("test", source, w.store, &w.policy, &w.opts)
			if err != nil {
				t.Fatal(err)
			}
			msg := body(sealed)
			msg.FirstReceived = start.Add(c.first)
			result, err := c1.Handle(t.Context(), msg, w.handle)
			w.check(result, err, consumer.Quarantined, envelope.ReasonUnknownKey)
			if !slices.Equal(source.asked, []time.Time{start.Add(c.want)}) {
				t.Errorf("wants a check since %s", source.asked)
			}
			if rec := w.bin.records[0]; !rec.Message.FirstReceived.IsZero() {
				t.Errorf("the record has %s", rec.Message.FirstReceived)
			}
		})
	}
}

// Whatever panics while it is told, the event is neither lost nor repeated.
func TestObserverPanics(t *testing.T) {
	w, n := watched(t)
	var log bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	n.then = func() { panic("at the disco") }
	w.want(w.event("1"), consumer.Handled, "")
	w.want(w.event("1"), consumer.Duplicate, envelope.ReasonReplayed)
	w.want(edit(w.event("2"), "data", "other"), consumer.Quarantined, envelope.ReasonModified)
	if len(w.handled) != 1 || len(w.bin.records) != 1 || len(n.reports) != 3 {
		t.Errorf("%d handled, %d in quarantine, %d told", len(w.handled), len(w.bin.records), len(n.reports))
	}
	if got := strings.Count(log.String(), "at the disco"); got != 3 {
		t.Errorf("the panic was logged %d times: %s", got, log.String())
	}
}

type panickingLog struct{ slog.Handler }

func (panickingLog) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingLog) Handle(context.Context, slog.Record) error { panic("no log") }

func TestLoggerPanics(t *testing.T) {
	w, n := watched(t)
	w.opts.Logger = slog.New(panickingLog{})
	w.want(w.event("1"), consumer.Handled, "")
	w.want(w.event("1"), consumer.Duplicate, envelope.ReasonReplayed)
	if len(w.handled) != 1 || len(n.reports) != 2 {
		t.Errorf("%d handled, %d told", len(w.handled), len(n.reports))
	}
}

// plain is an Observer that keeps nothing back.
type plain func(consumer.Result)

func (p plain) Delivered(_ context.Context, r consumer.Result) { p(r) }

func TestObservers(t *testing.T) {
	w, first := watched(t)
	last, told := &notebook{flush: errors.New("disk full")}, 0
	first.then = func() { panic("at the disco") }
	first.flush = errors.New("no network")
	w.opts.Observer = consumer.Observers(first, nil, plain(func(consumer.Result) { told++ }), last)
	c := w.consumer()
	result, err := c.Handle(t.Context(), body(w.event("1")), w.handle)
	w.check(result, err, consumer.Handled, "")
	if len(first.reports) != 1 || told != 1 || len(last.reports) != 1 {
		t.Errorf("told %d, %d and %d times, want each once", len(first.reports), told, len(last.reports))
	}
	if err := c.Flush(t.Context()); !errors.Is(err, first.flush) || !errors.Is(err, last.flush) {
		t.Errorf("Flush: %v, want both errors", err)
	}
	first.flush, last.flush = nil, nil
	if err := c.Flush(t.Context()); err != nil || first.flushed != 2 || last.flushed != 2 {
		t.Errorf("Flush: %v; flushed %d and %d times", err, first.flushed, last.flushed)
	}
}

type panickingFlush struct{ plain }

func (panickingFlush) Flush(context.Context) error { panic("at the disco") }

func TestFlush(t *testing.T) {
	w := newWorld(t)
	quiet := plain(func(consumer.Result) {})
	for name, o := range map[string]consumer.Observer{"none": nil, "one that keeps nothing": quiet,
		"no observers": consumer.Observers()} {
		w.opts.Observer = o
		if err := w.consumer().Flush(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := &notebook{}
	w.opts.Observer = consumer.Observers(panickingFlush{quiet}, last)
	err := w.consumer().Flush(t.Context())
	if _, ok := errors.AsType[*consumer.PanicError](err); !ok || last.flushed != 1 {
		t.Errorf("%v, and the one after it was flushed %d times", err, last.flushed)
	}
}

// Each of many deliveries at once is told once.
func TestObserverConcurrently(t *testing.T) {
	w, n := watched(t)
	c := w.consumer()
	const workers, each = 8, 20
	var sealed [workers][each][]byte
	for i := range workers {
		for j := range each {
			sealed[i][j] = w.event(fmt.Sprint(i, "-", j/2)) // every second one is a duplicate
		}
	}
	nothing := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			for j := range each {
				if _, err := c.Handle(t.Context(), body(sealed[i][j]), nothing); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	told := map[consumer.Outcome]int{}
	for _, r := range n.reports {
		told[r.Outcome]++
	}
	if told[consumer.Handled] != workers*each/2 || told[consumer.Duplicate] != workers*each/2 {
		t.Errorf("told %v", told)
	}
}
