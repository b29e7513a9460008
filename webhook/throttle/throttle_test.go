package throttle_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// noon is ten hours before midnight in UTC.
var noon = time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC)

type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func newMemory(t *testing.T, keys int) (throttle.Limiter, *clock) {
	t.Helper()
	c := &clock{noon}
	l, err := throttle.NewMemory(&throttle.MemoryOptions{MaxKeys: keys, Now: c.read})
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func client(key string, p throttle.Plan) throttle.Limit {
	return throttle.Limit{Policy: "client", Key: key, Plan: p}
}

func tenant(key string, p throttle.Plan) throttle.Limit {
	return throttle.Limit{Policy: "tenant", Key: key, Plan: p}
}

// take fails the test unless the request must wait for exactly that time.
func take(t *testing.T, what string, l throttle.Limiter, want time.Duration,
	limits ...throttle.Limit) throttle.Verdict {
	t.Helper()
	v, err := l.Take(t.Context(), limits)
	if err != nil || v.Wait != want {
		t.Fatalf("%s: waits %v, %v, want %v", what, v.Wait, err, want)
	}
	return v
}

// A burst passes, then the rate. A request over the limit of its client does not use up that of its tenant.
func TestClientAndTenant(t *testing.T) {
	l, c := newMemory(t, 0)
	all := tenant("acme", throttle.Plan{Rate: 1, Burst: 4})
	one, two := client("1", throttle.Plan{Rate: 1, Burst: 2}), client("2", throttle.Plan{Rate: 10})
	take(t, "first", l, 0, one, all)
	take(t, "second", l, 0, one, all)
	for range 10 {
		take(t, "over the client's burst", l, time.Second, one, all)
	}
	take(t, "another client", l, 0, two, all)
	take(t, "the last of the tenant's burst", l, 0, two, all)
	take(t, "over the tenant's burst", l, time.Second, two, all)
	take(t, "of another tenant", l, 0, two, tenant("other", all.Plan))
	c.now = noon.Add(time.Second)
	take(t, "a second later", l, 0, one, all)
	take(t, "and no more", l, time.Second, two, all)
}

// A quota ends at midnight in UTC, whatever the rate allows, and begins anew then. A clock that is set back
// over midnight does not give the old day back.
func TestDailyQuota(t *testing.T) {
	l, c := newMemory(t, 0)
	one := client("1", throttle.Plan{Rate: 1000, Daily: 3})
	for range 3 {
		take(t, "in the quota", l, 0, one)
	}
	v := take(t, "over the quota", l, 10*time.Hour, one)
	if got := header(v.Response(), "Retry-After"); got != "36000" {
		t.Errorf("Retry-After %q", got)
	}
	c.now = noon.Add(10*time.Hour - 1)
	take(t, "a nanosecond before midnight", l, 1, one)
	c.now = noon.Add(10 * time.Hour)
	for range 3 {
		take(t, "the next day", l, 0, one)
	}
	c.now = noon
	take(t, "set back over midnight", l, 34*time.Hour, one)
	c.now = noon.Add(-100 * day)
	take(t, "set back for good", l, time.Millisecond, one) // the rate alone
	c.now = c.now.Add(time.Millisecond)
	take(t, "a millisecond later", l, 0, one)
}

const day = 24 * time.Hour

// The fields are those of the IETF draft, and a refusal has all of them.
func TestFields(t *testing.T) {
	l, c := newMemory(t, 0)
	one := client("secret-id", throttle.Plan{Rate: 0.5, Burst: 2, Daily: 100})
	all := tenant("acme", throttle.Plan{Rate: 3, Burst: 10})
	v := take(t, "first", l, 0, one, all)
	check := func(what string, fields []webhook.Field, policy, left string) {
		t.Helper()
		r := webhook.Response{Header: fields}
		if got := header(r, "RateLimit-Policy"); got != policy {
			t.Errorf("%s: RateLimit-Policy: %s", what, got)
		}
		if got := header(r, "RateLimit"); got != left {
			t.Errorf("%s: RateLimit: %s", what, got)
		}
	}
	const policy = `"client";q=2;w=4, "client-day";q=100;w=86400, "tenant";q=10;w=4`
	check("first", v.Fields(), policy, `"client";r=1;t=2, "client-day";r=99;t=36000, "tenant";r=9;t=1`)
	take(t, "second", l, 0, one, all)
	c.now = noon.Add(500 * time.Millisecond)
	v = take(t, "refused", l, 1500*time.Millisecond, one, all)
	r := v.Response()
	check("refused", r.Header, policy, `"client";r=0;t=4, "client-day";r=98;t=36000, "tenant";r=9;t=1`)
	if r.Status != 429 || header(r, "Retry-After") != "2" || !errors.Is(r.Err, throttle.ErrThrottled) ||
		string(r.Body) != `{"title":"Too Many Requests","status":429}` {
		t.Errorf("%d %v %s %v", r.Status, r.Header, r.Body, r.Err)
	}
	if strings.Contains(fmt.Sprint(r), "secret-id") {
		t.Error("the answer has the key of the limit")
	}
}

func header(r webhook.Response, name string) string {
	value, _ := webhook.Request{Header: r.Header}.HeaderValue(name)
	return value
}

// A limiter that is full refuses new keys, forgets idle ones, and never the count of a day.
func TestMemoryIsBounded(t *testing.T) {
	l, c := newMemory(t, 2)
	p := throttle.Plan{Rate: 1, Burst: 1}
	take(t, "a", l, 0, client("a", p))
	take(t, "b", l, 0, client("b", throttle.Plan{Rate: 1, Burst: 1, Daily: 1}))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("c", p)}); !errors.Is(err, throttle.ErrUnavailable) {
		t.Errorf("a third key: %v", err)
	}
	take(t, "a again", l, time.Second, client("a", p))
	c.now = noon.Add(time.Minute)
	take(t, "c, in the place of a", l, 0, client("c", p))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("d", p)}); !errors.Is(err, throttle.ErrUnavailable) {
		t.Errorf("a third key, and b has used the day: %v", err)
	}
	take(t, "b has no quota left", l, 10*time.Hour-time.Minute, client("b", throttle.Plan{Rate: 1, Daily: 1}))
	c.now = noon.Add(day)
	take(t, "c, the next day", l, 0, client("c", p))
	take(t, "d", l, 0, client("d", p))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("e", p), tenant("e", p)}); !errors.Is(err,
		throttle.ErrUnavailable) {
		t.Errorf("two keys more: %v", err)
	}
}

