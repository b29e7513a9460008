package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
	"github.com/sealbus/sealbus/keys/trust"
)

// lasting is how long the outages are.
const lasting = 30 * time.Minute

// survives is the longest outage after which no event is in the dead-letter queue. A message is received when
// it comes, and then once in each visibility timeout; what was received maxReceiveCount times and failed goes
// to the dead-letter queue when it would be visible again. So the last receipt must come when the outage is
// over:
//
//	(maxReceiveCount - 1) x visibility timeout >= outage
func survives(maxReceives int, visibility time.Duration) time.Duration {
	return time.Duration(maxReceives-1) * visibility
}

// line is EventBridge -> SQS -> Lambda, as examples/orders deploys it.
type line struct {
	*world
	*function
	dead    queue
	genuine []string
	forged  []string
}

// template is the queue of examples/orders.
func template(t *testing.T) (visibility time.Duration, maxReceives int) {
	t.Helper()
	orders, err := cfntest.Read("../../../examples/orders/consumer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	q := orders.Resources["BillingQueue"].Properties
	seconds, ok := q["VisibilityTimeout"].(int)
	receives, ok2 := cfntest.Get(q, "RedrivePolicy", "maxReceiveCount").(int)
	if !ok || !ok2 {
		t.Fatalf("examples/orders has no visibility timeout, or no maxReceiveCount: %v", q)
	}
	return time.Duration(seconds) * time.Second, receives
}

// newLine builds the bus and the queues; the function is still to be deployed.
func newLine(t *testing.T, seed uint64, visibility time.Duration, maxReceives int) *line {
	t.Helper()
	return newLineOf(newWorld(t, seed, localaws.Delivery{Reserialise: true}), visibility, maxReceives)
}

func newLineOf(w *world, visibility time.Duration, maxReceives int) *line {
	w.Helper()
	l := &line{world: w}
	l.dead = w.queue("billing-dead", map[string]string{"MessageRetentionPeriod": "1209600"})
	from := w.queue("billing", map[string]string{
		"VisibilityTimeout": strconv.Itoa(int(visibility / time.Second)),
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, l.dead.arn,
			maxReceives),
	})
	w.rule("billing", from.arn)
	l.function = w.feed(from, nil)
	return l
}

// step is how often events come.
const step = 30 * time.Second

// stream has the teams publish until then, one or two events each time, and an attacker forge some.
func (l *line) stream(until time.Duration, teams ...*team) {
	l.Helper()
	for l.since() < until {
		for range 1 + l.random.IntN(2) {
			l.genuine = append(l.genuine, l.publish(teams[l.random.IntN(len(teams))]))
		}
		if l.random.IntN(3) == 0 {
			l.forge()
		}
		l.pass(step)
	}
}

// forge puts an event on the bus that claims to be of a team, sealed with another key.
func (l *line) forge() string {
	l.Helper()
	l.serial++
	id := fmt.Sprintf("forged-%d", l.serial)
	l.publishAs(&team{name: "orders", label: "a thief's", audience: audience}, id)
	l.forged = append(l.forged, id)
	return id
}

// calm lets time pass until the queue is empty, and returns how much.
func (l *line) calm() (took time.Duration) {
	l.Helper()
	began := l.since()
	for {
		l.settle()
		if l.waiting() == 0 {
			return l.since() - began
		}
		if l.since()-began > 24*time.Hour {
			l.Fatalf("a day later %d messages still fail: %v are not handled", l.waiting(),
				l.books.unhandled(l.genuine))
		}
		l.clock.Advance(step)
	}
}

// wantDead wants so many messages in the dead-letter queue.
func (l *line) wantDead(n int) {
	l.Helper()
	if got, _ := l.depth(l.dead); got != n {
		l.Errorf("%d messages are in the dead-letter queue, not %d", got, n)
	}
}

