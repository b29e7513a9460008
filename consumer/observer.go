package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys/trust"
)

// Observer is told how each delivery ended, for metrics and alarms. It is told after the outcome is settled:
// nothing that it does, a panic included, changes the outcome, loses the event or has it handled again. It is
// called by every goroutine that calls Handle, and holds that one up until it returns.
//
// The log of Options.Logger is written whether there is an Observer or not.
type Observer interface {
	Delivered(ctx context.Context, r Report)
}

// Flusher is an Observer that keeps reports back. Consumer.Flush calls it, at the end of each invocation on
// Lambda: a process may be frozen after it, so nothing may be left to a goroutine or a timer.
type Flusher interface {
	Observer
	Flush(ctx context.Context) error
}

// Report is how one delivery ended. All durations are on the wall clock of the consumer, never negative, and
// contain the time for which the process was frozen.
type Report struct {
	Consumer string        // its name
	Result   Result        // what became of it. What was not verified is in Result.Verdict only, under names that say so
	Err      error         // the error of Handle; nil unless the outcome is Retry
	At       time.Time     // when it ended
	Took     time.Duration // from the call of Handle to At

	Called  bool          // the handler was called
	Handler time.Duration // how long the handler took; 0 unless Called
	Claimed bool          // the event was claimed in the replay store
	Held    time.Duration // how long the claim was held; 0 unless Claimed

	// SignedAt is the signed moment of sealing; zero = the event was not verified, or nobody signed one.
	SignedAt time.Time
	// Age is how long after SignedAt the handler was called, or the delivery ended if it was not;
	// 0 if SignedAt is zero, or lies in the future as far as clocks may differ.
	Age time.Duration
	// BundleExpires is when the trust bundle that judged the event may no longer be used; zero = the delivery
	// ended before there was one, or it never expires.
	BundleExpires time.Time
}

// ReplayHit reports whether the event had been handled before, and was therefore not handled again.
func (r *Report) ReplayHit() bool { return r.Result.Outcome == Duplicate }

// Rejected reports whether the event can never pass, be it in quarantine already or not yet. What
// UnsafeObserve took was not rejected.
func (r *Report) Rejected() bool {
	return r.Result.Reason != "" && r.Result.Reason.Class() == envelope.Permanent && r.Result.Outcome != Observed
}

// Observers are several as one: each is told, in this order, also if one before it panics. Its Flush flushes
// those that are a Flusher, and returns the errors of all. One that is nil is left out; New refuses a nil
// pointer among them.
func Observers(all ...Observer) Flusher {
	var told several
	for _, o := range all {
		if o != nil {
			told = append(told, o)
		}
	}
	return told
}

type several []Observer

var _ Flusher = several(nil)

// checkObserver refuses a nil pointer, also within Observers, and a Readiness that has no trust.
func checkObserver(what string, o Observer) error {
	if err := nilcheck.Typed(what, o); err != nil {
		return err
	}
	switch o := o.(type) {
	case several:
		for i := range o {
			if err := checkObserver(fmt.Sprintf("%s: number %d of Observers", what, i+1), o[i]); err != nil {
				return err
			}
		}
	case *Readiness:
		if _, none := o.trust.(noTrust); none {
			return fmt.Errorf("%s: the trust of the Readiness is nil: give it that of the consumer", what)
		}
	}
	return nil
}

func (s several) Delivered(ctx context.Context, r Report) {
	if len(s) == 0 {
		return
	}
	defer s[1:].Delivered(ctx, r) // deferred, as the first may panic
	s[0].Delivered(ctx, r)
}

func (s several) Flush(ctx context.Context) error {
	var errs []error
	for _, o := range s {
		errs = append(errs, flush(ctx, o))
	}
	return errors.Join(errs...)
}

// flush is the Flush of an Observer that has one. Its panic is its error, *PanicError.
func flush(ctx context.Context, o Observer) error {
	f, ok := o.(Flusher)
	if !ok {
		return nil
	}
	return protect(func() error { return f.Flush(ctx) })
}

// Flush has the Observer write what it kept back; nil if there is none, or it keeps nothing. Whoever calls
// Handle calls it before the process may be frozen or ended. Its error is no reason to have a delivery made
// again: the outcomes stand, and the Observer keeps what it could not write. A panic of the Observer is its
// error, *PanicError.
func (c *Consumer) Flush(ctx context.Context) error {
	if err := flush(ctx, c.opts.Observer); err != nil {
		return fmt.Errorf("consumer: the observer: %w", err)
	}
	return nil
}

