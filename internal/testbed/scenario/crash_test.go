package scenario

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

// Store and trust go down together, between the effect of an event and its Complete. The event is handled
// again when they are back, under the key that it had. It makes no difference whether the process lived, and
// could not say that it was done, or was killed; nor that the next one, which could not even start during the
// outage, is killed in the same place.
func TestOutageBetweenEffectAndComplete(t *testing.T) {
	for name, kills := range map[string]int{"the process lives": 0, "killed": 1, "killed twice": 2} {
		t.Run(name, func(t *testing.T) { testOutageBetween(t, kills) })
	}
}

func testOutageBetween(t *testing.T, kills int) {
	visibility, maxReceives := template(t)
	l := newLine(t, 9, visibility, maxReceives)
	orders := newTeam("orders")
	down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting}
	store, o := l.store(down), l.origin(down, 10*time.Minute, l.key(orders))

	const victim = "orders-victim"
	killed := 0
	var start func() (code, error)
	start = func() (code, error) {
		trust, err := o.tryFetch()
		if err != nil {
			return nil, err
		}
		return l.start(trust, store, l.options(), hooks{after: func(p *process, id string) error {
			if id == victim && l.since() < down.from {
				l.clock.Advance(down.from - l.since())
			}
			if id != victim || killed == kills {
				return nil
			}
			killed++
			l.deploy(coldStart(start))
			return p.kill()
		}}).run, nil
	}
	l.deploy(coldStart(start))

	l.stream(down.from-step, orders)
	l.publishAs(orders, victim)
	l.genuine = append(l.genuine, victim)
	l.settle()
	if !l.books.handled(victim) || l.since() != down.from || l.waiting() == 0 {
		t.Fatalf("%v after the start, %d messages wait: there was no outage in the middle", l.since(),
			l.waiting())
	}
	o.publish(24*time.Hour, l.key(orders))
	l.stream(down.to+5*time.Minute, orders)
	l.calm()
	if killed != kills {
		t.Errorf("killed %d times", killed)
	}
	if kills == 2 { // the outage had cost all receipts but that one
		l.wantDead(1)
		l.redrive()
		l.calm()
	}
	l.books.wantRuns(t, l.genuine, map[string]int{victim: 1 + max(kills, 1)})
	l.wantDead(0)
}

// coldStart is the code of a function that is not started yet. As Lambda does, it tries with each invocation,
// which fails if the start does.
func coldStart(start func() (code, error)) code {
	var run code
	return func(ctx context.Context, payload json.RawMessage) (response any, err error) {
		if run == nil {
			if run, err = start(); err != nil {
				return nil, err
			}
		}
		return run(ctx, payload)
	}
}