// wantInQuarantine wants the forged events in quarantine, and nothing else.
func (l *line) wantInQuarantine(reason envelope.Reason) {
	l.Helper()
	got := l.inQuarantine()
	if len(got) != 1 || len(l.forged) == 0 || !slices.Equal(sorted(got[reason]), sorted(l.forged)) {
		l.Errorf("in quarantine: %v, not the %d forged ones as %s", got, len(l.forged), reason)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// The queue of examples/orders survives half an hour.
func TestTheExampleSurvivesHalfAnHour(t *testing.T) {
	if visibility, maxReceives := template(t); survives(maxReceives, visibility) < lasting {
		t.Errorf("examples/orders: %d receipts, %v apart, survive an outage of %v", maxReceives, visibility,
			survives(maxReceives, visibility))
	}
}

// The replay store is down for half an hour: everything that came meanwhile is handled afterwards, once.
func TestStoreOutage(t *testing.T) {
	for name, hangs := range map[string]bool{"refuses": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			visibility, maxReceives := template(t)
			l := newLine(t, 1, visibility, maxReceives)
			orders, stock := newTeam("orders"), newTeam("stock")
			down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting, hangs: hangs}
			p := l.start(l.trust(l.key(orders), l.key(stock)), l.store(down), l.options(), hooks{})
			l.deploy(p.run)

			l.stream(down.from, orders, stock)
			l.books.wantOnce(t, l.genuine)
			before := len(l.genuine)
			l.stream(down.to-5*time.Minute, orders, stock)
			if got := l.books.unhandled(l.genuine); !slices.Equal(got, l.genuine[before:]) {
				t.Errorf("without a store these were not handled: %v, not %v", got, l.genuine[before:])
			}
			l.stream(down.to+5*time.Minute, orders, stock)
			if took := l.calm(); took > visibility+functionTimeout {
				t.Errorf("the queue was empty %v after the outage, not within a visibility timeout", took+
					5*time.Minute)
			}
			l.books.wantOnce(t, l.genuine)
			l.wantInQuarantine(envelope.ReasonUnknownKey)
			l.wantDead(0)
		})
	}
}

// TestDeadLetterRule tests the rule of survives on both sides of its limit. Messages that went to the
// dead-letter queue are handled once they are redriven.
func TestDeadLetterRule(t *testing.T) {
	for _, test := range []struct {
		maxReceives int
		visibility  time.Duration
	}{
		{5, 180 * time.Second}, {10, 180 * time.Second}, {11, 180 * time.Second}, {3, 15 * time.Minute},
		{3, 14 * time.Minute}, {5, 450 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d x %v", test.maxReceives, test.visibility), func(t *testing.T) {
			l := newLine(t, 2, test.visibility, test.maxReceives)
			orders := newTeam("orders")
			down := &outage{to: lasting}
			l.deploy(l.start(l.trust(l.key(orders)), l.store(down), l.options(), hooks{}).run)
			var doomed []string
			for l.since() < down.to {
				id := l.publish(orders)
				if l.since()+survives(test.maxReceives, test.visibility) < down.to {
					doomed = append(doomed, id)
				}
				l.genuine = append(l.genuine, id)
				l.pass(step)
			}
			l.calm()
			if len(doomed) > 0 != (survives(test.maxReceives, test.visibility) < lasting) {
				t.Errorf("%d events cannot survive: the rule and its use differ", len(doomed))
			}
			if got := l.books.unhandled(l.genuine); !slices.Equal(got, doomed) {
				t.Errorf("not handled: %v, not %v", got, doomed)
			}
			l.wantDead(len(doomed))
			if most := l.mostReceipts(); most > test.maxReceives {
				t.Errorf("a message was received %d times", most)
			}
			l.redrive()
			l.calm()
			l.books.wantOnce(t, l.genuine)
			l.wantDead(0)
			if got := l.inQuarantine(); len(got) > 0 {
				t.Errorf("in quarantine: %v", got)
			}
		})
	}
}

// redrive sends what is in the dead-letter queue back.
func (l *line) redrive() {
	l.Helper()
	for _, body := range l.empty(l.dead) {
		l.send(l.from, body)
	}
}

// Redriving may take days, if the consumer was told how long the queues keep messages; else what comes is
// expired, and not lost either.
func TestRedrivenDaysLater(t *testing.T) {
	for _, retention := range []time.Duration{inQueues, 0} {
		t.Run(fmt.Sprintf("in queues for %v", retention), func(t *testing.T) {
			l := newLine(t, 3, 3*time.Minute, 3)
			orders := newTeam("orders")
			l.policy.MaxAge = envelope.DefaultMaxAge + retention
			l.deploy(l.start(l.trust(l.key(orders)), l.store(&outage{to: lasting}), l.options(), hooks{}).run)
			for range 5 {
				l.genuine = append(l.genuine, l.publish(orders))
			}
			l.calm()
			l.wantDead(5)
			l.clock.Advance(10 * 24 * time.Hour)
			l.redrive()
			l.calm()
			l.wantDead(0)
			if retention > 0 {
				l.books.wantOnce(t, l.genuine)
			} else if got := l.inQuarantine()[envelope.ReasonExpired]; !slices.Equal(sorted(got),
				sorted(l.genuine)) {
				t.Errorf("expired: %v", got)
			}
		})
	}
}

