package awslambda_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// reports are the outcomes, with their reasons, that an observer was told.
type reports struct {
	mu  sync.Mutex
	all []string
}

func (r *reports) Delivered(_ context.Context, report consumer.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, strings.TrimSpace(string(report.Outcome)+" "+string(report.Reason())))
}

func (r *reports) sorted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.Sort(r.all)
	return r.all
}

// counting is a store that counts claims.
type counting struct {
	replay.Store
	mu     sync.Mutex
	claims int
}

func (s *counting) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	s.mu.Lock()
	s.claims++
	s.mu.Unlock()
	return s.Store.Claim(ctx, key, digest, until, lease)
}

const (
	wasHandled   = "handled"
	wasDuplicate = "duplicate replayed"
	inProgress   = "retry in_progress"
	hasFailed    = "retry handler_failed"
)

// The copy is parked while the first one is in hand. It takes no worker from the others, holds no claim, and
// is a duplicate in the end: nothing of the batch comes again, and each message is reported once.
func TestCopyInABatch(t *testing.T) { synctest.Test(t, copyInABatch) }

func copyInABatch(t *testing.T) {
	w := newWorld(t)
	told, store := &reports{}, &counting{Store: w.store.Store}
	w.core.Observer, w.store.Store, w.opts.Parallel = told, store, 2
	event := w.delivery("a")
	batch := awslambdatest.SQS(t, event, event, event, w.delivery("b"), w.delivery("c"))
	others := make(chan struct{}, 2)
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		if d.Data.Item != "a" {
			others <- struct{}{}
			return nil
		}
		for range 2 {
			<-others
		}
		return nil
	}
	w.want(w.invoke(batch))
	same(t, "handled", w.sortedItems(), []string{"a", "b", "c"})
	same(t, "reports", told.sorted(), []string{wasDuplicate, wasDuplicate, wasHandled, wasHandled,
		wasHandled})
	if store.claims != 5 {
		t.Errorf("%d claims were asked for, want one for each message", store.claims)
	}
}

// Of a FIFO queue the copy's group is parked, and its order is kept, while others go on.
func TestCopyInABatchFIFO(t *testing.T) { synctest.Test(t, copyInABatchFIFO) }

func copyInABatchFIFO(t *testing.T) {
	w := newWorld(t)
	told := &reports{}
	w.core.Observer, w.opts.Parallel = told, 2
	event := w.delivery("x")
	messages := []awslambdatest.Grouped{{Group: "a", Body: event}, {Group: "b", Body: event}}
	batch := awslambdatest.FIFO(t, append(messages, w.grouped("b1", "b2", "c1", "d1")...)...)
	others := make(chan string, 2)
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		switch d.Data.Item {
		case "c1", "d1":
			others <- d.Data.Item
		case "x":
			<-others
			<-others
		}
		return nil
	}
	w.want(w.invoke(batch))
	items := w.taken()
	if slices.Index(items, "b1") < slices.Index(items, "x") ||
		slices.Index(items, "b2") < slices.Index(items, "b1") || len(items) != 5 {
		t.Errorf("handled %v", items)
	}
	same(t, "reports", told.sorted(), append([]string{wasDuplicate},
		slices.Repeat([]string{wasHandled}, 5)...))
}

// Two groups with the same two events in opposite orders: there is no deadlock, and each is handled once.
func TestCopiesAcross(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		x, y := w.delivery("x"), w.delivery("y")
		w.want(w.invoke(awslambdatest.FIFO(t,
			awslambdatest.Grouped{Group: "a", Body: x}, awslambdatest.Grouped{Group: "a", Body: y},
			awslambdatest.Grouped{Group: "b", Body: y}, awslambdatest.Grouped{Group: "b", Body: x})))
		same(t, "handled", w.sortedItems(), []string{"x", "y"})
	}
}

// If the first copy fails, in whatever way, the others are in progress, and what comes after them in their
// group is not begun. Then they come again, and the handler is called once more.
func TestCopyOfWhatFails(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no stock") },
		"panic": func() error { panic("no stock") },
		"end":   func() error { runtime.Goexit(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			want := []string{wasHandled, wasHandled, hasFailed, inProgress, inProgress}
			if name == "end" { // which no one reports
				want = []string{wasHandled, wasHandled, inProgress, inProgress}
			}
			for _, parallel := range []int{2, 4} {
				synctest.Test(t, func(t *testing.T) { copyOfWhatFails(t, parallel, fail, want) })
			}
		})
	}
}

