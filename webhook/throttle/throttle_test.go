package throttle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/throttle"
	"github.com/sealbus/sealbus/webhook/throttle/throttletest"
)

const day = 24 * time.Hour

// afternoon is ten hours before midnight in UTC.
var afternoon = time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC)

type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func newMemory(t *testing.T, keys int) (throttle.Limiter, *clock) {
	t.Helper()
	c := &clock{afternoon}
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
	c.now = afternoon.Add(500 * time.Millisecond)
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

func isUnavailable(err error) bool { return errors.Is(err, throttle.ErrUnavailable) }

// A limiter that is full refuses new keys, forgets idle ones, and never the count of a day.
func TestMemoryIsBounded(t *testing.T) {
	l, c := newMemory(t, 2)
	p := throttle.Plan{Rate: 1, Burst: 1}
	take(t, "a", l, 0, client("a", p))
	take(t, "b", l, 0, client("b", throttle.Plan{Rate: 1, Burst: 1, Daily: 1}))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("c", p)}); !isUnavailable(err) {
		t.Errorf("a third key: %v", err)
	}
	take(t, "a again", l, time.Second, client("a", p))
	c.now = afternoon.Add(time.Minute)
	take(t, "c, in the place of a", l, 0, client("c", p))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("d", p)}); !isUnavailable(err) {
		t.Errorf("a third key, and b has used the day: %v", err)
	}
	take(t, "b has no quota left", l, 10*time.Hour-time.Minute, client("b", throttle.Plan{Rate: 1, Daily: 1}))
	c.now = afternoon.Add(day)
	take(t, "c, the next day", l, 0, client("c", p))
	take(t, "d", l, 0, client("d", p))
	if _, err := l.Take(t.Context(), []throttle.Limit{client("e", p), tenant("e", p)}); !isUnavailable(err) {
		t.Errorf("two keys more: %v", err)
	}
}

func TestMemoryKeepsTheContract(t *testing.T) {
	throttletest.Run(t, func(t *testing.T, clock *replaytest.Clock) throttle.Limiter {
		l, err := throttle.NewMemory(&throttle.MemoryOptions{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
	if _, err := throttle.NewMemory(&throttle.MemoryOptions{MaxKeys: -1}); err == nil {
		t.Error("a negative MaxKeys is taken")
	}
}
