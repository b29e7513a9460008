package envelope

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// restAfterError is how long a call that failed is not made again, by the clock of the callers. So a service
// that is down, and times out, is asked once for a whole batch of events and not for each of them.
const restAfterError = time.Second

// maxRests bounds the errors that are remembered.
const maxRests = 1024

// flights makes one call per name at a time. Callers that want the same meanwhile share its result. They also
// share its error, for a moment after it failed.
type flights[K comparable, V any] struct {
	drop func(V) // called with each value when no caller needs it any longer; nil = nothing is to be done

	mu    sync.Mutex
	under map[K]*flight[V]
	rests map[K]rest
}

// calling is such a call.
type calling[V any] = func(context.Context) (V, error)

// rest is a call that failed a moment ago.
type rest struct {
	err   error
	since time.Time
}

// flight is one call that is under way, or whose value is still being taken.
type flight[V any] struct {
	waiting int // the callers that it is for; when the last one leaves, it is cancelled
	cancel  context.CancelFunc
	done    chan struct{}
	landed  bool
	value   V     // once done without an error
	err     error // once done
}

// do calls, or waits for another caller's call under that name, and hands the value to take, which may be
// nil. A call goes on for the others if the caller that began it leaves.
func (f *flights[K, V]) do(ctx context.Context, name K, now time.Time, call calling[V], take func(V)) error {
	c, err := f.join(ctx, name, now, call)
	if err != nil {
		return err
	}
	defer f.leave(name, c)
	select {
	case <-c.done:
		if c.err == nil && take != nil {
			take(c.value)
		}
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *flights[K, V]) join(ctx context.Context, name K, now time.Time, call calling[V]) (*flight[V], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.rests[name]; ok {
		if age := now.Sub(r.since).Abs(); age < restAfterError {
			return nil, r.err
		}
		delete(f.rests, name)
	}
	c := f.under[name]
	if c == nil {
		c = f.start(ctx, name, now, call)
	}
	c.waiting++
	return c, nil
}

func (f *flights[K, V]) start(ctx context.Context, name K, now time.Time, call calling[V]) *flight[V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &flight[V]{cancel: cancel, done: make(chan struct{})}
	if f.under == nil {
		f.under = make(map[K]*flight[V])
	}
	f.under[name] = c
	began := time.Now()
	go func() {
		defer func() { f.land(name, c, now.Add(time.Since(began))) }()
		c.err = errPanicked // unless it returns
		c.value, c.err = guarded(ctx, call)
	}()
	return c
}

var errPanicked = fmt.Errorf("envelope: what was to handle a content key panicked")

// guarded makes an error of a panic: the call runs in a goroutine of its own, where no caller can recover it.
func guarded[V any](ctx context.Context, call calling[V]) (value V, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %T", errPanicked, v) // its text might hold a key
		}
	}()
	return call(ctx)
}

func (f *flights[K, V]) land(name K, c *flight[V], now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under[name] == c && c.err != nil {
		if f.rests == nil || len(f.rests) >= maxRests {
			f.rests = make(map[K]rest)
		}
		f.rests[name] = rest{c.err, now.Round(0)}
	}
	f.forget(name, c)
	c.cancel()
	c.landed = true
	f.dropUnused(c)
	close(c.done)
}

func (f *flights[K, V]) leave(name K, c *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		f.forget(name, c) // the next caller begins anew
		c.cancel()
		f.dropUnused(c)
	}
}

// dropUnused drops the value of a call that is over and that no caller waits for. No other caller can join
// it.
func (f *flights[K, V]) dropUnused(c *flight[V]) {
	if c.landed && c.waiting == 0 && c.err == nil && f.drop != nil {
		f.drop(c.value)
	}
}

func (f *flights[K, V]) forget(name K, c *flight[V]) {
	if f.under[name] == c {
		delete(f.under, name)
	}
}
