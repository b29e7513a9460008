package producer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func now() time.Time { return start }

// org is one producer with its trust.
type org struct {
	signer *keys.LocalSigner
	trust  *trust.Bundle
}

func newOrg(t *testing.T) org {
	t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return org{signer, bundle}
}

func placed(id string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	ev.SetTime(start)
	if err := ev.SetData("application/json", map[string]any{"amount": 12}); err != nil {
		panic(err)
	}
	return ev
}

func numbered(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = placed(fmt.Sprint("order-", i))
	}
	return events
}

func newProducer(t *testing.T, o org, bus producer.Bus, opts *producer.Options) *producer.Producer {
	t.Helper()
	if opts == nil {
		opts = &producer.Options{}
	}
	opts.Now = now
	p, err := producer.New(keys.SignWith(o.signer), bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// busFunc is a Bus that answers as a test wants.
type busFunc func(ctx context.Context, events []*envelope.Sealed) []error

func (f busFunc) Send(ctx context.Context, events []*envelope.Sealed) []producer.Result {
	errs := f(ctx, events)
	outcomes := make([]producer.Result, len(errs))
	for i, err := range errs {
		outcomes[i].Err = err
	}
	return outcomes
}

func accept(_ context.Context, events []*envelope.Sealed) []error { return make([]error, len(events)) }

func TestNewRefuses(t *testing.T) {
	ring := keys.SignWith(newOrg(t).signer)
	for name, f := range map[string]func() (*producer.Producer, error){
		"no ring": func() (*producer.Producer, error) { return producer.New(nil, busFunc(accept), nil) },
		"no bus":  func() (*producer.Producer, error) { return producer.New(ring, nil, nil) },
		"negative Expires": func() (*producer.Producer, error) {
			return producer.New(ring, busFunc(accept), &producer.Options{Expires: -1})
		},
		"no extension type": func() (*producer.Producer, error) {
			types := map[string]string{"vip": "Date"}
			return producer.New(ring, busFunc(accept), &producer.Options{ExtensionTypes: types})
		},
	} {
		if p, err := f(); err == nil || p != nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := producer.New(ring, busFunc(accept), nil); err != nil {
		t.Error(err)
	}
}

func TestPublish(t *testing.T) {
	o := newOrg(t)
	var got []string
	p := newProducer(t, o, busFunc(func(ctx context.Context, events []*envelope.Sealed) []error {
		for _, s := range events {
			opened, err := envelope.Open(ctx, s.JSON(), o.trust,
				&envelope.Policy{Audience: "central", MaxAge: time.Hour, Now: now,
					Unsafe: envelope.Unsafe{AnySource: true}})
			if err != nil {
				t.Fatal(err)
			}
			if opened.Producer != "orders" || opened.ExpiresAt != start.Add(time.Hour) {
				t.Errorf("opened %+v", opened)
			}
			got = append(got, opened.Event.ID())
		}
		return make([]error, len(events))
	}), &producer.Options{Audience: "central", Expires: time.Hour})
	const n = 250 // several batches
	results, err := p.Publish(t.Context(), numbered(n)...)
	if err != nil || len(results) != n || len(got) != n {
		t.Fatalf("%d results, %d sent, error %v", len(results), len(got), err)
	}
	for i, r := range results {
		if want := fmt.Sprint("order-", i); r.ID != want || got[i] != want || r.Err != nil {
			t.Fatalf("result %d is %+v, sent was %s", i, r, got[i])
		}
	}
	if results, err := p.Publish(t.Context()); err != nil || len(results) != 0 {
		t.Errorf("publishing nothing: %v, %v", results, err)
	}
}

var errThrottled = errors.New("throttled")

type codeError struct{ code int }

func (e *codeError) Error() string { return fmt.Sprint("code ", e.code) }

// Each event gets its own answer, also when another one could not be sealed: what a bus says of the second
// sealed event is not about the second event.
func TestPublishMapsAnswersToEvents(t *testing.T) {
	events := numbered(5)
	events[1].SetExtension("recordedtime", start) // sealing refuses it
	p := newProducer(t, newOrg(t), busFunc(func(_ context.Context, sealed []*envelope.Sealed) []error {
		return []error{nil, errThrottled, nil, &codeError{7}} // of events 0, 2, 3, 4
	}), nil)
	results, err := p.Publish(t.Context(), events...)
	var seal *envelope.SealError
	if !errors.As(results[1].Err, &seal) {
		t.Errorf("event 1: %v, want a *SealError", results[1].Err)
	}
	var pe *producer.PublishError
	if !errors.As(err, &pe) {
		t.Fatalf("error %v", err)
	}
	var failed []int
	for i, r := range pe.Results {
		if r.Err != nil {
			failed = append(failed, i)
		}
	}
	if !slices.Equal(failed, []int{1, 2, 4}) || !slices.Equal(pe.Results, results) {
		t.Errorf("failed %v, results %v", failed, pe.Results)
	}
	var code *codeError
	if !errors.Is(err, errThrottled) || !errors.As(err, &code) || !errors.As(err, &seal) {
		t.Errorf("the error does not lead to each event's")
	}
}

// outcomeBus is a bus that tells more than errors.
type outcomeBus struct{ busFunc }

func (b outcomeBus) Send(ctx context.Context, events []*envelope.Sealed) []producer.Result {
	outcomes := make([]producer.Result, len(events))
	for i, err := range b.busFunc(ctx, events) {
		outcomes[i] = producer.Result{Err: err, MaybeTwice: i != 1}
	}
	return outcomes
}

// TestPublishMaybeTwice: a bus that can tell which events it may have twice is asked.
func TestPublishMaybeTwice(t *testing.T) {
	bus := busFunc(func(context.Context, []*envelope.Sealed) []error { return []error{nil, nil, errThrottled} })
	for name, c := range map[string]struct {
		bus  producer.Bus
		want []bool
	}{"it tells": {outcomeBus{bus}, []bool{true, false, true}}, "it does not tell": {bus, make([]bool, 3)}} {
		t.Run(name, func(t *testing.T) {
			results, err := newProducer(t, newOrg(t), c.bus, nil).Publish(t.Context(), numbered(3)...)
			if !errors.Is(err, errThrottled) || results[2].Err == nil {
				t.Errorf("%v, %+v", err, results)
			}
			for i, r := range results {
				if r.MaybeTwice != c.want[i] {
					t.Errorf("event %d: maybe twice %v", i, r.MaybeTwice)
				}
			}
		})
	}
}

func TestPublishCountsAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer []error
		want   []error
	}{
		{"none", nil, []error{producer.ErrNoAnswer, producer.ErrNoAnswer, producer.ErrNoAnswer}},
		{"too few", []error{nil, errThrottled}, []error{nil, errThrottled, producer.ErrNoAnswer}},
		{"too many", make([]error, 4), []error{producer.ErrNoAnswer, producer.ErrNoAnswer,
			producer.ErrNoAnswer}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newProducer(t, newOrg(t), busFunc(func(context.Context, []*envelope.Sealed) []error { return c.answer }), nil)
			results, err := p.Publish(t.Context(), numbered(3)...)
			for i, r := range results {
				if !errors.Is(r.Err, c.want[i]) {
					t.Errorf("event %d: %v, want %v", i, r.Err, c.want[i])
				}
			}
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestPublishCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sent := 0
	p := newProducer(t, newOrg(t), busFunc(func(_ context.Context, events []*envelope.Sealed) []error {
		sent += len(events)
		cancel()
		return make([]error, len(events))
	}), nil)
	results, err := p.Publish(ctx, numbered(250)...)
	if err == nil || sent == 0 || sent == 250 {
		t.Fatalf("%d were sent, error %v", sent, err)
	}
	for i, r := range results {
		if i < sent && r.Err != nil {
			t.Errorf("event %d was sent: %v", i, r.Err)
		}
		if i >= sent && (!errors.Is(r.Err, producer.ErrNotSent) || !errors.Is(r.Err, context.Canceled)) {
			t.Errorf("event %d was not sent: %v", i, r.Err)
		}
	}
}

func TestPublishWithoutKeys(t *testing.T) {
	p, err := producer.New(keys.SignWith(), busFunc(accept), nil)
	if err != nil {
		t.Fatal(err)
	}
	results, err := p.Publish(t.Context(), numbered(2)...)
	if !errors.Is(err, keys.ErrNoSigner) || !errors.Is(results[0].Err, keys.ErrNoSigner) ||
		!errors.Is(results[1].Err, keys.ErrNoSigner) {
		t.Errorf("results %v, error %v", results, err)
	}
}

// Two keys of a ring both sign, as they do during a rotation.
func TestPublishCoSigns(t *testing.T) {
	a, b := newOrg(t).signer, newOrg(t).signer
	var got []string
	bus := busFunc(func(_ context.Context, events []*envelope.Sealed) []error {
		got = events[0].KeyIDs()
		return make([]error, len(events))
	})
	p, err := producer.New(keys.SignWith(a, b), bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), placed("1")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []string{a.Verifier().KeyID(), b.Verifier().KeyID()}) {
		t.Errorf("signed by %v", got)
	}
}

func TestLocalBusDelivers(t *testing.T) {
	for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
		o := newOrg(t)
		bus := producer.NewLocalBus(&producer.LocalBusOptions{Layout: layout, Account: "123456789012"})
		var got []byte
		bus.Subscribe(func(_ context.Context, delivery []byte) error { got = delivery; return nil })
		if _, err := newProducer(t, o, bus, nil).Publish(t.Context(), placed("1")); err != nil {
			t.Fatal(err)
		}
		opener, err := envelope.NewOpener(o.trust,
			&envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true, AnyAge: true}})
		if err != nil {
			t.Fatal(err)
		}
		opened, err := opener.Open(t.Context(), envelope.Received{Body: got, EventBridge: true},
			envelope.Step{})
		if err != nil {
			t.Fatalf("%v\n%s", err, got)
		}
		if opened.Event.ID() != "1" || string(opened.Event.Data()) != `{"amount":12}` {
			t.Errorf("opened %v", opened.Event)
		}
		checkShape(t, got)
	}
}

