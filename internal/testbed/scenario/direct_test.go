package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
)

// pauses are how long Lambda waits before it invokes a function again that failed for an event.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
var pauses = []time.Duration{time.Minute, 2 * time.Minute}

// direct is EventBridge -> Lambda. Between two tries of an event the clock moves as far as Lambda would wait,
// so that with several events on the way some wait longer.
type direct struct {
	*world
	run         code
	destination queue      // for what fails
	gate        sync.Mutex // closed while events are published: the clock must not move then

	mu       sync.Mutex
	tries    map[string][]time.Duration // by event: when it was tried, after start
	failures map[string]int             // by event
}

func newDirect(t *testing.T, seed uint64, withDestination bool) *direct {
	t.Helper()
	w := newWorld(t, seed, localaws.Delivery{Retry: true, Reserialise: true})
	d := &direct{world: w, tries: map[string][]time.Duration{}, failures: map[string]int{}}
	d.destination = w.queue("mailer-failures", map[string]string{"MessageRetentionPeriod": "1209600"})
	arn := w.aws.Function("mailer", d.invoke)
	conf := localaws.FunctionConfig{Timeout: functionTimeout,
		Invoke: &localaws.InvokeConfig{Retries: len(pauses)}}
	if withDestination {
		conf.Invoke.OnFailure = d.destination.arn
	}
	w.aws.SetFunction("mailer", conf)
	w.rule("mailer", arn)
	return d
}

func (d *direct) invoke(ctx context.Context, payload []byte) error {
	id, err := idOf(payload)
	if err != nil {
		d.Error(err)
		return err
	}
	d.try(id)
	ctx, end := d.invocation(ctx)
	defer end()
	if _, err = d.run(ctx, payload); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failures[id]++
	}
	return err
}

// try waits as Lambda does, and notes when that is.
func (d *direct) try(id string) {
	d.gate.Lock()
	defer d.gate.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	tries := d.tries[id]
	if n := len(tries); n > 0 {
		if wait := tries[n-1] + pauses[n-1] - d.since(); wait > 0 {
			d.clock.Advance(wait)
		}
	}
	d.tries[id] = append(tries, d.since())
}

// stream publishes three events at a time, until then.
func (d *direct) stream(until time.Duration, p *team) (ids []string) {
	d.Helper()
	for d.since() < until {
		d.gate.Lock()
		for range 3 {
			ids = append(ids, d.publish(p))
		}
		d.gate.Unlock()
		d.delivered()
		d.clock.Advance(step)
	}
	return ids
}

// hopeless are the events that failed in every try, the first of which fell into the outage.
func (d *direct) hopeless(ids []string, down *outage) (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if d.failures[id] <= len(pauses) {
			continue
		}
		if list = append(list, id); len(d.tries[id]) != d.failures[id] ||
			!down.at(start.Add(d.tries[id][0])) {
			d.Errorf("%s failed %d times, at %v after the start: that was not the outage", id, d.failures[id],
				d.tries[id])
		}
	}
	return list
}

// rescued reports whether an event failed first and was handled then.
func (d *direct) rescued() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, n := range d.failures {
		if n < len(d.tries[id]) {
			return true
		}
	}
	return false
}

// failed are the events in the OnFailure destination, which is emptied, as the function was given them.
func (d *direct) failed() (payloads []json.RawMessage) {
	d.Helper()
	for _, body := range d.empty(d.destination) {
		var record struct {
			RequestContext struct {
				Condition              string
				ApproximateInvokeCount int
			}
			RequestPayload json.RawMessage
		}
		d.check(json.Unmarshal([]byte(body), &record))
		if c := record.RequestContext; c.Condition != "RetriesExhausted" || c.ApproximateInvokeCount != 1+
			len(pauses) {
			d.Errorf("in the destination after %d tries: %s", c.ApproximateInvokeCount, c.Condition)
		}
		payloads = append(payloads, record.RequestPayload)
	}
	return payloads
}