// The origin of the bundle is down for half an hour, and the bundle is good for longer: nothing is even
// delayed.
func TestTrustOutageWithAGoodBundle(t *testing.T) {
	visibility, maxReceives := template(t)
	l := newLine(t, 4, visibility, maxReceives)
	orders, stock := newTeam("orders"), newTeam("stock")
	down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting}
	o := l.origin(down, 24*time.Hour, l.key(orders), l.key(stock))
	l.deploy(l.start(o.fetch(), l.store(nil), l.options(), hooks{}).run)
	for l.since() < down.to+5*time.Minute {
		l.genuine = append(l.genuine, l.publish(orders), l.publish(stock))
		l.settle()
		if late := l.books.unhandled(l.genuine); len(late) > 0 {
			t.Fatalf("%v after the start %v had to wait", l.since(), late)
		}
		l.clock.Advance(step)
	}
	if o.asked == 0 {
		t.Error("nobody asked while the origin was down: it was no outage")
	}
	l.books.wantOnce(t, l.genuine)
	if most := l.mostReceipts(); most != 1 {
		t.Errorf("a message was received %d times", most)
	}
}

// The bundle expires in the middle of the outage. From then on no consumer can judge an event, so every event
// waits, forged ones too.
func TestTrustOutageInWhichTheBundleExpires(t *testing.T) {
	visibility, maxReceives := template(t)
	l := newLine(t, 5, visibility, maxReceives)
	orders, stock := newTeam("orders"), newTeam("stock")
	down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting}
	const life = 10 * time.Minute
	o := l.origin(down, life, l.key(orders), l.key(stock))
	l.deploy(l.start(o.fetch(), l.store(nil), l.options(), hooks{}).run)

	l.stream(life, orders, stock)
	l.books.wantOnce(t, l.genuine)
	before, known := len(l.genuine), len(l.quarantined())
	o.publish(24*time.Hour, l.key(orders), l.key(stock)) // no consumer can get it yet
	l.stream(down.to, orders, stock)
	if got := l.books.unhandled(l.genuine); !slices.Equal(got, l.genuine[before:]) {
		t.Errorf("without a bundle these were not handled: %v, not %v", got, l.genuine[before:])
	}
	if n := len(l.quarantined()); n != known {
		t.Errorf("%d events were refused without a bundle", n-known)
	}
	l.stream(down.to+5*time.Minute, orders, stock)
	l.calm()
	l.books.wantOnce(t, l.genuine)
	l.wantInQuarantine(envelope.ReasonUnknownKey)
	l.wantDead(0)
}

// A key is rotated in during the outage. No consumer can know it yet, so its events wait, and none is
// refused. The events of the old key are handled meanwhile. A thief's events wait, too, and are refused when
// the origin answers again.
func TestTrustOutageInWhichAKeyIsRotatedIn(t *testing.T) {
	visibility, maxReceives := template(t)
	l := newLine(t, 6, visibility, maxReceives)
	orders, stock := newTeam("orders"), newTeam("stock")
	down := &outage{from: 5 * time.Minute, to: 5*time.Minute + lasting}
	o := l.origin(down, 24*time.Hour, l.key(orders), l.key(stock))
	l.deploy(l.start(o.fetch(), l.store(nil), l.options(), hooks{}).run)

	l.stream(down.from, orders, stock)
	l.settle()
	known := len(l.quarantined())
	l.pass(time.Minute)
	list := []*trust.Key{l.key(orders), l.key(stock)}
	orders.label = "b"
	o.publish(24*time.Hour, append(list, l.key(orders))...)
	var waiting []string
	for l.since() < down.to {
		late := l.publish(orders)
		waiting = append(waiting, late)
		l.genuine = append(l.genuine, late, l.publish(stock))
		if l.random.IntN(3) == 0 {
			l.forge()
		}
		l.pass(step)
		if l.since() == down.to {
			break // it is up, and the first of them were handled
		}
		if got := l.books.unhandled(l.genuine); !slices.Equal(got, waiting) {
			t.Fatalf("%v after the start these wait: %v, not those of the new key, %v", l.since(), got,
				waiting)
		}
		if n := len(l.quarantined()); n != known {
			t.Fatalf("%v after the start %d events were refused: %v", l.since(), n-known, l.inQuarantine())
		}
	}
	l.stream(down.to+5*time.Minute, orders, stock)
	l.calm()
	l.books.wantOnce(t, l.genuine)
	l.wantInQuarantine(envelope.ReasonUnknownKey)
	l.wantDead(0)
}