// checkShape holds a delivery against the documented structure of EventBridge events.
func checkShape(t *testing.T, delivery []byte) {
	t.Helper()
	var shape map[string]json.RawMessage
	if err := json.Unmarshal(delivery, &shape); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"version": `"0"`, "detail-type": `"com.example.order.placed"`,
		"source":  `"https://orders.example/eu"`,
		"account": `"123456789012"`, "time": `"2026-03-01T12:00:00Z"`, "region": `"local"`, "resources": `[]`,
	} {
		if string(shape[name]) != want {
			t.Errorf("%s is %s, want %s", name, shape[name], want)
		}
	}
	if len(shape) != 9 || len(shape["id"]) != 38 || shape["id"][15] != '4' {
		t.Errorf("members %v", shape)
	}
}

func TestLocalBusRefusesWhatEventBridgeRefuses(t *testing.T) {
	ev := placed("1")
	if err := ev.SetData("application/json", json.RawMessage(`{"n":9223372036854775808}`)); err != nil {
		t.Fatal(err)
	}
	var seal *envelope.SealError
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(context.Context, []byte) error { return nil })
	results, _ := newProducer(t, newOrg(t), bus, nil).Publish(t.Context(), ev, placed("2"))
	if !errors.As(results[0].Err, &seal) || results[1].Err != nil {
		t.Errorf("results %v", results)
	}
}

