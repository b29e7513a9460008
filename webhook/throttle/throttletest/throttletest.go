// Package throttletest has the tests that every throttle.Limiter must pass. It is for tests only.
//
//	throttletest.Run(t, func(t *testing.T, clock *replaytest.Clock) throttle.Limiter {
//		l, err := throttle.NewMemory(&throttle.MemoryOptions{Now: clock.Now})
//		...
//	})
//
// Threats: none, it holds no secret and reads no input.
//
// Stable: Run.
package throttletest

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/throttle"
)

const day = 24 * time.Hour

// afternoon is ten hours before midnight in UTC.
var afternoon = time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC)

// Open makes a limiter with nothing in it, which goes by that clock.
type Open func(t *testing.T, clock *replaytest.Clock) throttle.Limiter

// Run runs the tests of each rule.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*world){
		"client and tenant": clientAndTenant, "daily quota": dailyQuota, "clock set back": clockSetBack,
		"a wait is enough": waitIsEnough, "shared": shared, "extreme plans": extremePlans,
		"no limits": noLimits, "what is left": whatIsLeft, "keys are exact": keysAreExact,
	} {
		t.Run(name, func(t *testing.T) {
			clock := replaytest.NewClock(afternoon)
			test(&world{T: t, Limiter: open(t, clock), clock: clock, open: open})
		})
	}
}

type world struct {
	*testing.T
	throttle.Limiter
	clock *replaytest.Clock
	open  Open
}

func client(key string, p throttle.Plan) throttle.Limit {
	return throttle.Limit{Policy: "client", Key: key, Plan: p}
}

func tenant(key string, p throttle.Plan) throttle.Limit {
	return throttle.Limit{Policy: "tenant", Key: key, Plan: p}
}

// take fails the test unless the request must wait for exactly that time.
func (w *world) take(what string, want time.Duration, limits ...throttle.Limit) throttle.Verdict {
	w.Helper()
	v, err := w.Take(w.Context(), limits)
	if err != nil || v.Wait != want || len(v.States) != len(limits) {
		w.Fatalf("%s: waits %v, %v, want %v", what, v.Wait, err, want)
	}
	return v
}

// A burst passes, then the rate. A request over the limit of its client does not use up that of its tenant.
func clientAndTenant(w *world) {
	all := tenant("acme", throttle.Plan{Rate: 1, Burst: 4})
	one, two := client("1", throttle.Plan{Rate: 1, Burst: 2}), client("2", throttle.Plan{Rate: 10})
	w.take("first", 0, one, all)
	w.take("second", 0, one, all)
	for range 10 {
		w.take("over the client's burst", time.Second, one, all)
	}
	w.take("another client", 0, two, all)
	w.take("the last of the tenant's burst", 0, two, all)
	w.take("over the tenant's burst", time.Second, two, all)
	w.take("of another tenant", 0, two, tenant("other", all.Plan))
	w.clock.Advance(time.Second)
	w.take("a second later", 0, one, all)
	w.take("and no more", time.Second, two, all)
}

// A quota ends at midnight in UTC, whatever the rate allows, and begins anew then.
func dailyQuota(w *world) {
	one := client("1", throttle.Plan{Rate: 1000, Daily: 3})
	for range 3 {
		w.take("in the quota", 0, one)
	}
	w.take("over the quota", 10*time.Hour, one)
	w.clock.Advance(10*time.Hour - time.Millisecond)
	w.take("a millisecond before midnight", time.Millisecond, one)
	w.clock.Advance(time.Millisecond)
	for range 3 {
		w.take("the next day", 0, one)
	}
	w.take("over its quota", day, one)
	w.clock.Advance(400 * day)
	w.take("another year", 0, one)
}

// A clock that is set back over midnight does not give the old day back. One that is far off blocks no one
// for longer than the wait that is told.
func clockSetBack(w *world) {
	one := client("1", throttle.Plan{Rate: 1000, Daily: 1})
	w.clock.Advance(10 * time.Hour)
	w.take("after midnight", 0, one)
	w.clock.Advance(-10 * time.Hour)
	w.take("before midnight", 34*time.Hour, one)
	two := client("2", throttle.Plan{Rate: 1, Burst: 2, Daily: 100})
	w.take("first", 0, two)
	w.take("second", 0, two)
	w.clock.Advance(-100 * day)
	w.take("a hundred days back", time.Second, two)
	w.clock.Advance(time.Second)
	w.take("a second later", 0, two)
	w.take("the quota of that day: a whole burst is owed, no more", time.Millisecond, one)
	w.clock.Advance(time.Millisecond)
	w.take("the quota of that day", 0, one)
}

