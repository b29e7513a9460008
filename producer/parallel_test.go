package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
)

// onProcessors has the test use so many processors, whatever the machine has.
func onProcessors(t *testing.T, n int) {
	t.Helper()
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// watched is a signer that a test watches while it signs. It says that it is in memory.
type watched struct {
	keys.Signer
	sign func()
}

func (w watched) InMemory() bool { return true }

func (w watched) Sign(ctx context.Context, message []byte) ([]byte, error) {
	w.sign()
	return w.Signer.Sign(ctx, message)
}

// remote is a signer that does not say where its key is.
type remote struct{ keys.Signer }

// memoryBus keeps the IDs of the events that it accepts. It refuses those of the map.
type memoryBus struct {
	accepted []string
	refused  map[string]error
}

func (b *memoryBus) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	results := make([]producer.Result, len(events))
	for i, e := range events {
		var sent struct{ ID string }
		if err := json.Unmarshal(e.JSON(), &sent); err != nil {
			panic(err)
		}
		if results[i].Err = b.refused[sent.ID]; results[i].Err == nil {
			b.accepted = append(b.accepted, sent.ID)
		}
	}
	return results
}

// published is the IDs of the results without an error, in their order.
func published(results []producer.Result) (ids []string) {
	for _, r := range results {
		if r.Err == nil {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// breakSome breaks about a third of the events: at sealing, or on the bus. It returns the fault of each.
func breakSome(random *rand.Rand, events []event.Event, bus *memoryBus) []string {
	faults := make([]string, len(events))
	for i := range events {
		switch random.IntN(12) {
		case 0:
			faults[i] = "recordedtime"
			events[i].SetExtension("recordedtime", start)
		case 1:
			faults[i] = "source"
			events[i].SetSource("https://orders.example/../x")
		case 2:
			faults[i] = "data"
			events[i].DataEncoded = []byte(`{"amount":`)
		case 3:
			faults[i] = "bus"
			bus.refused[events[i].ID()] = errThrottled
		}
	}
	return faults
}

// Each event has its own result, in the order of the events, however many of them fail, and the bus gets them
// in that order.
func TestPublishKeepsTheOrder(t *testing.T) {
	onProcessors(t, 4)
	o := newOrg(t)
	for round := range cases.Of(200) {
		random := rand.New(rand.NewPCG(7, uint64(round)))
		bus := &memoryBus{refused: map[string]error{}}
		events := numbered(random.IntN(230))
		faults := breakSome(random, events, bus)
		results, err := newProducer(t, o, bus, nil).Publish(t.Context(), events...)
		if len(results) != len(events) {
			t.Fatalf("%d results of %d events", len(results), len(events))
		}
		for i, r := range results {
			refused, _ := errors.AsType[*envelope.SealError](r.Err)
			switch {
			case r.ID != events[i].ID():
				t.Fatalf("result %d is that of %s", i, r.ID)
			case faults[i] == "" && r.Err != nil, faults[i] == "bus" && r.Err != errThrottled:
				t.Fatalf("event %d (%q): %v", i, faults[i], r.Err)
			case faults[i] != "" && faults[i] != "bus" && (refused == nil || refused.Member != faults[i]):
				t.Fatalf("event %d: %v, want what is wrong with %q", i, r.Err, faults[i])
			}
		}
		if ids := published(results); !slices.Equal(ids, bus.accepted) {
			t.Fatalf("published %v, on the bus are %v", ids, bus.accepted)
		}
		if failed := len(published(results)) < len(events); (err != nil) != failed {
			t.Fatalf("error %v", err)
		}
	}
}

// A context that is cancelled at any moment leaves no event without an answer: each is on the bus, or its
// error says why not.
func TestPublishCancelledAtAnyMoment(t *testing.T) {
	onProcessors(t, 4)
	o := newOrg(t)
	const n = 130 // two batches
	for at := range 2*n + 10 {
		if !cases.All() && at%9 != 0 {
			continue
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("stop")
		var steps atomic.Int64
		step := func() {
			if steps.Add(1) == int64(at) {
				cancel(stop)
			}
		}
		bus := &memoryBus{}
		p, err := producer.New(keys.SignWith(watched{o.signer, step}), bus,
			&producer.Options{Now: func() time.Time { step(); return start }})
		if err != nil {
			t.Fatal(err)
		}
		results, err := p.Publish(ctx, numbered(n)...)
		if ids := published(results); len(results) != n || !slices.Equal(ids, bus.accepted) {
			t.Fatalf("cancelled at step %d: published %v, on the bus are %v", at, ids, bus.accepted)
		}
		for i, r := range results {
			if r.Err != nil && !errors.Is(r.Err, stop) && !errors.Is(r.Err, context.Canceled) {
				t.Errorf("cancelled at step %d: event %d: %v", at, i, r.Err)
			}
		}
		if all := len(bus.accepted) == n; all != (err == nil) {
			t.Errorf("cancelled at step %d: %d are on the bus, error %v", at, len(bus.accepted), err)
		}
		cancel(nil)
	}
}

// Two processors seal at the same time: each signature waits for another one.
func TestPublishSealsOnAllProcessors(t *testing.T) {
	onProcessors(t, 2)
	synctest.Test(t, func(t *testing.T) {
		meet := make(chan struct{})
		signer := watched{newOrg(t).signer, func() {
			select {
			case meet <- struct{}{}:
			case <-meet:
			}
		}}
		p, err := producer.New(keys.SignWith(signer), busFunc(accept), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Publish(t.Context(), numbered(8)...); err != nil {
			t.Error(err)
		}
	})
}

// A key that may be in a key service gets one call at a time, also beside one in memory.
func TestPublishCallsARemoteKeyOnceAtATime(t *testing.T) {
	onProcessors(t, 4)
	var inside, most atomic.Int64
	slow := watched{newOrg(t).signer, func() {
		most.Store(max(most.Load(), inside.Add(1)))
		runtime.Gosched()
		inside.Add(-1)
	}}
	for name, signers := range map[string][]keys.Signer{
		"alone":                {remote{slow}},
		"beside one in memory": {slow, remote{newOrg(t).signer}},
	} {
		p, err := producer.New(keys.SignWith(signers...), busFunc(accept), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Publish(t.Context(), numbered(50)...); err != nil {
			t.Error(err)
		}
		if most.Load() != 1 {
			t.Errorf("%s: %d calls at a time", name, most.Load())
		}
	}
}

// oneSigner is a source that does not look at its signer.
type oneSigner struct{ signer keys.Signer }

func (s oneSigner) Signers(time.Time) ([]keys.Signer, error) { return []keys.Signer{s.signer}, nil }

func TestPublishWithoutASigner(t *testing.T) {
	for name, signer := range map[string]keys.Signer{
		"none": nil, "a nil pointer": (*keys.LocalSigner)(nil), "one without a key": &keys.LocalSigner{},
	} {
		p, err := producer.New(oneSigner{signer}, busFunc(accept), nil)
		if err != nil {
			t.Fatal(err)
		}
		results, _ := p.Publish(t.Context(), numbered(2)...)
		for _, r := range results {
			if _, ok := errors.AsType[*envelope.SealError](r.Err); !ok {
				t.Errorf("%s: %s: got %v", name, r.ID, r.Err)
			}
		}
	}
}

// One event is sealed in the goroutine of the caller.
func TestPublishOneEventStartsNoGoroutine(t *testing.T) {
	onProcessors(t, 4)
	before, during := runtime.NumGoroutine(), 0
	signer := watched{newOrg(t).signer, func() { during = runtime.NumGoroutine() }}
	p, err := producer.New(keys.SignWith(signer), busFunc(accept), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), placed("1")); err != nil || during > before {
		t.Errorf("%d goroutines before, %d during Publish, error %v", before, during, err)
	}
}

// A panic while an event is sealed is one of the caller, in whichever goroutine it came. It comes when no
// other goroutine is at work any more.
func TestPublishPanics(t *testing.T) {
	onProcessors(t, 4)
	o := newOrg(t)
	for at := range 20 {
		var calls, inside atomic.Int64
		signer := watched{o.signer, func() {
			inside.Add(1)
			defer inside.Add(-1)
			if runtime.Gosched(); calls.Add(1) == int64(at)+1 {
				panic(at)
			}
		}}
		p, err := producer.New(keys.SignWith(signer), busFunc(accept), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := func() (v any) {
			defer func() { v = recover() }()
			_, _ = p.Publish(t.Context(), numbered(20)...)
			return nil
		}()
		if got != at || inside.Load() != 0 {
			t.Errorf("panic %v, want %d; %d are signing", got, at, inside.Load())
		}
	}
}

// A callback that ends its goroutine, as t.FailNow does, does not make its event look published.
func TestPublishWhenACallbackEndsItsGoroutine(t *testing.T) {
	onProcessors(t, 4)
	o := newOrg(t)
	for at := range 20 {
		var calls atomic.Int64
		bus := &memoryBus{}
		p, err := producer.New(keys.SignWith(watched{o.signer, func() {
			if calls.Add(1) == int64(at)+1 {
				runtime.Goexit()
			}
		}}), bus, nil)
		if err != nil {
			t.Fatal(err)
		}
		var results []producer.Result
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			results, _ = p.Publish(t.Context(), numbered(20)...)
		}()
		<-ended
		if results != nil && len(bus.accepted) != 19 || results == nil && len(bus.accepted) != 0 ||
			!slices.Equal(published(results), bus.accepted) {
			t.Errorf("published %v, on the bus are %v", published(results), bus.accepted)
		}
	}
}

// An event that is given twice shares its maps with itself.
func TestPublishOneEventTwice(t *testing.T) {
	onProcessors(t, 4)
	ev := placed("1")
	ev.SetExtension("traceparent", struct{}{}) // the SDK notes the error in the event
	if len(ev.FieldErrors) != 1 {
		t.Fatalf("the SDK noted %v", ev.FieldErrors)
	}
	p := newProducer(t, newOrg(t), busFunc(accept), nil)
	ctx := producer.WithTrace(t.Context(), parent, "")
	if _, err := p.Publish(ctx, slices.Repeat([]event.Event{ev}, 50)...); err != nil {
		t.Error(err)
	}
	if len(ev.FieldErrors) != 1 {
		t.Error("publishing changed the caller's event")
	}
}

// BenchmarkPublish seals batches for a bus that does nothing, on one processor and on all in turns. It
// reports how much faster all of them are, by the fastest round of each.
func BenchmarkPublish(b *testing.B) {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		b.Fatal(err)
	}
	p, err := producer.New(keys.SignWith(signer), busFunc(accept), nil)
	if err != nil {
		b.Fatal(err)
	}
	processors := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(processors)
	for _, size := range []int{1 << 10, 16 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			events := numbered(100)
			for i := range events {
				if err := events[i].SetData("application/json", sizedData(size)); err != nil {
					b.Fatal(err)
				}
			}
			round := func(on int) time.Duration {
				runtime.GOMAXPROCS(on)
				began := time.Now()
				if _, err := p.Publish(b.Context(), events...); err != nil {
					b.Fatal(err)
				}
				return time.Since(began)
			}
			one, all := time.Hour, time.Hour
			for b.Loop() {
				one, all = min(one, round(1)), min(all, round(processors))
			}
			b.ReportMetric(float64(one)/float64(all), "x")
			b.ReportMetric(float64(all.Microseconds())/float64(len(events)), "us/event")
		})
	}
}

// sizedData is JSON data of about that many bytes.
func sizedData(size int) any {
	type line struct {
		Amount   int    `json:"amount"`
		Currency string `json:"currency"`
		ID       string `json:"id"`
		Note     string `json:"note"`
	}
	return slices.Repeat([]line{{1250, "EUR", "4f9a", "two boxes"}}, size/64)
}
