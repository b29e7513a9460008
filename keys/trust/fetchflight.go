package trust

import (
	"context"
	"time"

	"github.com/sealbus/sealbus/internal/flight"
)

// await fetches if that is due, and shares the fetch with other callers. If there is a usable bundle and
// settle is true, it does not wait for an origin that fails while another caller waits already.
func (s *RemoteSource) await(ctx context.Context, due func(*remoteState, time.Time) bool, settle bool) error {
	for range 2 { // a second time, if the first fetch began before the process was frozen
		f, mine := s.join(ctx, due)
		if f == nil {
			return nil
		}
		state := s.state.Load()
		settles := settle && state.held.isAlive(s.now())
		if settles && !mine && state.err != nil {
			return nil
		}
		if ended, err := f.Wait(ctx, s.opts.Timeout, settles); !ended {
			return err
		}
	}
	return nil
}

// join is the fetch that is under way, or a new one; nil = none is due.
func (s *RemoteSource) join(ctx context.Context, due func(*remoteState,
	time.Time) bool) (f *flight.Flight, mine bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if !due(s.state.Load(), now) {
		return nil, false
	}
	if s.flight != nil && !s.flight.Lost(now, s.opts.Timeout) {
		return s.flight, false
	}
	return s.start(ctx, now), true
}

// start starts a fetch that goes on when the caller's context ends.
func (s *RemoteSource) start(ctx context.Context, now time.Time) *flight.Flight {
	if s.flight != nil {
		s.flight.Cancel()
	}
	ctx, f := flight.New(ctx, now, s.opts.Timeout)
	s.flight = &f
	go s.fly(ctx, &f)
	return &f
}

func (s *RemoteSource) fly(ctx context.Context, f *flight.Flight) {
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
