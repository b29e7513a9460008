package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// jumper is a clock that jumps, once, at its n-th reading. All of a world reads one: consumer, trust, store
// and handler, so that a jump comes between any two of their steps.
type jumper struct {
	mu     sync.Mutex
	now    time.Time
	jump   time.Duration
	at     int // the reading that finds the clock jumped; 0 = never
	reads  int
	during func() // happens while the process is frozen
}

func (j *jumper) Now() time.Time {
	j.mu.Lock()
	j.reads++
	var during func()
	if j.reads == j.at {
		j.now = j.now.Add(j.jump)
		during, j.during = j.during, nil
	}
	now := j.now
	j.mu.Unlock()
	if during != nil {
		during()
	}
	return now
}

// peek is the time, without being a step.
func (j *jumper) peek() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

// jumped reports whether it has.
func (j *jumper) jumped() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at > 0 && j.reads >= j.at
}

// steppedSource reads the clock on its way, before and after the bundle is at hand.
type steppedSource struct {
	clock  *jumper
	bundle *trust.Bundle
}

func (s *steppedSource) Bundle(context.Context) (*trust.Bundle, error) {
	s.clock.Now()
	defer s.clock.Now()
	return s.bundle, nil
}

// steppedStore reads the clock before and after each operation, besides what the store itself reads.
type steppedStore struct {
	replay.Store
	clock *jumper
}

func (s *steppedStore) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	s.clock.Now()
	defer s.clock.Now()
	return s.Store.Claim(ctx, key, digest, until, lease)
}

func (s *steppedStore) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	s.clock.Now()
	defer s.clock.Now()
	return s.Store.Complete(ctx, claim, until)
}

func (s *steppedStore) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	s.clock.Now()
	defer s.clock.Now()
	return s.Store.Renew(ctx, claim, lease)
}

// frozen is a world whose clock is a jumper.
type frozen struct {
	*world
	clock   *jumper
	c       *consumer.Consumer
	body    []byte
	replay  string // the message's ReplayName
	calls   []call
	limit   time.Time // no call may begin at or after it; zero = none
	started bool      // a jump that comes now comes after a handler began
}

type call struct {
	at  time.Time
	key string
}

const (
	freeze   = time.Hour
	capacity = 8 // IDs of its store
)

