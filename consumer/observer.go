package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Observer is told how each delivery ended, for metrics and alarms. It is told after the outcome is settled:
// nothing that it does, a panic included, changes the outcome, loses the event or has it handled again. It is
// called by every goroutine that calls Handle, and holds that one up until it returns.
//
// The log of Options.Logger is written whether there is an Observer or not.
type Observer interface {
	Delivered(ctx context.Context, r Result)
}

// Flusher is an Observer that keeps results back. Consumer.Flush calls it, at the end of each invocation on
// Lambda: a process may be frozen after it, so nothing may be left to a goroutine or a timer.
type Flusher interface {
	Observer
	Flush(ctx context.Context) error
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

func (s several) Delivered(ctx context.Context, r Result) {
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

// Flush has the Observer write what it kept back; nil if there is none, or it keeps nothing. Call it after
// Handle, before the process may be frozen or ended. Its error is no reason to have a delivery made again:
// the outcomes stand, and the Observer keeps what it could not write. A panic of the Observer is its error,
// *PanicError.
func (c *Consumer) Flush(ctx context.Context) error {
	if err := flush(ctx, c.opts.Observer); err != nil {
		return fmt.Errorf("consumer: the observer: %w", err)
	}
	return nil
}

// report tells how a delivery ended: the counters, the log, the Observer. No panic of a logger or an Observer
// goes beyond it, since the outcome is settled.
func (c *Consumer) report(ctx context.Context, r *Result) {
	if n := c.counts[r.Reason()]; n != nil {
		n.Add(1)
	}
	c.harmless(ctx, func() { c.log(ctx, r) })
	if o := c.opts.Observer; o != nil {
		c.harmless(ctx, func() { o.Delivered(ctx, *r) })
	}
}

// harmless logs a panic of do. A panic of the logger itself is dropped.
func (c *Consumer) harmless(ctx context.Context, do func()) {
	err := protect(func() error { do(); return nil })
	if err == nil {
		return
	}
	_ = protect(func() error {
		c.opts.Logger.ErrorContext(ctx, "sealbus: the observer failed, the outcome stands", "consumer", c.name,
			"error", clip(err.Error()))
		return nil
	})
}

func (c *Consumer) log(ctx context.Context, r *Result) {
	level := slog.LevelWarn
	switch {
	case r.Outcome == Handled:
		level = slog.LevelDebug
	case r.Outcome == Duplicate:
		level = slog.LevelInfo
	case r.Rejected() && r.Err != nil:
		level = slog.LevelError
	}
	if !c.opts.Logger.Enabled(ctx, level) {
		return
	}
	// A rejected event that nothing takes is delivered again, but must not look like an outage.
	headline := string(r.Outcome)
	if e, ok := r.Err.(*QuarantineError); ok && e.noQuarantine() {
		headline = "rejected, but there is no quarantine to take the event, so it is delivered again: " +
			"set Options.Quarantine"
	} else if ok {
		headline = "rejected, but the quarantine did not take the event, so it is delivered again"
	}
	c.opts.Logger.LogAttrs(ctx, level, "sealbus: "+headline, c.attributes(r)...)
}

// finish completes the Result of a delivery that ended now.
func (d *handling) finish(err error) *Result {
	r := &d.result
	r.Consumer, r.Err, r.At = d.name, err, d.now()
	r.Took = r.At.Sub(d.began)
	handled := r.At
	if r.Called = !d.called.IsZero(); r.Called {
		r.Handler, handled = d.returned.Sub(d.called), d.called
	}
	if r.Claimed = !d.taken.IsZero(); r.Claimed {
		r.Held = r.At.Sub(d.taken)
	}
	if !r.SignedAt.IsZero() {
		r.Age = max(0, handled.Sub(r.SignedAt))
	}
	return r
}