// TestLocalBusWithoutSubscriber: an event that nothing would receive is an error, and is not received later
// either.
func TestLocalBusWithoutSubscriber(t *testing.T) {
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(nil) // is none
	p := newProducer(t, newOrg(t), bus, nil)
	results, err := p.Publish(t.Context(), placed("1"), placed("2"))
	if !errors.Is(err, producer.ErrNoSubscriber) {
		t.Errorf("got %v", err)
	}
	for _, r := range results {
		if !errors.Is(r.Err, producer.ErrNoSubscriber) {
			t.Errorf("%s: got %v", r.ID, r.Err)
		}
	}
	var got int
	bus.Subscribe(func(context.Context, []byte) error { got++; return nil })
	if _, err := p.Publish(t.Context(), placed("1")); err != nil || got != 1 {
		t.Errorf("with a subscriber: %d deliveries, %v", got, err)
	}
}

func TestLocalBusKeepsWhatWasNotTaken(t *testing.T) {
	bus := producer.NewLocalBus(nil)
	fails, seen := errors.New("down"), map[string]int{}
	down := true
	bus.Subscribe(func(_ context.Context, delivery []byte) error {
		seen[string(delivery)]++
		if down {
			return fails
		}
		return nil
	})
	var other int
	bus.Subscribe(func(context.Context, []byte) error { other++; return nil })
	if _, err := newProducer(t, newOrg(t), bus, nil).Publish(t.Context(), numbered(3)...); err != nil {
		t.Fatalf("a subscriber's error reached the publisher: %v", err)
	}
	if bus.Pending() != 3 || other != 3 {
		t.Fatalf("%d pending, the other subscriber got %d", bus.Pending(), other)
	}
	if err := bus.Deliver(t.Context()); !errors.Is(err, fails) {
		t.Errorf("Deliver: %v", err)
	}
	down = false
	if err := bus.Deliver(t.Context()); err != nil || bus.Pending() != 0 || other != 3 {
		t.Errorf("Deliver: %v, %d pending, the other subscriber got %d", err, bus.Pending(), other)
	}
	for _, n := range seen {
		if n != 3 || len(seen) != 3 {
			t.Fatalf("attempts %v", seen)
		}
	}
}

func TestLocalBusQueuedRewrittenAndPut(t *testing.T) {
	bus := producer.NewLocalBus(&producer.LocalBusOptions{Queued: true,
		Rewrite: func(b []byte) []byte { return append(b, ' ') }})
	var got []string
	bus.Subscribe(func(_ context.Context, delivery []byte) error { got = append(got, string(delivery)); return nil })
	if _, err := newProducer(t, newOrg(t), bus, nil).Publish(t.Context(), placed("1")); err != nil {
		t.Fatal(err)
	}
	bus.Put([]byte("forged"))
	if len(got) != 0 || bus.Pending() != 2 {
		t.Fatalf("%d delivered before Deliver", len(got))
	}
	if err := bus.Deliver(t.Context()); err != nil || len(got) != 2 || got[0][len(got[0])-1] != ' ' ||
		got[1] != "forged" {
		t.Errorf("delivered %q, %v", got, err)
	}
}

