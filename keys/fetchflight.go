package keys

import (
	"context"
	"fmt"
	"time"
)

// grace is how long after its timeout a fetch that ends in good order has ended.
const grace = 2 * time.Second

// flight is one fetch, shared by all who wait for it.
type flight struct {
	began  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed when the state has its result
}

// await sees to it that what is due is done, with others who want the same. If there is a bundle to go on
// with, and settle allows it, it does not wait for an origin that fails while another caller does.
func (s *RemoteSource) await(ctx context.Context, due func(*remoteState, time.Time) bool, settle bool) error {
	for range 2 { // the second time for a fetch that was under way before the process was frozen
		f, mine := s.join(ctx, due)
		if f == nil {
			return nil
		}
		state := s.state.Load()
		settles := settle && isUsable(state, s.now())
		if settles && !mine && state.err != nil {
			return nil
		}
		if ended, err := f.wait(ctx, s.opts.Timeout, settles); !ended {
			return err
		}
	}
	return nil
}

// join is the fetch that is under way, or else a new one if it is due; nil if it is not.
func (s *RemoteSource) join(ctx context.Context, due func(*remoteState, time.Time) bool) (f *flight, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !due(s.state.Load(), now) {
		return nil, false
	}
	if s.flight != nil && !s.flight.lost(now, s.opts.Timeout) {
		return s.flight, false
	}
	return s.start(ctx, now), true
}

// lost is true of a fetch that by the clock should have ended long ago: it was frozen with the process, and
// its connection is dead.
func (f *flight) lost(now time.Time, timeout time.Duration) bool {
	return now.Sub(f.began) > 2*timeout
}

// start starts a fetch that does not end with the caller.
func (s *RemoteSource) start(ctx context.Context, now time.Time) *flight {
	if s.flight != nil {
		s.flight.cancel()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.opts.Timeout)
	f := &flight{began: now, cancel: cancel, done: make(chan struct{})}
	s.flight = f
	go s.fly(ctx, f)
	return f
}

func (s *RemoteSource) fly(ctx context.Context, f *flight) {
	defer close(f.done)
	defer f.cancel()
	next := s.ask(ctx, s.state.Load())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == f { // else it was given up as lost
		s.state.Store(next)
		s.flight = nil
	}
}

// wait waits until the fetch or the context ends. A caller that can settle for what it has leaves itself half
// of the time that its context has left, to use it. Nobody waits for an origin, or a disk, that does not even
// stop at the timeout.
func (f *flight) wait(ctx context.Context, timeout time.Duration, settles bool) (ended bool, err error) {
	patience := timeout + grace
	if deadline, ok := ctx.Deadline(); ok && settles {
		patience = min(patience, time.Until(deadline)/2)
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-f.done:
		return true, nil
	case <-t.C:
		if settles {
			return false, nil
		}
		return false, fmt.Errorf("the fetch does not end at its timeout of %s: see what holds it up", timeout)
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}