func copyOfWhatFails(t *testing.T, parallel int, fail func() error, want []string) {
	w := newWorld(t)
	told := &reports{}
	w.core.Observer, w.opts.Parallel = told, parallel
	event := w.delivery("x")
	messages := []awslambdatest.Grouped{{Group: "a", Body: event}, {Group: "b", Body: event},
		{Group: "c", Body: event}}
	batch := awslambdatest.FIFO(t, append(messages, w.grouped("b1", "d1", "e1")...)...)
	others := make(chan struct{}, 2)
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		if d.Data.Item != "x" {
			others <- struct{}{}
			return nil
		}
		<-others
		<-others
		synctest.Wait() // both copies are parked
		return fail()
	}
	got := w.invoke(batch)
	// The copies failed, and b1 behind one of them.
	if len(got.Failed) != 4 || !slices.Contains(got.Failed, "message-4") {
		t.Errorf("failed %v, %v", got.Failed, got.Err)
	}
	same(t, "handled", w.sortedItems(), []string{"d1", "e1", "x"})
	same(t, "reports", told.sorted(), want)
	w.handler = nil
	w.want(w.invoke(batch))
	same(t, "then", w.sortedItems(), []string{"b1", "x"})
}

// If the time is up when the first copy ends, the others are in progress: nothing is begun, also if it was
// handled.
func TestCopyWhenTimeIsShort(t *testing.T) { synctest.Test(t, copyWhenTimeIsShort) }

func copyWhenTimeIsShort(t *testing.T) {
	w := newWorld(t)
	told := &reports{}
	w.core.Observer, w.opts.Parallel, w.opts.Margin = told, 3, 10*time.Second
	clock := replaytest.NewClock(time.Now())
	w.opts.Now = clock.Now
	event := w.delivery("x")
	batch := awslambdatest.SQS(t, event, event, event)
	w.handler = func(context.Context, consumer.Delivery[order]) error {
		synctest.Wait()
		clock.Advance(time.Hour)
		return nil
	}
	got := w.invoke(batch)
	if len(got.Failed) != 2 {
		t.Errorf("failed %v", got.Failed)
	}
	same(t, "handled", w.taken(), []string{"x"})
	same(t, "reports", told.sorted(), []string{wasHandled, inProgress, inProgress})
	if strings.Contains(w.log.String(), "not begun") {
		t.Errorf("the log: %s", w.log)
	}
}

// Code that panics beside the handler leaves no copy waiting.
func TestCopyWhenTheStorePanics(t *testing.T) { synctest.Test(t, copyWhenTheStorePanics) }

func copyWhenTheStorePanics(t *testing.T) {
	w := newWorld(t)
	c, err := consumer.New("billing", w.trust, &panickingCompletion{Store: w.store}, &w.policy, &w.core)
	if err != nil {
		t.Fatal(err)
	}
	event := w.delivery("x")
	batch := awslambdatest.SQS(t, event, event, w.delivery("b"))
	w.handler = func(context.Context, consumer.Delivery[order]) error {
		synctest.Wait()
		return nil
	}
	got := awslambdatest.Invoke(w, awslambda.SQS(c, w.handle, &w.opts), batch)
	if len(got.Failed) != 3 || !strings.Contains(w.log.String(), "did not return") {
		t.Errorf("failed %v, the log: %s", got.Failed, w.log)
	}
}

// panickingCompletion panics when anything is completed.
type panickingCompletion struct{ replay.Store }

func (*panickingCompletion) Complete(context.Context, replay.Claim, time.Time) error { panic("boom") }

// A copy with other content is judged when the first has been handled, and not before.
func TestCopyWithOtherContent(t *testing.T) { synctest.Test(t, copyWithOtherContent) }

func copyWithOtherContent(t *testing.T) {
	w := newWorld(t)
	ev := event.New()
	ev.SetID("one")
	ev.SetSource("https://orders.example/test")
	ev.SetType(typ)
	var bodies [][]byte
	for _, item := range []string{"x", "y"} {
		if err := ev.SetData("application/json", order{item}); err != nil {
			t.Fatal(err)
		}
		sealed, err := envelope.Seal(t.Context(), ev, w.org.Signer(),
			&envelope.SealOptions{Audience: envelopetest.Audience, Now: w.org.Now})
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, w.deliver(sealed, nil))
	}
	batch := awslambdatest.SQS(t, bodies...)
	w.handler = func(context.Context, consumer.Delivery[order]) error {
		synctest.Wait()
		return nil
	}
	w.want(w.invoke(batch))
	if items := w.taken(); len(items) != 1 {
		t.Errorf("handled %v", items)
	}
	same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonIDReused})
}

