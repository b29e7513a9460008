package fetch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/internal/flight"
)

// Shared holds a state that is renewed by requests, one at a time for all callers. It has no timer: a caller
// decides by the clock whether to ask, so a process that was frozen for hours asks before it uses the state.
// It is safe for concurrent use.
type Shared[S any] struct {
	now     func() time.Time
	timeout time.Duration
	ask     func(ctx context.Context, was *S) *S

	state  atomic.Pointer[S]
	mu     sync.Mutex     // over flight, and state's changes
	flight *flight.Flight // nil = no request is under way
}

// NewShared begins with that state. ask gives the state after asking once, also if that failed; it must
// return when its context ends, which is after the timeout. A state is not changed after it was returned.
func NewShared[S any](first *S, now func() time.Time, timeout time.Duration,
	ask func(ctx context.Context, was *S) *S,
) *Shared[S] {
	s := &Shared[S]{now: now, timeout: timeout, ask: ask}
	s.state.Store(first)
	return s
}

// State is the state after the last request.
func (s *Shared[S]) State() *S { return s.state.Load() }

// Await asks if that is due, and shares the request with other callers. goOn says whether a caller can go on
// with a state, and whether the last request failed: such a caller does not wait for an origin that fails
// while another caller waits already, and waits for at most half of the time that its context has left. nil =
// the caller cannot go on.
func (s *Shared[S]) Await(ctx context.Context, due func(*S, time.Time) bool,
	goOn func(*S) (can, failing bool),
) error {
	for range 2 { // a second time, if the first request began before the process was frozen
		f, mine := s.join(ctx, due)
		if f == nil {
			return nil
		}
		can, failing := false, false
		if goOn != nil {
			can, failing = goOn(s.state.Load())
		}
		if can && !mine && failing {
			return nil
		}
		if ended, err := f.Wait(ctx, s.timeout, can); !ended {
			return err
		}
	}
	return nil
}

// join is the request that is under way, or a new one; nil = none is due.
func (s *Shared[S]) join(ctx context.Context, due func(*S, time.Time) bool) (f *flight.Flight, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !due(s.state.Load(), now) {
		return nil, false
	}
	if s.flight != nil && !s.flight.Lost(now, s.timeout) {
		return s.flight, false
	}
	return s.start(ctx, now), true
}

// start starts a request that goes on when the caller's context ends.
func (s *Shared[S]) start(ctx context.Context, now time.Time) *flight.Flight {
	if s.flight != nil {
		s.flight.Cancel()
	}
	ctx, f := flight.New(ctx, now, s.timeout)
	s.flight = &f
	go s.fly(ctx, &f)
	return &f
}

func (s *Shared[S]) fly(ctx context.Context, f *flight.Flight) {
	defer close(f.Done)
	defer f.Cancel()
	next := s.ask(ctx, s.state.Load())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight == f { // otherwise it was given up as lost
		s.state.Store(next)
		s.flight = nil
	}
}

// Since reports whether the interval has passed since t. It also returns true when the clock was set back:
// until the clock catches up, it might take years.
func Since(t, now time.Time, interval time.Duration) bool {
	elapsed := now.Sub(t)
	return elapsed < 0 || elapsed >= interval
}