func TestLimitsThatAreNone(t *testing.T) {
	l, _ := newMemory(t, 0)
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
		v, err := l.Take(t.Context(), limits)
		if err == nil || errors.Is(err, throttle.ErrUnavailable) || len(v.States) != 0 {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := throttle.NewMemory(&throttle.MemoryOptions{MaxKeys: -1}); err == nil {
		t.Error("a negative MaxKeys is taken")
	}
}

// Goroutines together get the quota of a day and no more.
func TestMemoryIsShared(t *testing.T) {
	l, _ := newMemory(t, 0)
	limits := []throttle.Limit{client("a", throttle.Plan{Rate: 1e6, Daily: 100})}
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if v, err := l.Take(t.Context(), limits); err == nil && v.Wait == 0 {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d pass, not 100", passed.Load())
	}
}

// After the wait of a refusal the same request passes, if nothing else is asked for meanwhile. A refusal
// changes nothing: the next one has the same wait.
func TestWaitIsEnough(t *testing.T) {
	for seed := range cases.Of(100) {
		rng := rand.New(rand.NewPCG(uint64(seed), 2))
		l, c := newMemory(t, 0)
		limits := []throttle.Limit{
			client("a", throttle.Plan{Rate: 0.01 + rng.Float64()*10, Burst: rng.IntN(5), Daily: rng.Int64N(30)}),
			tenant("b", throttle.Plan{Rate: 0.01 + rng.Float64()*10, Burst: rng.IntN(9), Daily: rng.Int64N(60)}),
		}
		for range 200 {
			c.now = c.now.Add(time.Duration(rng.Int64N(int64(2 * time.Second))))
			v, err := l.Take(t.Context(), limits)
			if err != nil {
				t.Fatal(err)
			}
			if v.Wait == 0 {
				continue
			}
			take(t, "again", l, v.Wait, limits...)
			c.now = c.now.Add(v.Wait)
			take(t, fmt.Sprintf("seed %d: after the wait", seed), l, 0, limits...)
		}
	}
}
