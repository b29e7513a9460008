package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

// delivery is one verified delivery on its way through handle.
type delivery struct {
	*Receiver
	v      *Verified
	began  time.Time // when the verdict on it began
	queued bool
	claim  replay.Claim
	until  time.Time
	held   bool // the claim is ours to complete or release
}

var errOverLimit = errors.New("over the limit of this endpoint")

// run claims the delivery, calls next and completes the claim.
func (d *delivery) run(ctx context.Context, at time.Time) Response {
	if d.store != nil {
		if resp := d.take(ctx, at); resp.Status != 0 {
			return resp
		}
	}
	if d.opts.Limit != nil {
		if wait := d.opts.Limit(d.now()); wait > 0 {
			return refusal(d.again(http.StatusTooManyRequests), "", wait, errOverLimit)
		}
	}
	if err := d.call(ctx); err != nil {
		e, ok := errors.AsType[*Error](err)
		if ok && e.Reason.Class() == envelope.Permanent && statusOf(e.Reason) >= http.StatusBadRequest {
			return refused(e.Reason, err)
		}
		return refused(envelope.ReasonHandlerFailed, err)
	}
	if d.store == nil {
		return Response{Status: http.StatusOK}
	}
	return d.complete(ctx)
}

// take claims the delivery; a Response without a Status = the claim is ours.
func (d *delivery) take(ctx context.Context, at time.Time) Response {
	key := d.v.Replay()
	d.until = key.Until
	if waited := d.began.Sub(at); waited > 0 {
		d.until = d.until.Add(waited)
	}
	// A delivery from a queue is judged as of its arrival, so it never becomes stale, and the queue may
	// deliver it again.
	if least := d.began.Add(RememberFor); d.queued && d.until.Before(least) {
		d.until = least
	}
	claim, status, err := d.store.Claim(ctx, key.Key, key.Digest, d.until, d.opts.Lease)
	switch {
	case err != nil:
		return refused(envelope.ReasonStoreUnavailable, err)
	case status == replay.Held:
		return d.inProgress(nil)
	case status == replay.Completed:
		return refused(envelope.ReasonReplayed, errors.New("it was handled before"))
	case status == replay.CompletedOther:
		return refused(envelope.ReasonIDReused,
			errors.New("another body with this signed ID was handled before"))
	case status != replay.New:
		return refused(envelope.ReasonStoreUnavailable, fmt.Errorf("the store answered %v", status))
	}
	d.claim, d.held = claim, true
	return d.settle(ctx)
}

// settle makes sure that the claim is worth something at this moment. The body may have come long after the
// judging time, the process may have been frozen, or the store slow. Then another worker may have the claim
// by now, or the store may have forgotten that the delivery was handled.
func (d *delivery) settle(ctx context.Context) Response {
	now := d.now()
	stale := d.until
	if end := d.v.stale(); !d.queued && !end.IsZero() && end.Before(stale) {
		stale = end // a copy that was handled in time is remembered up to then, and perhaps no longer
	}
	if !now.Before(stale) {
		return d.inProgress(errors.New("the delivery was fresh when it came, and is stale now"))
	}
	if now.Sub(d.began) < d.opts.Lease/2 {
		return Response{}
	}
	err := d.store.Renew(ctx, d.claim, d.opts.Lease)
	if errors.Is(err, replay.ErrClaimLost) {
		d.held = false
		return d.inProgress(err)
	}
	if err != nil {
		return refused(envelope.ReasonStoreUnavailable, err)
	}
	return Response{}
}

// inProgress is the Response while another worker has the delivery in hand: if that worker crashed, the claim
// is free after a lease.
func (d *delivery) inProgress(err error) Response {
	if err == nil {
		err = errors.New("another worker has it in hand")
	}
	return refusal(d.again(http.StatusConflict), envelope.ReasonInProgress, d.opts.Lease, err)
}

// call calls next, and renews the lease until it returns, however it ends. A cancelled context does not end
// the renewing: next may still finish what it began, and meanwhile no other worker may begin the same.
func (d *delivery) call(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if d.store != nil {
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			d.keep(running, cancel)
		}()
		defer func() { stop(); <-ended }()
	}
	return protect(func() error { return d.next(ctx, d.v) })
}

// keep renews the lease each third of it until running ends. A lease only makes others wait: the token of the
// claim decides who completes it. So a renewal that fails is tried again, but for a lost claim.
func (d *delivery) keep(running context.Context, lost context.CancelCauseFunc) {
	each := d.opts.Lease / 3
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		select {
		case <-running.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(running, each)
		err := protect(func() error { return d.store.Renew(ctx, d.claim, d.opts.Lease) })
		cancel()
		if errors.Is(err, replay.ErrClaimLost) {
			lost(err)
			return
		}
	}
}

// complete completes the claim, also if the context was cancelled, because next has done its work. One
// failure is tried again at once, since it may cost a second call of next. After that the lease expires: it
// is not released.
func (d *delivery) complete(ctx context.Context) Response {
	d.held = false
	var err error
	for range 2 {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
		err = d.store.Complete(attempt, d.claim, d.until)
		cancel()
		if err == nil {
			return Response{Status: http.StatusOK}
		}
		if errors.Is(err, replay.ErrClaimLost) {
			return d.inProgress(fmt.Errorf("it was handled, but its claim is no longer ours: %w", err))
		}
	}
	return refused(envelope.ReasonStoreUnavailable,
		fmt.Errorf("it was handled, but that could not be recorded: %w", err))
}

// release frees a claim that was not completed. If that fails, its lease expires.
func (d *delivery) release(ctx context.Context) {
	if !d.held {
		return
	}
	d.held = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := d.store.Release(ctx, d.claim); err != nil {
		d.opts.Logger.WarnContext(ctx, "sealbus: a claim was not released, its lease must expire", "endpoint",
			d.verifier.Endpoint(), "error", err)
	}
}

// protect makes a panic the error. Its text is that of the program's own code.
func protect(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %.200s", fmt.Sprint(v))
		}
	}()
	return do()
}
