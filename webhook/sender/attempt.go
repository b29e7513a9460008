package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// headerID is the header with the ID of a message.
const headerID = "Webhook-Id"

// Bounds of one attempt.
const (
	lookupTimeout = 10 * time.Second // to find the endpoint
	maxAnswer     = 16 << 10         // bytes of an answer that are read, and thrown away
	settleTimeout = 5 * time.Second  // of one try to settle
	settleTries   = 2
	lookupAgain   = 30 * time.Second // until the endpoint is looked up again after an error
)

// Cause says why a delivery was not delivered, for programs.
type Cause string

// The causes.
const (
	CauseStatus     Cause = "status"      // an answer that is neither 2xx nor one of the others here
	CauseRedirect   Cause = "redirect"    // 3xx, which is not followed
	CauseGone       Cause = "gone"        // 410: the endpoint is disabled by it
	CauseTimeout    Cause = "timeout"     // no whole answer in time
	CauseNetwork    Cause = "network"     // no connection, or it broke
	CauseRefused    Cause = "refused"     // the URL, or an address it leads to, is not one that may be called
	CauseSigning    Cause = "signing"     // the attempt could not be signed
	CauseDisabled   Cause = "disabled"    // the endpoint is disabled
	CauseNoEndpoint Cause = "no_endpoint" // there is no such endpoint (ErrNoEndpoint)
	CauseLookup     Cause = "lookup"      // the endpoint could not be looked up: no attempt was made
	CauseUnreadable Cause = "unreadable"  // the store cannot read its record, which it keeps
)

// Attempt is how one attempt ended, or how a delivery died without one. It has nothing of the body, the
// secrets, the answer but the class of its status, or the address. It has no timing, because a tenant who
// learns how long an attempt took can look into the network of the sender.
type Attempt struct {
	Key
	Number      int       // 1 = the first; an attempt whose worker died has the same number as the next one
	StatusClass int       // the first digit of the status; 0 = no answer
	State       State     // what becomes of the delivery
	Cause       Cause     // "" of Delivered
	Next        time.Time // of Again: when the next attempt is due
	Disabled    bool      // the endpoint was disabled by this attempt
}

// Observer is told how each attempt ended, after that was settled in the store. Nothing that it does, a panic
// included, changes the outcome. It is called by the goroutines that send, and holds them up.
type Observer interface {
	Attempted(ctx context.Context, a Attempt)
}

// result is how an attempt ended.
type result struct {
	cause      Cause // "" = delivered
	class      int
	permanent  bool          // no attempt follows
	attempted  bool          // a request was made, or could not be signed
	unwell     bool          // the receiver is down or overloaded
	retryAfter time.Duration // what it asks for
	after      time.Duration // above 0 = it was no attempt, and another one follows after this
}

// attempt makes one attempt and settles it. The lease is live until end.
func (s *Sender) attempt(ctx context.Context, t Taken, end time.Time) {
	r := s.try(ctx, &t, end)
	s.mu.Lock()
	s.lanes[t.Endpoint].end(ctx, &r, s.now())
	s.mu.Unlock()
	if r.cause == causeLate {
		s.opts.Logger.WarnContext(ctx, "sealbus: the lease was nearly over, and no request was made", "endpoint",
			t.Endpoint, "id", t.ID)
		return
	}
	st := Settlement{State: Delivered, Attempts: t.Attempts}
	if r.cause != "" {
		st.State, st.Cause, st.Disable = Again, r.cause, r.cause == CauseGone
		if r.attempted {
			st.Attempts++
		}
		next, more := wait(ctx, s.opts.Schedule, max(st.Attempts, 1), r.retryAfter)
		switch {
		case r.permanent || r.attempted && !more:
			st.State = Dead
		case r.attempted:
			st.After = next
		default:
			st.After = r.after
		}
	}
	if err := s.settle(ctx, t, st); err != nil {
		return
	}
	a := Attempt{Key: t.Key, Number: t.Attempts + 1, StatusClass: r.class, State: st.State, Cause: st.Cause,
		Disabled: st.Disable}
	if st.State == Again {
		a.Next = s.now().Add(st.After)
	}
	s.report(ctx, a)
}

// causeLate means that the lease was over before the request: another worker makes the attempt.
const causeLate Cause = "late"