// newFrozen has an event that was sealed ten minutes before the time of its delivery.
func newFrozen(t *testing.T, jump time.Duration, at int, change func(*frozen)) *frozen {
	t.Helper()
	w := newWorld(t)
	clock := &jumper{now: start.Add(10 * time.Minute), jump: jump}
	f := &frozen{world: w, clock: clock, body: w.event("1")}
	w.policy.Now = clock.Now
	if change != nil {
		change(f)
	}
	store := &steppedStore{replay.NewMemory(&replay.MemoryOptions{Now: clock.Now, Capacity: capacity}), clock}
	c, err := consumer.New("test", &steppedSource{clock, w.trust.bundle}, store, &w.policy, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	f.c = c
	clock.reads, clock.at = 0, at
	return f
}

func (f *frozen) handler(_ context.Context, d consumer.Delivery[[]byte]) error {
	now := f.clock.peek()
	f.calls = append(f.calls, call{now, d.IdempotencyKey})
	if !f.limit.IsZero() && !now.Before(f.limit) {
		f.Errorf("handled at %v, the limit is %v", now, f.limit)
	}
	f.started = true
	f.clock.Now() // a step of the handler
	return nil
}

func (f *frozen) deliver() (consumer.Result, error) {
	return f.c.Handle(context.Background(), consumer.Message{Body: f.body, ReplayName: f.replay}, f.handler)
}

// forEveryStep runs the test with a jump at the first reading of the clock, at the second, and so on until
// the clock is no longer read so often. The test reports whether the jump happened.
func forEveryStep(t *testing.T, test func(t *testing.T, at int) bool) {
	const least, most = 8, 200 // so many steps there are at least: else nothing was tested
	for at := 1; ; at++ {
		jumped := false
		if !t.Run(fmt.Sprint("step ", at), func(t *testing.T) { jumped = test(t, at) }) || at > most {
			t.Fatal("stopped")
		}
		if !jumped {
			if at <= least {
				t.Fatalf("the clock was read only %d times", at-1)
			}
			return
		}
	}
}

// A process is frozen for an hour between any two steps, and something ends in that hour. No handler begins
// after that, and the event is handled or in quarantine or to be delivered again.
func TestFreezePastAnEnd(t *testing.T) {
	end := start.Add(40 * time.Minute)
	for _, c := range []struct {
		name   string
		change func(*frozen)
		reason envelope.Reason
	}{
		{"expirytime", func(f *frozen) { f.body = f.seal(placed("1"), envelope.SealOptions{Expires: 40 * time.Minute}).JSON() }, envelope.ReasonExpired},
		{"window", func(f *frozen) { f.policy.MaxAge = 40*time.Minute - time.Second },
			envelope.ReasonExpired},
		{"key", func(f *frozen) { f.keys[0].Schedule.Expired = end; f.publish(trust.BundleOptions{}) },
			envelope.ReasonKeyNotValid},
		{"bundle", func(f *frozen) { f.publish(trust.BundleOptions{Expires: end}) },
			envelope.ReasonTrustUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			ends := 0
			forEveryStep(t, func(t *testing.T, at int) bool {
				f := newFrozen(t, freeze, at, c.change)
				f.limit = end
				r, err := f.deliver()
				switch {
				case len(f.calls) > 0: // before the freeze: its effect is there, and recorded
					f.check(r, err, consumer.Handled, "")
				case c.reason.Class() == envelope.Permanent:
					f.check(r, err, consumer.Quarantined, c.reason)
					ends++
				default:
					f.check(r, err, consumer.Retry, c.reason)
					ends++
				}
				return f.clock.jumped()
			})
			if ends < 5 {
				t.Errorf("only %d freezes were noticed", ends)
			}
		})
	}
}

// replayed makes the event one of an archive replay, whose permission lives for so long after the time of
// delivery.
func (f *frozen) replayed(long time.Duration) {
	f.replay = replayName
	f.opts.Permissions = []consumer.Permission{{
		ID: "again-1", ReplayName: replayName, From: start, To: start.Add(time.Hour),
		Until: f.clock.peek().Add(long),
	}}
}

// A process is frozen past the end of a permission, between any two steps. No handler begins after that: an
// event that is too old without the permission is in quarantine, a fresh one is delivered again, and is then
// one without it.
func TestFreezePastPermission(t *testing.T) {
	for _, stale := range []bool{true, false} {
		ends, between := 0, 0
		forEveryStep(t, func(t *testing.T, at int) bool {
			f := newFrozen(t, freeze, at, func(f *frozen) {
				f.replayed(freeze / 2)
				if f.policy.MaxAge = 3 * freeze; stale {
					f.policy.MaxAge = time.Minute
				}
			})
			r, err := f.deliver()
			end := f.opts.Permissions[0].Until
			switch {
			case len(f.calls) == 1 && f.calls[0].at.Before(end):
				f.check(r, err, consumer.Handled, "")
				if r.Permission != "again-1" {
					t.Errorf("before its end handled under %q", r.Permission)
				}
			case len(f.calls) == 1 && !stale: // frozen before the first verdict
				f.check(r, err, consumer.Handled, "")
				if r.Permission != "" {
					t.Errorf("after its end handled under %q", r.Permission)
				}
			case len(f.calls) == 0 && stale:
				f.check(r, err, consumer.Quarantined, envelope.ReasonExpired)
				ends++
			case len(f.calls) == 0:
				f.check(r, err, consumer.Retry, envelope.ReasonInProgress)
				between++
				f.must(consumer.Handled) // as the claim was released
				if r, err := f.deliver(); r.Permission != "" || err != nil {
					t.Errorf("%+v, %v", r, err)
				}
			default:
				t.Errorf("%d calls at %v, %+v, %v", len(f.calls), f.calls[0].at, r, err)
			}
			return f.clock.jumped()
		})
		if ends+between < 4 {
			t.Errorf("stale %v: only %d freezes were noticed", stale, ends+between)
		}
	}
}

