package envelope

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// restAfterError is how long a call that failed is not made again, by the clock of the callers. A service that is down, and
// only says so when time is up, is so asked once for a whole batch of events and not for each of them.
const restAfterError = time.Second

// maxRests bounds the errors that are remembered.
const maxRests = 1024

// flights makes one call per name at a time. Those who want the same meanwhile, or right after it failed, share its error.
type flights[K comparable] struct {
	mu    sync.Mutex
	under map[K]*flight
	rests map[K]rest
}

// rest is a call that failed a moment ago.
type rest struct {
	err   error
	since time.Time
}

// flight is one call that is under way.
type flight struct {
	waiting int // whom it is for; when nobody is left, it is cancelled
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done
}

// do calls, or waits for whoever is calling under that name. A call goes on for the others if the one who began it leaves.
func (f *flights[K]) do(ctx context.Context, name K, now time.Time, call func(context.Context) error) error {
	c, err := f.join(ctx, name, now, call)
	if err != nil {
		return err
	}
	defer f.leave(name, c)
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *flights[K]) join(ctx context.Context, name K, now time.Time, call func(context.Context) error) (*flight, error) {
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

func (f *flights[K]) start(ctx context.Context, name K, now time.Time, call func(context.Context) error) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &flight{cancel: cancel, done: make(chan struct{})}
	if f.under == nil {
		f.under = make(map[K]*flight)
	}
	f.under[name] = c
	began := time.Now()
	go func() {
		defer func() { f.land(name, c, now.Add(time.Since(began))) }()
		c.err = errPanicked // unless it returns
		c.err = guarded(ctx, call)
	}()
	return c
}

var errPanicked = fmt.Errorf("envelope: what was to handle a content key panicked")

// guarded makes an error of a panic: the call runs in a goroutine of its own, where nobody else could.
func guarded(ctx context.Context, call func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %T", errPanicked, v) // its text might hold a key
		}
	}()
	return call(ctx)
}

func (f *flights[K]) land(name K, c *flight, now time.Time) {
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
	close(c.done)
}

func (f *flights[K]) leave(name K, c *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		f.forget(name, c) // whoever comes next begins anew
		c.cancel()
	}
}

func (f *flights[K]) forget(name K, c *flight) {
	if f.under[name] == c {
		delete(f.under, name)
	}
}
