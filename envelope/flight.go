package envelope

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
)

// restAfterError is how long a call that failed is not made again, by the clock of the callers. A service
// that is down, and times out, is asked once for a whole batch of events and not for each of them.
const restAfterError = time.Second

// maxRests bounds the errors that are remembered.
const maxRests = 1024

// clockTolerance is how far the clocks of two callers may be apart. A content key that is further in the
// future counts as too old, because the clock was set back.
const clockTolerance = time.Minute

// sharedKey is a content key with a count of its users: a cache, and each caller that it was handed to.
type sharedKey struct {
	key   *jwe.ContentKey // nil = there is none, and only an error to share
	born  time.Time       // wall clock only: the monotonic one stands still while a process is frozen
	users atomic.Int64
}

// addUsers counts n more users, or n fewer if n is negative. The last one to leave zeroes the key. Only a
// user, or the holder of the lock of a cache that is a user, may add others.
func (k *sharedKey) addUsers(n int) {
	if k.users.Add(int64(n)) == 0 && k.key != nil {
		k.key.Zero()
	}
}

// livesAt is false of a key that is too old, and of one from the future, which would live too long.
func (k *sharedKey) livesAt(now time.Time, most time.Duration) bool {
	age := now.Sub(k.born)
	return -clockTolerance <= age && age < most
}

// flights makes one call per name at a time. Callers that want the same key meanwhile wait for that call and
// share its result. They also share its error, for a moment after it failed. V is a key with a sharedKey.
type flights[K comparable, V interface{ addUsers(n int) }] struct {
	mu    sync.Mutex
	under map[K]*flight[V] // the calls under way that a caller waits for
	rests map[K]rest
}

// flight is one call. It goes on for the others if the caller that began it leaves. If the last one leaves,
// it is cancelled.
type flight[V any] struct {
	waiting int // callers
	cancel  context.CancelFunc
	done    chan struct{} // closed when value or err is there
	value   V
	err     error
}

// rest is the error of a call that failed a moment ago.
type rest struct {
	err   error
	since time.Time
}

var errPanicked = errors.New("envelope: a call for a content key panicked")

// do makes the call, or waits for the call of another caller under that name. The value of the call has one
// user: do makes each caller that it returns the value to a user, and no other one is left.
func (f *flights[K, V]) do(ctx context.Context, name K, now time.Time,
	call func(context.Context) (V, error)) (none V, err error) {
	f.mu.Lock()
	if r, failed := f.rests[name]; failed && now.Sub(r.since).Abs() < restAfterError {
		f.mu.Unlock()
		return none, r.err
	}
	c := f.under[name]
	if c == nil {
		c = f.start(ctx, name, now, call)
	}
	c.waiting++
	f.mu.Unlock()
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.waiting--
	select {
	case <-c.done: // it ended in the same moment: this caller is a user
		if c.err == nil {
			c.value.addUsers(-1)
		}
	default:
		if c.waiting == 0 {
			delete(f.under, name) // the next caller begins anew
			c.cancel()
		}
	}
	return none, context.Cause(ctx)
}

// start makes the call in a goroutine of its own. f is locked.
func (f *flights[K, V]) start(ctx context.Context, name K, now time.Time,
	call func(context.Context) (V, error)) *flight[V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &flight[V]{cancel: cancel, done: make(chan struct{}), err: errPanicked}
	if f.under == nil {
		f.under, f.rests = make(map[K]*flight[V]), make(map[K]rest)
	}
	f.under[name] = c
	began := time.Now()
	go func() {
		defer func() {
			// No caller can recover a panic of this goroutine, and it would end the process. Its text might hold a
			// key.
			if panicked := recover(); panicked != nil {
				c.err = fmt.Errorf("%w: %T", errPanicked, panicked)
			}
			cancel()
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.under[name] == c {
				delete(f.under, name)
				if c.err != nil {
					if len(f.rests) >= maxRests {
						clear(f.rests)
					}
					f.rests[name] = rest{c.err, now.Add(time.Since(began)).Round(0)}
				}
			}
			if c.err == nil {
				c.value.addUsers(c.waiting - 1)
			}
			close(c.done)
		}()
		c.value, c.err = call(ctx)
	}()
	return c
}