// A process is frozen under a permission that lives on: the event is handled, once; also if meanwhile another
// worker takes it over, unless the handler had begun.
func TestFreezeUnderPermission(t *testing.T) {
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, freeze, at,
			func(f *frozen) { f.policy.MaxAge = time.Minute; f.replayed(10 * freeze) })
		before := false
		f.clock.during = func() {
			before = f.started
			if r, err := f.deliver(); r.Outcome != consumer.Handled && r.Outcome != consumer.Duplicate {
				t.Errorf("the other worker: %+v, %v", r, err)
			}
		}
		r, err := f.deliver()
		if len(f.calls) != 1 && !(len(f.calls) == 2 && before && errors.Is(err, replay.ErrClaimLost) &&
			f.calls[0].key == f.calls[1].key) {
			t.Errorf("%d calls, %+v, %v", len(f.calls), r, err)
		}
		r, err = f.deliver()
		f.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
		return f.clock.jumped()
	})
}

// An event was replayed under a permission, which ended, and was forgotten. Then, at any step of its next
// replay, the clock is set back to before that end: nothing is handled again.
func TestClockSetBackPastPermission(t *testing.T) {
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, -2*freeze, 0, func(f *frozen) { f.policy.MaxAge = time.Minute; f.replayed(freeze) })
		f.must(consumer.Handled)
		f.advance(2 * freeze)
		for i := range capacity {
			f.replay, f.body = "", f.sealAt(fmt.Sprint("new-", i), f.clock.peek())
			f.must(consumer.Handled)
		}
		f.calls, f.replay, f.body = nil, replayName, f.sealAt("1", start)
		f.restart(at)
		for range 3 {
			if r, err := f.deliver(); r.Outcome == consumer.Handled || len(f.calls) > 0 {
				t.Fatalf("handled again: %+v, %v", r, err)
			}
		}
		return f.clock.jumped()
	})
}

// A process is frozen for an hour between any two steps, and nothing ends: the event is handled, once.
func TestFreezeLosesNothing(t *testing.T) {
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, freeze, at, nil)
		r, err := f.deliver()
		f.check(r, err, consumer.Handled, "")
		r, err = f.deliver()
		f.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
		if len(f.calls) != 1 {
			t.Errorf("handled %d times", len(f.calls))
		}
		return f.clock.jumped()
	})
}

// While a process is frozen, its lease lapses and another worker handles the event. A second effect is
// possible only if the freeze came after the first handler had begun, and then with the same key, and one of
// the two deliveries is an error.
func TestFreezeAndTakeover(t *testing.T) {
	second := 0
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, freeze, at, nil)
		var before bool
		f.clock.during = func() {
			before = f.started
			r, err := f.deliver()
			if r.Outcome != consumer.Handled && r.Outcome != consumer.Duplicate {
				t.Errorf("the other worker: %+v, %v", r, err)
			}
		}
		r, err := f.deliver()
		switch {
		case len(f.calls) == 1 && err == nil: // either of them handled it, the other one knows
		case len(f.calls) == 2 && before && errors.Is(err, replay.ErrClaimLost) &&
			f.calls[0].key == f.calls[1].key:
			second++
		default:
			t.Errorf("%d calls, %+v, %v; the freeze came after a handler began: %v", len(f.calls), r, err,
				before)
		}
		r, err = f.deliver()
		f.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
		return f.clock.jumped()
	})
	if second == 0 {
		t.Error("no freeze came between effect and completion: nothing was tested")
	}
}

// The clock is set back by an hour between any two steps: to before the event was sealed.
func TestClockSetBack(t *testing.T) {
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, -freeze, at, nil)
		r, err := f.deliver()
		if at > 1 { // within one delivery the clock does not run backwards
			f.check(r, err, consumer.Handled, "")
		} else if r.Reason() != envelope.ReasonFromFuture || len(f.bin.records) != 1 {
			t.Fatalf("%+v, %v", r, err)
		}
		// It is delivered again, when the clock was put right.
		f.clock.mu.Lock()
		f.clock.now = start.Add(time.Hour)
		f.clock.mu.Unlock()
		if _, err = f.deliver(); err != nil || len(f.calls) != 1 {
			t.Errorf("handled %d times, %v", len(f.calls), err)
		}
		return f.clock.jumped()
	})
}

