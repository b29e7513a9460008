package gateway

import (
	"errors"
	"testing"
	"time"
)

// A limiter lets a burst pass, and then so many a second. A clock that is set back does not block it for
// longer than a burst.
func TestLimiter(t *testing.T) {
	l := newLimiter(2, 3)
	now := time.Unix(1e9, 0)
	for i := range 3 {
		if wait := l.take(now); wait != 0 {
			t.Errorf("%d of the burst waits %v", i, wait)
		}
	}
	if wait := l.take(now); wait != time.Second/2 {
		t.Errorf("after the burst: %v", wait)
	}
	if wait := l.take(now.Add(time.Second/2 - 1)); wait != 1 {
		t.Errorf("a nanosecond early: %v", wait)
	}
	if wait := l.take(now.Add(time.Second / 2)); wait != 0 {
		t.Errorf("in time: %v", wait)
	}
	if wait := l.take(now.Add(-time.Hour)); wait > time.Second/2 {
		t.Errorf("with the clock set back: %v", wait)
	}
}

// FuzzParse: a configuration is read, or each error has its place; nothing panics, and what is read keeps the
// rules of endpoints.
func FuzzParse(f *testing.F) {
	f.Add([]byte("endpoints: {a: {path: /a, provider: github, secrets: [env:A], source: urn:a}}"))
	f.Add([]byte("endpoints:\n  a: &x\n    path: /a\n  b: *x\n"))
	f.Add([]byte("base_url: [\n"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := parse(doc)
		if err != nil {
			if _, ok := errors.AsType[*ConfigError](err); !ok {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		paths, sources := map[string]bool{}, map[string]bool{}
		for _, e := range c.endpoints {
			if e.path.value == "" || e.source.value == "" || paths[e.path.value] || sources[e.source.value] ||
				e.at.line < 1 || (e.provider.value == "") == (e.recipe.value == "") || e.burst < 1 {
				t.Errorf("%+v", e)
			}
			paths[e.path.value], sources[e.source.value] = true, true
		}
	})
}
