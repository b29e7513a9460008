package trust

import (
	"context"
	"time"

	"github.com/sealbus/sealbus/internal/flight"
)

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
		if ended, err := f.Wait(ctx, s.opts.Timeout, settles); !ended {
			return err
		}
	}
	return nil
}

// join is the fetch that is under way, or else a new one if it is due; nil if it is not.
func (s *RemoteSource) join(ctx context.Context, due func(*remoteState, time.Time) bool) (f *flight.Flight, mine bool) {
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

// start starts a fetch that does not end with the caller.
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
	if s.flight == f { // else it was given up as lost
		s.state.Store(next)
		s.flight = nil
	}
}
