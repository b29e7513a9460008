package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/flight"
)

// Times of a renewal.
const (
	aheadShare     = 12               // the next session is made in the last 1/12 of the current one
	aheadBackOff   = 15 * time.Second // after that failed
	renewBackOff   = time.Second      // after it failed without a valid session: callers get its error meanwhile
	clockTolerance = time.Minute      // how far the clocks of two callers may be apart
	vouchTimeout   = 10 * time.Second // of the root, for one signature
)

// vouching is a call of the root key that is under way. All callers that wait share it.
type vouching struct {
	flight.Flight
	ahead bool  // it is for the session that follows
	err   error // once done
}

// Session is the session key to sign with at now. In the last twelfth of its validity the root key vouches
// for the next key, which begins when this one ends. So sealing survives an outage of the root key of up to a
// twelfth of ttl, and each ttl still costs one signature. All callers that wait share one request to the root
// key. The request goes on when one of them leaves.
func (s *Session) Session(ctx context.Context, now time.Time) (*Key, error) {
	// A caller tries again if its clock needs another session than the one that came, or if the process was
	// frozen.
	for range 3 {
		key, v, err := s.at(ctx, now)
		if v == nil {
			return key, err
		}
		if key != nil {
			_, _ = v.Wait(ctx, 0, true) // not for long: there is time left
			return key, nil
		}
		if ended, err := v.Wait(ctx, vouchTimeout, false); !ended {
			return nil, fmt.Errorf("session: waiting for a session key: %w", err)
		}
		if v.err != nil {
			return nil, v.err
		}
	}
	return nil, errors.New("session: no session key holds: do the callers' clocks differ?")
}

// at is the session key that is valid at now, and the request to wait for. Without a key, the caller waits
// for any request that is under way. With a key, it waits only for a request that it has begun.
func (s *Session) at(ctx context.Context, now time.Time) (key *Key, v *vouching, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil && s.next.goodAt(now) && !s.current.goodAt(now) {
		s.current, s.next = s.next, nil
	}
	if s.current != nil && s.current.goodAt(now) {
		key = s.current
	}
	busy := s.flight != nil && !s.flight.Lost(now, vouchTimeout)
	switch {
	case key == nil && busy:
		return nil, s.flight, nil
	case key == nil && s.rests(now, renewBackOff):
		return nil, nil, s.failed
	case key == nil:
		return nil, s.start(ctx, now, now, false), nil
	case !busy && s.next == nil && !now.Before(key.notAfter.Add(-s.ttl/aheadShare)) &&
		!s.rests(now, aheadBackOff):
		return key, s.start(ctx, now, key.notAfter, true), nil
	}
	return key, nil, nil
}

// rests reports whether the root key failed less than pause ago.
func (s *Session) rests(now time.Time, pause time.Duration) bool {
	return s.failed != nil && now.Sub(s.failedAt).Abs() < pause
}

// start has the root key vouch for a session key that begins at that time. The request goes on when the
// caller leaves.
func (s *Session) start(ctx context.Context, now, begin time.Time, ahead bool) *vouching {
	if s.flight != nil {
		s.flight.Cancel()
	}
	ctx, f := flight.New(ctx, now.Round(0), vouchTimeout)
	v := &vouching{Flight: f, ahead: ahead}
	s.flight = v
	began := time.Now()
	go func() {
		defer close(v.Done)
		defer v.Cancel()
		key, err := s.vouchSafely(ctx, begin)
		s.land(v, key, err, time.Since(began))
	}()
	return v
}

// vouchSafely turns a panic into an error. It must, because it runs in a goroutine of its own.
func (s *Session) vouchSafely(ctx context.Context, begin time.Time) (key *Key, err error) {
	defer func() {
		if v := recover(); v != nil {
			key, err = nil, fmt.Errorf("session: %s panicked when it was to vouch for a session key: %T",
				s.root.Verifier().KeyID(), v)
		}
	}()
	return s.vouch(ctx, begin)
}

// land keeps the result of the request.
func (s *Session) land(v *vouching, key *Key, err error, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != v {
		return // the request was given up as lost, and the callers that wait try again
	}
	s.flight = nil
	switch {
	case err != nil: // the pause begins at the failure, so that later callers do not wait for the timeout again
		v.err, s.failed, s.failedAt = err, err, v.Began.Add(took.Truncate(time.Second))
	case v.ahead:
		s.next, s.failed = key, nil
	default:
		s.current, s.next, s.failed = key, nil, nil
	}
}