// A whole batch of copies: one is handled, and each of the others is judged twice at most.
func TestBatchOfCopies(t *testing.T) {
	w := newWorld(t)
	store := &counting{Store: w.store.Store}
	w.store.Store = store
	const copies = 500
	batch := awslambdatest.SQS(t, slices.Repeat([][]byte{w.delivery("x")}, copies)...)
	w.want(w.invoke(batch))
	same(t, "handled", w.taken(), []string{"x"})
	if store.claims != copies {
		t.Errorf("%d claims were asked for, want %d", store.claims, copies)
	}
}

// A handler that hands the same message, or another one, to a consumer in its own context gets the answer
// that it would get elsewhere, and nothing waits for it.
func TestHandlerThatHandles(t *testing.T) {
	w := newWorld(t)
	x, y := w.delivery("x"), w.delivery("y")
	other := w.consumer()
	w.handler = func(ctx context.Context, d consumer.Delivery[order]) error {
		if d.Data.Item != "x" {
			return nil
		}
		none := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
		for body, want := range map[string]envelope.Reason{string(x): envelope.ReasonInProgress,
			string(y): ""} {
			if r, err := other.Handle(ctx, consumer.Message{Body: []byte(body), Format: consumer.EventBridge},
				none); r.Reason() != want {
				t.Errorf("%q, %v, want %q", r.Reason(), err, want)
			}
		}
		return nil
	}
	messages := []awslambdatest.Grouped{{Group: "a", Body: x}, {Group: "a", Body: y}, {Group: "a", Body: x}}
	w.want(w.invoke(awslambdatest.FIFO(t, messages...)))
}

// A handler that ends its goroutine, as a test does that fails, leaves the others a worker.
func TestHandlerThatEndsItsGoroutine(t *testing.T) {
	w := newWorld(t)
	w.opts.Parallel = 1
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		if d.Data.Item == "a" {
			runtime.Goexit()
		}
		return nil
	}
	w.want(w.invoke(awslambdatest.SQS(t, w.deliveries("a", "b", "c")...)), "message-1")
	same(t, "handled", w.taken(), []string{"a", "b", "c"})
}

// Random batches of copies in groups, some of which fail: no event is in two handlers at a time, none is
// handled twice, groups keep their order, and without failures all succeed.
func TestRandomBatches(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 60 {
		w := newWorld(t)
		w.opts.Parallel = 1 + rng.IntN(4)
		var events [][]byte
		for i := range 1 + rng.IntN(5) {
			events = append(events, w.delivery(fmt.Sprint(i)))
		}
		failing := rng.IntN(2*len(events)) - len(events) // often none
		var mu sync.Mutex
		running, done := map[string]bool{}, map[string]int{}
		w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
			mu.Lock()
			if running[d.Data.Item] {
				t.Errorf("%s is in two handlers", d.Data.Item)
			}
			running[d.Data.Item] = true
			mu.Unlock()
			runtime.Gosched()
			mu.Lock()
			defer mu.Unlock()
			running[d.Data.Item] = false
			if d.Data.Item == fmt.Sprint(failing) {
				return errors.New("no")
			}
			done[d.Data.Item]++
			return nil
		}
		var batch []awslambdatest.Grouped
		for range 1 + rng.IntN(25) {
			batch = append(batch, awslambdatest.Grouped{Group: fmt.Sprint(rng.IntN(4)),
				Body: events[rng.IntN(len(events))]})
		}
		payload := awslambdatest.FIFO(t, batch...)
		if rng.IntN(2) == 0 {
			var bodies [][]byte
			for _, m := range batch {
				bodies = append(bodies, m.Body)
			}
			payload = awslambdatest.SQS(t, bodies...)
		}
		got := w.invoke(payload)
		if failing < 0 && len(got.Failed) > 0 {
			t.Errorf("failed %v, %v", got.Failed, got.Err)
		}
		failing = -1
		w.want(w.invoke(payload))
		for item, n := range done {
			if n != 1 {
				t.Errorf("%s was handled %d times", item, n)
			}
		}
	}
}
