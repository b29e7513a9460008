package consumer_test

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

// orderlyStore is an error if a claim is used after its completion or its release.
type orderlyStore struct {
	replay.Store
	t testing.TB

	mu       sync.Mutex
	ended    map[replay.Claim]bool
	renewals int
}

func (s *orderlyStore) use(claim replay.Claim, what string, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended[claim] {
		s.t.Errorf("%s of a claim that has ended", what)
	}
	s.ended[claim] = last
	if what == "Renew" {
		s.renewals++
	}
}

func (s *orderlyStore) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	s.use(claim, "Renew", false)
	return s.Store.Renew(ctx, claim, lease)
}

func (s *orderlyStore) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	s.use(claim, "Complete", true)
	return s.Store.Complete(ctx, claim, until)
}

func (s *orderlyStore) Release(ctx context.Context, claim replay.Claim) error {
	s.use(claim, "Release", true)
	return s.Store.Release(ctx, claim)
}

// A handler that returns at the moment of a renewal, or just before or after it, gets no renewal after its
// claim was completed, and leaves no goroutine behind.
func TestNoRenewalAfterCompletion(t *testing.T) {
	const third = consumer.DefaultLease / 3
	for _, c := range []struct {
		work     time.Duration
		renewals int // at least; one more at the moment of a renewal
	}{
		{0, 0}, {third - 1, 0}, {third, 0}, {third + 1, 1}, {2*third - 1, 1}, {2 * third, 1}, {2*third + 1, 2},
	} {
		for range 50 {
			inBubble(t, func(w *world) {
				store := &orderlyStore{Store: w.store.Store, t: w, ended: map[replay.Claim]bool{}}
				w.store.Store = store
				r, err := w.consumer().Handle(context.Background(), body(w.event("1")), slowHandler(c.work))
				w.check(r, err, consumer.Handled, "")
				time.Sleep(2 * consumer.DefaultLease)
				synctest.Wait()
				if n := store.renewals - c.renewals; n < 0 || n > 0 && (c.work == 0 || c.work%third != 0) {
					w.Errorf("%d renewals in %v", store.renewals, c.work)
				}
			})
		}
	}
}

// A handler outlives its lease, because no renewal gets through. Another worker handles the event meanwhile.
// The first one then completes nothing, and does not take the claim of the other.
func TestHandlerOutlivesItsLease(t *testing.T) {
	inBubble(t, func(w *world) {
		store := &orderlyStore{Store: w.store.Store, t: w, ended: map[replay.Claim]bool{}}
		w.store.Store = store
		w.store.renew = replay.ErrUnavailable
		b := w.event("1")
		type end struct {
			r   consumer.Result
			err error
		}
		first, c := make(chan end), w.consumer()
		go func() {
			r, err := c.Handle(context.Background(), body(b), slowHandler(3*consumer.DefaultLease))
			first <- end{r, err}
		}()
		time.Sleep(consumer.DefaultLease / 2)
		w.want(b, consumer.Retry, envelope.ReasonInProgress)
		time.Sleep(consumer.DefaultLease)
		w.want(b, consumer.Handled, "")
		e := <-first
		w.check(e.r, e.err, consumer.Retry, envelope.ReasonInProgress)
		if len(w.handled) != 1 || w.handled[0].IdempotencyKey != e.r.IdempotencyKey {
			w.Errorf("%d handlers beside the first, key %q", len(w.handled), e.r.IdempotencyKey)
		}
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
	})
}

// A store that panics at a renewal, or ends the goroutine, ends neither the process nor the handler.
func TestStorePanicsAtARenewal(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("of the store") }, "exit": runtime.Goexit} {
		inBubble(t, func(w *world) {
			var lines bytes.Buffer
			w.opts.Logger = slog.New(slog.NewTextHandler(&lines, nil))
			w.store.onRenew = end
			r, err := w.consumer().Handle(context.Background(), body(w.event("1")),
				slowHandler(consumer.DefaultLease/2))
			w.check(r, err, consumer.Handled, "")
			if said := strings.Contains(lines.String(), "of the store"); said != (name == "panic") {
				w.Errorf("%s: logged %s", name, &lines)
			}
		})
	}
}

// A handler that returns within a third of its lease costs no goroutine.
func TestQuickHandlerCostsNoGoroutine(t *testing.T) {
	w := newWorld(t)
	c, b := w.consumer(), w.event("1")
	before, during := runtime.NumGoroutine(), 0
	r, err := c.Handle(context.Background(), body(b), func(context.Context, consumer.Delivery[[]byte]) error {
		during = runtime.NumGoroutine()
		return nil
	})
	w.check(r, err, consumer.Handled, "")
	if during > before {
		t.Errorf("%d goroutines before, %d while the handler runs", before, during)
	}
}
