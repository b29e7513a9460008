package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Outcome is what became of a delivery.
type Outcome string

// The outcomes. All but Retry are acknowledged.
const (
	Handled     Outcome = "handled"     // the handler handled it, and its claim is completed
	Duplicate   Outcome = "duplicate"   // it was handled before
	Quarantined Outcome = "quarantined" // it can never pass, and the quarantine has it
	Migrating   Outcome = "migrating"   // it would not have passed; UnsafeMigration took it
	Retry       Outcome = "retry"       // it must be delivered again
)

// Result is what became of one delivery. It holds no data of the event. All durations are on the wall clock
// of the consumer, never negative, and contain the time for which the process was frozen.
type Result struct {
	Consumer string // the consumer's name
	Outcome  Outcome
	// Verdict is why it was not handled; nil when Handled. Only its fields have unverified text, and say so.
	Verdict *envelope.Error
	Err     error // the error of Handle; nil unless the outcome is Retry

	// Verified: empty if the event was not.
	Producer, Source, Type, ID string
	IdempotencyKey             string // Delivery.IdempotencyKey
	Permission                 string // Delivery.Permission
	// TaintedKeyID is a key that signed it and that the trust bundle marks as tainted, the lowest of several:
	// the producer should sign with another key before this one is revoked. "" = none is tainted.
	TaintedKeyID string
	// SignedAt is the signed moment of sealing; zero = none was signed, or the event was not verified.
	SignedAt time.Time

	At      time.Time     // when it ended
	Took    time.Duration // from the call of Handle to At
	Called  bool          // the handler was called
	Handler time.Duration // how long the handler took; 0 unless Called
	Claimed bool          // the event was claimed in the replay store
	Held    time.Duration // how long the claim was held; 0 unless Claimed

	// Age is how long after SignedAt the handler was called, or the delivery ended if it was not;
	// 0 if SignedAt is zero, or lies in the future as far as clocks may differ.
	Age time.Duration
	// BundleExpires is when the trust bundle that judged the event may no longer be used; zero = the delivery
	// ended before there was one, or it never expires.
	BundleExpires time.Time
}

// Reason is that of the Verdict, "" when Handled.
func (r *Result) Reason() envelope.Reason {
	if r.Verdict == nil {
		return ""
	}
	return r.Verdict.Reason
}

// Observer is told how each delivery ended, for metrics and alarms. It is told after the outcome is settled:
// nothing that it does, a panic included, changes the outcome, loses the event or has it handled again. It is
// called by every goroutine that calls Handle, and holds that one up until it returns.
//
// An Observer that keeps results back also has the method Flush(context.Context) error. Consumer.Flush calls
// it, at the end of each invocation on Lambda: the process may be frozen after it, so nothing may be left to
// a goroutine or a timer.
//
// The log of Options.Logger is written whether there is an Observer or not.
type Observer interface {
	Delivered(ctx context.Context, r Result)
}

// flusher is an Observer that keeps results back.
type flusher interface {
	Flush(ctx context.Context) error
}

// Observers are several as one: each is told, in this order, also if one before it panics. Consumer.Flush
// flushes all of them that have a Flush, and returns the errors of all. One that is nil is left out; New
// refuses a nil pointer among them.
func Observers(all ...Observer) Observer {
	var told several
	for _, o := range all {
		if o != nil {
			told = append(told, o)
		}
	}
	return told
}

type several []Observer

var _ flusher = several(nil)

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
	f, ok := o.(flusher)
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

// report completes the Result and tells it to the log and to the Observer. No panic of a logger or of an
// Observer goes beyond it, because the outcome is settled.
func (d *delivery) report(ctx context.Context, err error) {
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
	failed := protect(func() error { d.log(ctx, r); d.warnOfLackingKeys(ctx); return nil })
	if o := d.opts.Observer; o != nil {
		failed = errors.Join(failed, protect(func() error { o.Delivered(ctx, *r); return nil }))
	}
	if failed != nil {
		_ = protect(func() error { // the logger may be what panicked
			d.opts.Logger.ErrorContext(ctx, "sealbus: the observer failed, the outcome stands", "consumer",
				d.name,
				"error", clip(failed.Error()))
			return nil
		})
	}
}

// log writes the line of a delivery. The name of an attribute says if it is not verified.
func (c *Consumer) log(ctx context.Context, r *Result) {
	refused, isRefused := r.Err.(*QuarantineError)
	level, headline := slog.LevelWarn, string(r.Outcome)
	switch { // a rejected event that is delivered again must not look like an outage
	case r.Outcome == Handled && r.TaintedKeyID != "":
		headline = "handled, but a key that signed it is tainted: have the producer sign with another key"
	case r.Outcome == Handled:
		level = slog.LevelDebug
	case r.Outcome == Duplicate:
		level = slog.LevelInfo
	case isRefused && refused.Err == nil:
		level = slog.LevelError
		headline = "rejected, but there is no quarantine to take the event, so it is delivered again: " +
			"set Options.Quarantine"
	case isRefused:
		level = slog.LevelError
		headline = "rejected, but the quarantine did not take the event, so it is delivered again"
	}
	if !c.opts.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("consumer", c.name)}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, clip(value)))
		}
	}
	add("reason", string(r.Reason()))
	add("producer", r.Producer)
	add("source", r.Source)
	add("type", r.Type)
	add("id", r.ID)
	add("tainted_key", r.TaintedKeyID)
	add("permission", r.Permission)
	if v := r.Verdict; v != nil {
		add("cause", v.Cause)
		add("fix", v.Fix())
		add("more", v.Reason.Page())
		if r.Producer == "" {
			add("unverified_source", v.UnverifiedSource)
			add("unverified_type", v.UnverifiedType)
			add("unverified_id", v.UnverifiedID)
		}
	}
	if r.Err != nil {
		add("error", r.Err.Error())
	}
	c.opts.Logger.LogAttrs(ctx, level, "sealbus: "+headline, attrs...)
}
