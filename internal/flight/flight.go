// Package flight shares one request among all callers that want its result.
package flight

import (
	"context"
	"fmt"
	"time"
)

// grace is how long a request may take to end after its timeout.
const grace = 2 * time.Second

// Flight is one request, shared by all callers that wait for it. It goes on when the caller that began it
// leaves.
type Flight struct {
	Began  time.Time
	Cancel context.CancelFunc
	Done   chan struct{} // closed when the request has its result
}

// New is a request that begins at now and is cancelled after timeout. It has the values of ctx, but goes
// on when ctx ends.
func New(ctx context.Context, now time.Time, timeout time.Duration) (context.Context, Flight) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	return ctx, Flight{Began: now, Cancel: cancel, Done: make(chan struct{})}
}

// Lost reports whether the request should have ended long ago, by the clock. Then the process was frozen, and
// the connection is dead.
func (f *Flight) Lost(now time.Time, timeout time.Duration) bool {
	return now.Sub(f.Began) > 2*timeout
}

// Wait waits until the request or the context ends. A caller that can go on without the result (settles)
// waits for at most half of the time that its context has left. Wait also ends if the request does not stop
// at its timeout.
func (f *Flight) Wait(ctx context.Context, timeout time.Duration, settles bool) (ended bool, err error) {
	patience := timeout + grace
	if deadline, ok := ctx.Deadline(); ok && settles {
		patience = min(patience, time.Until(deadline)/2)
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-f.Done:
		return true, nil
	case <-t.C:
		if settles {
			return false, nil
		}
		return false, fmt.Errorf("the request does not end at its timeout of %s: find what blocks it",
			timeout)
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