// An event was handled, became stale and was forgotten. Then, at any step of its replay, the clock is set
// back into its window: it is not handled again.
func TestClockSetBackReopensNothing(t *testing.T) {
	forEveryStep(t, func(t *testing.T, at int) bool {
		f := newFrozen(t, -2*time.Hour, 0, func(f *frozen) { f.policy.MaxAge = time.Hour })
		replayed := f.body
		f.must(consumer.Handled)
		for i := range capacity - 1 {
			f.body = f.sealAt(fmt.Sprint("old-", i), start)
			f.must(consumer.Handled)
		}
		f.advance(2 * time.Hour)
		f.body = f.sealAt("new", f.clock.peek())
		f.must(consumer.Handled) // and the full store forgot the others
		f.calls, f.body = nil, replayed
		f.restart(at)
		for range 3 {
			if r, err := f.deliver(); r.Outcome == consumer.Handled || len(f.calls) > 0 {
				t.Fatalf("handled again: %+v, %v", r, err)
			}
		}
		return f.clock.jumped()
	})
}

func (f *frozen) must(outcome consumer.Outcome) {
	f.Helper()
	r, err := f.deliver()
	f.check(r, err, outcome, "")
}

// restart counts the readings anew.
func (f *frozen) restart(at int) {
	f.clock.mu.Lock()
	defer f.clock.mu.Unlock()
	f.clock.reads, f.clock.at = 0, at
}

func (f *frozen) advance(d time.Duration) {
	f.clock.mu.Lock()
	defer f.clock.mu.Unlock()
	f.clock.now = f.clock.now.Add(d)
}

func (f *frozen) sealAt(id string, at time.Time) []byte {
	return f.seal(placed(id), envelope.SealOptions{Now: func() time.Time { return at }}).JSON()
}

// A lease is long, compared with what is left of an event's life: it is looked at again even if hardly any
// time passed.
func TestExpiresBeforeTheHandler(t *testing.T) {
	w := newWorld(t)
	b := w.seal(placed("1"), envelope.SealOptions{Expires: 3 * time.Second}).JSON()
	w.store.afterClaim = func() { w.clock.Advance(3 * time.Second) }
	w.want(b, consumer.Quarantined, envelope.ReasonExpired)
	if len(w.handled) != 0 {
		t.Error("it was handled")
	}
	w.policy.MaxAge = time.Minute
	b = w.event("2")
	w.clock.Advance(time.Minute)
	w.store.afterClaim = func() { w.clock.Advance(time.Second) }
	w.want(b, consumer.Quarantined, envelope.ReasonExpired)
}

// A clock that never stands still gets no verdict, and loses nothing either.
func TestClockThatKeepsJumping(t *testing.T) {
	w := newWorld(t)
	now := start
	w.policy.Now = func() time.Time { now = now.Add(time.Minute); return now }
	b := w.event("1")
	w.want(b, consumer.Retry, envelope.ReasonInProgress)
	if len(w.handled) != 0 {
		t.Error("it was handled")
	}
	w.policy.Now = w.clock.Now
	w.want(b, consumer.Handled, "")
}

// If the trust changed while the process was frozen, the event is another producer's: everything begins anew.
func TestProducerChangesDuringFreeze(t *testing.T) {
	w := newWorld(t)
	b := w.foreign("1", "2026-03-01T11:00:00Z")
	w.store.afterClaim = func() {
		w.clock.Advance(time.Hour)
		w.keys[0].Producer = "orders-2"
		w.publish(trust.BundleOptions{})
	}
	w.want(b, consumer.Retry, envelope.ReasonTrustUnavailable)
	w.want(b, consumer.Handled, "")
	if len(w.handled) != 1 || w.handled[0].Producer != "orders-2" {
		t.Errorf("handled %+v", w.handled)
	}
}