func idsOf(t *testing.T, payloads []json.RawMessage) (ids []string) {
	t.Helper()
	for _, p := range payloads {
		id, err := idOf(p)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// replay invokes the function again with each event, as an operator does with what is in the destination.
func (d *direct) replay(payloads []json.RawMessage) {
	d.Helper()
	for _, p := range payloads {
		ctx, end := d.invocation(d.Context())
		if _, err := d.run(ctx, p); err != nil {
			d.Error(err)
		}
		end()
	}
}

// A function that EventBridge invokes itself: what fails three times is in the OnFailure destination, and is
// handled once when it is replayed from there, however often. Without a destination it is lost, which is what
// `sealbus doctor` warns of.
func TestDirectInvocation(t *testing.T) {
	for _, test := range []struct {
		what                   string
		store, withDestination bool
	}{
		{"store", true, true}, {"trust", false, true}, {"store", true, false}, {"trust", false, false},
	} {
		t.Run(fmt.Sprintf("%s, destination %t", test.what, test.withDestination), func(t *testing.T) {
			d := newDirect(t, 7, test.withDestination)
			orders := newTeam("orders")
			down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting}
			var storeDown, trustDown *outage
			life := 10 * time.Minute
			if test.store {
				storeDown, life = down, 24*time.Hour
			} else {
				trustDown = down
			}
			o := d.origin(trustDown, life, d.key(orders))
			d.run = d.start(o.fetch(), d.store(storeDown), d.options(), hooks{}).run

			ids := d.stream(down.from, orders)
			d.books.wantOnce(t, ids) // before the outage
			o.publish(24*time.Hour, d.key(orders))
			ids = append(ids, d.stream(down.to+5*time.Minute, orders)...)

			lost := d.hopeless(ids, down)
			if got := d.books.unhandled(ids); len(got) == 0 || !slices.Equal(got, lost) {
				t.Fatalf("not handled: %v, not those that failed each time: %v", got, lost)
			}
			if !d.rescued() {
				t.Error("no event was handled in a second or third try: Lambda's retries were not seen")
			}
			payloads := d.failed()
			if !test.withDestination {
				if len(payloads) != 0 {
					t.Errorf("%d events are somewhere", len(payloads))
				}
				return
			}
			if got := idsOf(t, payloads); !slices.Equal(sorted(got), sorted(lost)) {
				t.Fatalf("in the destination: %v, not %v", got, lost)
			}
			d.clock.Advance(12 * time.Hour)
			d.replay(append(payloads, payloads...))
			d.books.wantOnce(t, ids)
			if got := d.inQuarantine(); len(got) > 0 {
				t.Errorf("in quarantine: %v", got)
			}
		})
	}
}

// An event that is replayed from the destination is expired if it is older than the window. It is not lost:
// it is in quarantine, and a permission for that quarantine admits it.
func TestReplayedTooLate(t *testing.T) {
	d := newDirect(t, 8, true)
	orders := newTeam("orders")
	trust, store, opts := d.trust(d.key(orders)), d.store(&outage{to: lasting}), d.options()
	d.policy.MaxAge = envelope.DefaultMaxAge
	d.run = d.start(trust, store, opts, hooks{}).run
	ids := d.stream(time.Minute, orders)
	payloads := d.failed()
	d.clock.Advance(3 * 24 * time.Hour)
	d.replay(payloads)
	if got := d.inQuarantine()[envelope.ReasonExpired]; len(ids) == 0 ||
		!slices.Equal(sorted(got), sorted(ids)) {
		t.Fatalf("expired: %v, not %v", got, ids)
	}
	now := d.clock.Now()
	opts.Permissions = []consumer.Permission{{
		ID: "outage of March", Quarantine: "billing", From: start, To: start.Add(lasting),
		Until: now.Add(time.Hour),
	}}
	d.run = d.start(trust, store, opts, hooks{}).run
	for _, e := range d.quarantined() {
		d.replay([]json.RawMessage{e.Document})
	}
	d.books.wantOnce(t, ids)
}