// A broker that drops a delivery neither delivers it nor stops the ones after it.
func TestLocalBusDrops(t *testing.T) {
	drop := true
	bus := producer.NewLocalBus(&producer.LocalBusOptions{Rewrite: func(b []byte) []byte {
		if drop {
			return nil
		}
		return b
	}})
	delivered := 0
	bus.Subscribe(func(_ context.Context, delivery []byte) error {
		delivered++
		if delivery == nil {
			t.Error("a dropped delivery was made")
		}
		return nil
	})
	p := newProducer(t, newOrg(t), bus, nil)
	publish := func() {
		t.Helper()
		if _, err := p.Publish(t.Context(), placed("1")); err != nil {
			t.Error(err)
		}
	}
	publish()
	bus.Put(nil)
	if err := bus.Deliver(t.Context()); err != nil || delivered != 0 || bus.Pending() != 0 {
		t.Fatalf("%d delivered, %d pending, %v", delivered, bus.Pending(), err)
	}
	drop = false
	publish()
	bus.Put([]byte{}) // empty is not dropped
	if err := bus.Deliver(t.Context()); err != nil || delivered != 2 || bus.Pending() != 0 {
		t.Errorf("%d delivered, %d pending, %v", delivered, bus.Pending(), err)
	}
}

// A subscriber may publish on the bus that it reads from, and may panic.
func TestLocalBusReentrant(t *testing.T) {
	bus := producer.NewLocalBus(nil)
	p := newProducer(t, newOrg(t), bus, nil)
	calls, panics := 0, true
	bus.Subscribe(func(ctx context.Context, _ []byte) error {
		if calls++; calls < 4 {
			_, err := p.Publish(ctx, placed(fmt.Sprint(calls)))
			return err
		}
		if panics {
			panic("at the disco")
		}
		return nil
	})
	func() {
		defer func() { _ = recover() }()
		_, _ = p.Publish(t.Context(), placed("0"))
	}()
	if calls != 4 || bus.Pending() != 1 {
		t.Fatalf("%d calls, %d pending", calls, bus.Pending())
	}
	panics = false
	if err := bus.Deliver(t.Context()); err != nil || bus.Pending() != 0 || calls != 5 {
		t.Errorf("%d calls, %d pending, %v", calls, bus.Pending(), err)
	}
}

func TestLocalBusConcurrent(t *testing.T) {
	bus := producer.NewLocalBus(nil)
	var inside, most, total atomic.Int32
	bus.Subscribe(func(context.Context, []byte) error {
		most.Store(max(most.Load(), inside.Add(1)))
		defer inside.Add(-1)
		if total.Add(1)%7 == 0 {
			return errors.New("again")
		}
		return nil
	})
	p := newProducer(t, newOrg(t), bus, nil)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, err := p.Publish(t.Context(), numbered(20)...); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for bus.Pending() > 0 {
		_ = bus.Deliver(t.Context())
	}
	if got := total.Load() - total.Load()/7; got != 160 || most.Load() != 1 {
		t.Errorf("%d taken, at most %d at a time", got, most.Load())
	}
}

// scopedRing is a source of signers that records a scope, as a keyring can.
type scopedRing struct{ keys.SignerSource }

func (scopedRing) Scope() (sources, types []string) {
	return []string{"https://orders.example/eu"}, []string{"com.example.order.placed"}
}

// An event that no consumer would accept is refused where it can still be corrected.
func TestPublishKeepsToTheScope(t *testing.T) {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		t.Fatal(err)
	}
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(context.Context, []byte) error { return nil })
	p, err := producer.New(scopedRing{keys.SignWith(signer)}, bus, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ source, typ, member string }{
		{"https://orders.example/eu", "com.example.order.placed", ""},
		{"https://evil.example/", "com.example.order.placed", "source"},
		{"https://orders.example/a%2Fb", "com.example.order.placed", "source"},
		{"https://orders.example/eu", "com.example.order.cancelled", "type"},
	} {
		ev := event.New()
		ev.SetID("1")
		ev.SetSource(test.source)
		ev.SetType(test.typ)
		_, err := p.Publish(t.Context(), ev)
		refused, _ := errors.AsType[*envelope.SealError](err)
		if (refused == nil) != (test.member == "") || refused != nil && refused.Member != test.member {
			t.Errorf("%+v: got %v", test, err)
		}
		if strings.Contains(test.source, "%2F") && !strings.Contains(err.Error(), "%2F") {
			t.Errorf("the escape is not named: %v", err)
		}
	}
}
