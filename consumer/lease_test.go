package consumer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

// inBubble runs the test in a time that passes only while everybody waits, with a world that lives in it.
func inBubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(start))
		w := newWorld(t)
		w.policy.Now = time.Now
		w.store.Store = replay.NewMemory(nil)
		test(w)
	})
}

// slowHandler works for that long whatever its context says, as a careful one does with what it has begun.
func slowHandler(work time.Duration) consumer.Handler {
	return func(context.Context, consumer.Delivery[[]byte]) error {
		time.Sleep(work)
		return nil
	}
}

// inBackground delivers to a first worker. It gives what tells that worker to stop, and what waits for its
// result.
func (w *world) inBackground(b []byte,
	handler consumer.Handler) (cancel func(), result func() consumer.Result) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c, done := w.consumer(), make(chan struct{})
	var r consumer.Result
	go func() {
		defer close(done)
		var err error
		if r, err = c.Handle(ctx, body(b), handler); err != nil {
			w.Error(err)
		}
	}()
	w.Cleanup(func() { cancel(); <-done })
	return cancel, func() consumer.Result { <-done; return r }
}

func TestLeaseIsRenewed(t *testing.T) {
	inBubble(t, func(w *world) {
		b := w.event("1")
		_, result := w.inBackground(b, slowHandler(4*consumer.DefaultLease))
		for range 7 {
			time.Sleep(consumer.DefaultLease / 2)
			w.want(b, consumer.Retry, envelope.ReasonInProgress)
		}
		if r := result(); r.Outcome != consumer.Handled {
			w.Errorf("%+v", r)
		}
	})
}

// A worker that is told to stop, and finishes what it began, still has the event: no other begins it
// meanwhile.
func TestLeaseIsRenewedAfterCancel(t *testing.T) {
	inBubble(t, func(w *world) {
		b := w.event("1")
		cancel, result := w.inBackground(b, slowHandler(4*consumer.DefaultLease))
		time.Sleep(time.Second)
		cancel()
		for range 7 {
			time.Sleep(consumer.DefaultLease / 2)
			w.want(b, consumer.Retry, envelope.ReasonInProgress)
		}
		if r := result(); r.Outcome != consumer.Handled || len(w.handled) != 0 {
			w.Errorf("%+v, and %d handlers beside it", r, len(w.handled))
		}
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
	})
}

// When the handler begins, nearly half of the lease may be used. The next renewal comes in time, even if it
// is slow.
func TestLeaseIsRenewedInTime(t *testing.T) {
	inBubble(t, func(w *world) {
		b := w.event("1")
		w.store.afterClaim = func() { time.Sleep(consumer.DefaultLease/2 - 1) }
		w.store.onRenew = func() { time.Sleep(time.Second) }
		w.inBackground(b, slowHandler(2*consumer.DefaultLease))
		time.Sleep(consumer.DefaultLease + time.Second/2)
		w.want(b, consumer.Retry, envelope.ReasonInProgress)
	})
}

// A renewal that gets no answer does not keep the next one from being tried.
func TestLeaseIsRenewedAfterAStall(t *testing.T) {
	inBubble(t, func(w *world) {
		b := w.event("1")
		stalling := w.stall(1, 0)
		_, result := w.inBackground(b, slowHandler(3*consumer.DefaultLease))
		time.Sleep(2 * consumer.DefaultLease)
		w.want(b, consumer.Retry, envelope.ReasonInProgress)
		if r := result(); r.Outcome != consumer.Handled || stalling.renewals != 0 {
			w.Errorf("%+v, %d stalls to come", r, stalling.renewals)
		}
	})
}

// stallingStore does not answer so many operations until their context is done.
type stallingStore struct {
	replay.Store
	renewals, completions int
}

// stall lets the world's store stall.
func (w *world) stall(renewals, completions int) *stallingStore {
	s := &stallingStore{Store: w.store.Store, renewals: renewals, completions: completions}
	w.store.Store = s
	return s
}

func stall(ctx context.Context, left *int) error {
	if *left == 0 {
		return ctx.Err()
	}
	*left--
	<-ctx.Done()
	return ctx.Err()
}

func (s *stallingStore) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if err := stall(ctx, &s.renewals); err != nil {
		return err
	}
	return s.Store.Renew(ctx, claim, lease)
}

func (s *stallingStore) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if err := stall(ctx, &s.completions); err != nil {
		return err
	}
	return s.Store.Complete(ctx, claim, until)
}

// A completion that gets no answer does not take the second attempt's time; two do end.
func TestCompleteStalls(t *testing.T) {
	inBubble(t, func(w *world) {
		w.stall(0, 1)
		w.want(w.event("1"), consumer.Handled, "")
		w.stall(0, 2)
		w.want(w.event("2"), consumer.Retry, envelope.ReasonStoreUnavailable)
	})
}

// A renewal that is under way when the handler returns delays nothing.
func TestHandlerReturnsDuringRenewal(t *testing.T) {
	inBubble(t, func(w *world) {
		stalling := w.stall(1, 0)
		const work = consumer.DefaultLease/3 + time.Second
		r, err := w.consumer().Handle(context.Background(), body(w.event("1")), slowHandler(work))
		w.check(r, err, consumer.Handled, "")
		if took := time.Since(start); took != work || stalling.renewals != 0 {
			w.Errorf("it took %v, %d stalls to come", took, stalling.renewals)
		}
	})
}

func TestLostLeaseCancelsHandler(t *testing.T) {
	inBubble(t, func(w *world) {
		w.store.renew = replay.ErrClaimLost
		r, err := w.consumer().Handle(context.Background(), body(w.event("1")),
			func(ctx context.Context, _ consumer.Delivery[[]byte]) error {
				<-ctx.Done()
				return context.Cause(ctx)
			})
		w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
		if !errors.Is(err, replay.ErrClaimLost) {
			w.Errorf("error %v", err)
		}
	})
}