// try finds the endpoint, signs and sends. A panic of an Endpoints or a Signing is an error of it.
func (s *Sender) try(ctx context.Context, t *Taken, end time.Time) (r result) {
	stage := result{cause: CauseLookup, after: lookupAgain}
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.ErrorContext(ctx, "sealbus: a panic while sending", "endpoint", t.Endpoint, "id", t.ID,
				"type", fmt.Sprintf("%T", p)) // its text may hold a secret
			r = stage
		}
	}()
	if t.Disabled {
		return result{cause: CauseDisabled, permanent: true}
	}
	e, err := s.lookup(ctx, t.Endpoint)
	switch {
	case errors.Is(err, ErrNoEndpoint):
		return result{cause: CauseNoEndpoint, permanent: true}
	case err != nil:
		s.opts.Logger.WarnContext(ctx, "sealbus: the endpoint cannot be looked up", "endpoint", t.Endpoint,
			"error", err)
		return stage
	case e.Disabled:
		return result{cause: CauseDisabled, permanent: true}
	}
	s.learn(e)
	stage = result{cause: CauseSigning, attempted: true}
	timeout := min(e.timeout(), s.opts.Lease/2)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := s.request(ctx, e, t)
	if err != nil {
		s.opts.Logger.WarnContext(ctx, "sealbus: an attempt cannot be signed", "endpoint", t.Endpoint, "id", t.ID,
			"error", err)
		stage.permanent = errors.Is(err, ErrUnsignable)
		return stage
	}
	if end.Sub(s.now()) < timeout { // signing took long, or the process was frozen
		return result{cause: causeLate}
	}
	stage = result{cause: CauseNetwork, attempted: true, unwell: true}
	return s.exchange(req)
}

// lookup finds an endpoint and checks it.
func (s *Sender) lookup(ctx context.Context, id string) (*Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, min(lookupTimeout, s.opts.Lease/4)) // the rest is for the attempt
	defer cancel()
	e, err := s.endpoints.Endpoint(ctx, id)
	if err != nil {
		return nil, err
	}
	if e == nil || e.ID != id {
		return nil, errors.New("sender: the Endpoints give another endpoint than was asked for")
	}
	if err := e.Check(); err != nil {
		return nil, err
	}
	return e, nil
}

// request makes the signed request of an attempt.
func (s *Sender) request(ctx context.Context, e *Endpoint, t *Taken) (*http.Request, error) {
	req, err := newRequest(ctx, e.URL, &t.Delivery)
	if err != nil {
		return nil, err
	}
	return req, e.Signing.Sign(ctx, req, t.Body, s.now())
}

// newRequest is the request of a delivery without its signature.
func newRequest(ctx context.Context, to string, d *Delivery) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(d.Body))
	if err != nil {
		return nil, errors.New("the URL cannot be parsed")
	}
	req.Header.Set("Content-Type", d.ContentType)
	req.Header.Set("User-Agent", "sealbus")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set(headerID, d.ID)
	return req, nil
}

// exchange sends the request. It goes past http.Client, so that no redirect is followed and no cookie kept.
// Of the answer it reads the status, Retry-After, and at most 16 KiB that it throws away, so that the
// connection can be used again.
func (s *Sender) exchange(req *http.Request) result {
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return failure(req.Context(), err)
	}
	hangUp := context.AfterFunc(req.Context(), func() { _ = resp.Body.Close() })
	defer func() { hangUp(); _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusOK { // the body of a 101 is the connection, which no context ends
		_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // the status decides, whatever becomes of the rest
	}
	r := result{class: resp.StatusCode / 100, attempted: true}
	switch code := resp.StatusCode; {
	case code >= 200 && code <= 299:
		return r
	case code == http.StatusGone:
		r.cause, r.permanent = CauseGone, true
	case code >= 300 && code <= 399:
		r.cause = CauseRedirect
	default:
		r.cause = CauseStatus
		r.unwell = code == http.StatusTooManyRequests || code >= 500
	}
	r.retryAfter = retryAfter(resp.Header, s.now())
	return r
}

// failure is the result of a request without an answer.
func failure(ctx context.Context, err error) result {
	r := result{cause: CauseNetwork, attempted: true, unwell: true}
	if isRefused(err) {
		return result{cause: CauseRefused, attempted: true}
	}
	var timeout interface{ Timeout() bool }
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		r.cause = CauseTimeout
	}
	return r
}

// settle settles a delivery. If the store does not act, the lease ends and the delivery is sent again, with
// the same ID.
func (s *Sender) settle(ctx context.Context, t Taken, st Settlement) error {
	var err error
	for range settleTries {
		within, cancel := context.WithTimeout(ctx, settleTimeout)
		err = s.store.Settle(within, t, st)
		cancel()
		if err == nil || errors.Is(err, ErrLeaseLost) {
			break
		}
	}
	if err != nil {
		s.opts.Logger.WarnContext(ctx, "sealbus: an attempt could not be recorded, the message is sent again",
			"endpoint", t.Endpoint, "id", t.ID, "state", string(st.State), "error", err)
	}
	return err
}

// report tells the log and the Observer.
func (s *Sender) report(ctx context.Context, a Attempt) {
	defer func() {
		if p := recover(); p != nil {
			s.opts.Logger.ErrorContext(ctx, "sealbus: the observer failed, the outcome stands", "endpoint",
				a.Endpoint, "id", a.ID, "type", fmt.Sprintf("%T", p))
		}
	}()
	if a.State == Dead {
		s.opts.Logger.WarnContext(ctx, "sealbus: a delivery is dead", "endpoint", a.Endpoint, "id", a.ID,
			"attempts", a.Number, "cause", string(a.Cause))
	}
	if s.opts.Observer != nil {
		s.opts.Observer.Attempted(ctx, a)
	}
}