// report tells how a delivery ended: the counters, the log, the Observer. No panic of a logger or an Observer
// goes beyond it, since the outcome is settled.
func (c *Consumer) report(ctx context.Context, r *Report) {
	if n := c.counts[r.Result.Reason]; n != nil {
		n.Add(1)
	}
	c.harmless(ctx, func() { c.log(ctx, r) })
	if o := c.opts.Observer; o != nil {
		c.harmless(ctx, func() { o.Delivered(ctx, *r) })
	}
}

// harmless logs a panic of do. If the logger itself panics, nobody is left to tell.
func (c *Consumer) harmless(ctx context.Context, do func()) {
	err := protect(func() error { do(); return nil })
	if err == nil {
		return
	}
	_ = protect(func() error {
		c.opts.Logger.ErrorContext(ctx, "sealbus: the observer failed, the outcome stands", "consumer", c.name, "error", clip(err.Error()))
		return nil
	})
}

func (c *Consumer) log(ctx context.Context, r *Report) {
	level := slog.LevelWarn
	switch {
	case r.Result.Outcome == Handled:
		level = slog.LevelDebug
	case r.Result.Outcome == Duplicate:
		level = slog.LevelInfo
	case r.Rejected() && r.Err != nil:
		level = slog.LevelError
	}
	if !c.opts.Logger.Enabled(ctx, level) {
		return
	}
	c.opts.Logger.LogAttrs(ctx, level, "sealbus: "+r.headline(), c.attributes(&r.Result, r.Err)...)
}

// headline is the outcome in a line of the log. A rejected event that nothing takes is delivered again, but
// must not look like an outage.
func (r *Report) headline() string {
	switch e, rejected := r.Err.(*QuarantineError); {
	case !rejected:
		return string(r.Result.Outcome)
	case e.noQuarantine():
		return "rejected, but there is no quarantine to take the event, so it is delivered again: " +
			"set Options.Quarantine"
	}
	return "rejected, but the quarantine did not take the event, so it is delivered again"
}

// course is what a delivery notes on its way for its Report.
type course struct {
	began, taken, called, returned time.Time // zero = it did not come to that
	bundleExpires                  time.Time
}

// reportOf is the Report of a delivery that ended now.
func (d *delivery) reportOf(err error) *Report {
	r := &Report{
		Consumer: d.name, Result: d.result, Err: err, At: d.now(), BundleExpires: d.bundleExpires,
		Called: !d.called.IsZero(), Claimed: !d.taken.IsZero(),
	}
	r.Took = r.At.Sub(d.began)
	handled := r.At
	if r.Called {
		r.Handler, handled = d.returned.Sub(d.called), d.called
	}
	if r.Claimed {
		r.Held = r.At.Sub(d.taken)
	}
	if d.opened != nil && !d.opened.SignedAt.IsZero() {
		r.SignedAt, r.Age = d.opened.SignedAt, max(0, handled.Sub(d.opened.SignedAt))
	}
	return r
}

// judges is the trust of a delivery, which notes the bundle that judges it.
func (d *delivery) judges() trust.Source {
	if _, ok := d.trust.(trust.Refresher); ok {
		return (*liveJudge)(d)
	}
	return (*judge)(d)
}

// judge is a delivery as its own trust.Source, liveJudge as its own trust.Refresher.
type (
	judge     delivery
	liveJudge delivery
)

var (
	_ trust.Source    = (*judge)(nil)
	_ trust.Refresher = (*liveJudge)(nil)
)

func (j *judge) Bundle(ctx context.Context) (*trust.Bundle, error) {
	return j.noting(j.trust.Bundle(ctx))
}

func (j *liveJudge) Bundle(ctx context.Context) (*trust.Bundle, error) {
	return (*judge)(j).Bundle(ctx)
}

func (j *liveJudge) Refresh(ctx context.Context, keyID string) (*trust.Bundle, error) {
	return j.noting(j.trust.(trust.Refresher).Refresh(ctx, keyID))
}

func (c *course) noting(bundle *trust.Bundle, err error) (*trust.Bundle, error) {
	if err == nil && bundle != nil {
		c.bundleExpires = bundle.Expires()
	}
	return bundle, err
}