// After the wait of a refusal the same request passes, if nothing else is asked for meanwhile. A refusal
// changes nothing: the next one has the same wait.
func waitIsEnough(w *world) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 2))
		w.Limiter = w.open(w.T, w.clock)
		limits := []throttle.Limit{
			client("a", throttle.Plan{Rate: 0.01 + rng.Float64()*10, Burst: rng.IntN(5), Daily: rng.Int64N(30)}),
			tenant("b", throttle.Plan{Rate: 0.01 + rng.Float64()*10, Burst: rng.IntN(9), Daily: rng.Int64N(60)}),
		}
		for range 100 {
			w.clock.Advance(time.Duration(rng.Int64N(int64(2 * time.Second))))
			v, err := w.Take(w.Context(), limits)
			if err != nil {
				w.Fatal(err)
			}
			if v.Wait == 0 {
				continue
			}
			w.take("again", v.Wait, limits...)
			w.clock.Advance(v.Wait)
			w.take("after the wait", 0, limits...)
		}
	}
}

// Goroutines together get the quota of a day and no more.
func shared(w *world) {
	limits := []throttle.Limit{client("a", throttle.Plan{Rate: 1e6, Daily: 50})}
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if v, err := w.Take(w.Context(), limits); err == nil && v.Wait == 0 {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 50 {
		w.Errorf("%d pass, not 50", passed.Load())
	}
}

// The slowest and the fastest plans let a burst pass.
func extremePlans(w *world) {
	for name, p := range map[string]throttle.Plan{
		"slow":            {Rate: 1e-6, Burst: 3},
		"slow, and large": {Rate: 1e-6, Burst: 1_000_000, Daily: 1e12},
		"fast":            {Rate: 1e6, Burst: 1_000_000},
		"odd":             {Rate: 1.0 / 3, Burst: 7},
	} {
		for range 3 {
			w.take(name, 0, client(name, p))
		}
	}
}

func noLimits(w *world) {
	good := throttle.Plan{Rate: 1}
	for name, limits := range map[string][]throttle.Limit{
		"none":           nil,
		"five":           make([]throttle.Limit, 5),
		"no policy":      {{Key: "a", Plan: good}},
		"a quote":        {{Policy: `a"b`, Key: "a", Plan: good}},
		"a line end":     {{Policy: "a\n", Key: "a", Plan: good}},
		"a long policy":  {{Policy: strings.Repeat("a", 33), Key: "a", Plan: good}},
		"no key":         {client("", good)},
		"a long key":     {client(strings.Repeat("a", 513), good)},
		"one twice":      {client("a", good), client("b", good)},
		"no rate":        {client("a", throttle.Plan{})},
		"no number":      {client("a", throttle.Plan{Rate: math.NaN()})},
		"negative":       {client("a", throttle.Plan{Rate: -1})},
		"too fast":       {client("a", throttle.Plan{Rate: 1e7})},
		"too slow":       {client("a", throttle.Plan{Rate: 1e-7})},
		"negative burst": {client("a", throttle.Plan{Rate: 1, Burst: -1})},
		"a large burst":  {client("a", throttle.Plan{Rate: 1, Burst: 1e7})},
		"negative quota": {client("a", throttle.Plan{Rate: 1, Daily: -1})},
		"a large quota":  {client("a", throttle.Plan{Rate: 1, Daily: 1e13})},
	} {
		v, err := w.Take(w.Context(), limits)
		if err == nil || errors.Is(err, throttle.ErrUnavailable) || len(v.States) != 0 {
			w.Errorf("%s: %+v, %v", name, v, err)
		}
	}
}

// The states count down, say when all is there again, and do not change with a refusal.
func whatIsLeft(w *world) {
	one := client("1", throttle.Plan{Rate: 2, Burst: 3, Daily: 100})
	for used := range 3 {
		s := w.take("in the burst", 0, one).States[0]
		if s.Policy != "client" || s.Left != 2-used || s.Full != time.Duration(used+1)*time.Second/2 ||
			s.DailyLeft != int64(99-used) || s.Midnight != 10*time.Hour || s.Plan != one.Plan {
			w.Errorf("after %d: %+v", used+1, s)
		}
	}
	w.clock.Advance(time.Second / 4)
	s := w.take("over the burst", time.Second/4, one).States[0]
	if s.Left != 0 || s.Full != 5*time.Second/4 || s.DailyLeft != 97 {
		w.Errorf("refused: %+v", s)
	}
}

// Keys that look alike are counted alone.
func keysAreExact(w *world) {
	p := throttle.Plan{Rate: 1, Burst: 1}
	for _, key := range []string{"a", "A", "a ", " a", "a:", "client:a", "{a}", "a\x00", "\xff", "*", "a}"} {
		w.take(key, 0, client(key, p))
		w.take(key+" as a tenant", 0, tenant(key, p))
		w.take(key+" again", time.Second, client(key, p))
	}
}
