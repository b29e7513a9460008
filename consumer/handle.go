package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/inhand"
	"github.com/sealbus/sealbus/internal/wrapper"
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

// Rejected reports whether the event can never pass, be it in quarantine already or not yet. An event that
// UnsafeMigration took was not rejected.
func (r *Result) Rejected() bool {
	return r.Verdict != nil && r.Verdict.Reason.Class() == envelope.Permanent && r.Outcome != Migrating
}

// PanicError is a panic of a handler, of the Handle of a Migration or of a Quarantine. The event was
// released and is to be delivered again. If the event's data was encrypted, Handle returns a handler's
// PanicError inside an error that does not print the value, because it may quote that data.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // where
}

// Error is the panic's value.
func (e *PanicError) Error() string {
	return fmt.Sprintf("consumer: it panicked: %v", e.Value)
}

// Bounds of what a delivery does by itself.
const (
	// how many steps it takes to renew the verdict, and decrypt, while the clock keeps jumping
	settleRounds  = 6
	finishTimeout = 5 * time.Second // of one attempt to complete or release, in place of the context's own end
)

// Handle takes one delivery through all checks to the handler. The error is not nil exactly when the delivery
// must be made again (Outcome Retry): it wraps an *envelope.Error with the Reason, and is a
// *QuarantineError when the event can never pass but could not be put away either.
//
// A panic of the handler is an error of the handler, *PanicError. If the handler succeeded but its claim
// could not be completed, the error is transient (store_unavailable, or in_progress if another worker has
// taken over): the delivery made again finds it done, or repeats the handler with the same IdempotencyKey.
func (c *Consumer) Handle(ctx context.Context, msg Message, handler Handler) (Result, error) {
	if handler == nil {
		err := errors.New("consumer: no handler")
		return Result{Consumer: c.name, Outcome: Retry, Err: err}, err
	}
	d := &handling{Consumer: c, msg: msg, handler: handler}
	d.began = d.now()
	err := d.run(ctx)
	if d.parked { // by an adapter, which hands it over again
		return d.result, &inhand.Parked{Err: err, Report: func() {
			c.harmless(ctx, func() { c.report(ctx, d.finish(err)) })
		}}
	}
	c.report(ctx, d.finish(err))
	return d.result, err
}

// handling is one message on its way.
type handling struct {
	*Consumer
	msg     Message
	subject Message      // what is judged: msg, or the message in the wrapper around it
	hiding  wrapper.Kind // the wrapper around subject, if it does not count what it says; "" = none
	handler Handler
	result  Result

	latest                         time.Time // within one delivery the clock never runs backwards
	began, taken, called, returned time.Time // zero = it did not come to that

	reopened string // the quarantine that msg was reopened from; "" = none

	opened     *envelope.Opened
	encrypted  bool        // its data was; a handler may change what it gets
	permission *Permission // under which opened is; nil = none
	judged     time.Time   // before the verdict that opened is, and so before the lease was last renewed
	key        [32]byte
	until      time.Time
	claim      replay.Claim
	held       bool // claim is ours to complete or release
	parked     bool // another message of the same batch has the event in hand
}

// run takes the message through all steps. Each relies on those before it.
func (d *handling) run(ctx context.Context) error {
	// after the quarantine has it, so that reopening works; and if a callback ends its goroutine
	defer d.release(ctx)
	verdict := d.reopen()
	if verdict == nil {
		verdict = d.unpack()
	}
	if verdict == nil {
		verdict = d.open(ctx)
	}
	if verdict == nil {
		verdict = d.take(ctx)
	}
	if verdict == nil {
		verdict = d.settle(ctx)
	}
	if verdict == nil {
		verdict = d.handle(ctx)
	}
	if verdict == nil {
		verdict = d.complete(ctx)
	}
	if verdict == nil {
		d.result.Outcome = Handled
		return nil
	}
	return d.refuse(ctx, verdict)
}

// now is the wall clock, or what it said before within this delivery if that was later.
func (d *handling) now() time.Time {
	if now := d.time(); now.After(d.latest) {
		d.latest = now
	}
	return d.latest
}

// open verifies the message at this time, under a permission if one covers it.
func (d *handling) open(ctx context.Context) *envelope.Error {
	d.judged = d.now()
	var p *Permission
	received := envelope.Received{Body: d.subject.Body, Account: d.subject.Account}
	if d.subject.Format == EventBridge {
		received.Format = envelope.EventBridge
	}
	opened, err := d.opener.Open(ctx, received, envelope.Step{
		Now:           d.now,
		KeepEncrypted: d.policy.Decrypter != nil, // it is claimed before it is decrypted
		Admit: func(signedAt time.Time) (maxAge time.Duration, why string) {
			if p, why = d.permits(signedAt); p != nil {
				return anyAge, ""
			}
			return 0, why
		},
	})
	if err != nil {
		verdict := asVerdict(err)
		if !verdict.BundleExpires.IsZero() {
			d.result.BundleExpires = verdict.BundleExpires
		}
		return d.explain(verdict)
	}
	return d.accept(opened, p)
}

// accept takes note of an event that was verified, under the permission p, or under none if p is nil.
// Producer and permission are part of the claim, so they must stay the same when the event is opened again.
func (d *handling) accept(opened *envelope.Opened, p *Permission) *envelope.Error {
	d.result.BundleExpires = opened.BundleExpires
	switch {
	case d.opened == nil:
	case d.opened.Producer != opened.Producer:
		return d.because(envelope.ReasonTrustUnavailable, "the trust bundle changed in between", nil)
	case d.permission != p:
		return d.because(envelope.ReasonInProgress, "its permission ended in between", nil)
	}
	d.opened, d.encrypted, d.permission = opened, opened.Encryption != nil, p
	if d.until.IsZero() {
		d.until = d.claimUntil()
	}
	ev := &opened.Event
	d.key = eventKey(d.name, "", opened)
	d.result.IdempotencyKey = hex.EncodeToString(d.key[:])
	d.result.Producer, d.result.SignedAt = opened.Producer, opened.SignedAt
	d.result.Source, d.result.Type, d.result.ID = ev.Source(), ev.Type(), ev.ID()
	if p != nil {
		d.result.Permission = p.ID
	}
	if p != nil && p.ReplayName != "" { // an archive replay is claimed once more, in a slot of its own
		d.key = eventKey(d.name, p.ID, opened)
	}
	return nil
}

// sealed is the time by which freshness is judged: the time of the verdict, for an event that signs none.
func (d *handling) sealed() time.Time {
	if d.opened.SignedAt.IsZero() {
		return d.judged
	}
	return d.opened.SignedAt
}

// eventKey is what makes an event one event for a consumer: who sealed it, source and ID; and the slot, which
// is the permission under which it is handled once more, or "".
//
// A foreign payload names no producer. If several producers signed it, an attacker who removes signatures
// decides which one seems to have sealed it. So the producer is left out, or each of them would have a claim
// of its own. That alone would let a second producer use up the IDs of the first: the content is part of the
// key.
func eventKey(consumer, slot string, o *envelope.Opened) [32]byte {
	parts := []string{consumer, slot, o.Producer, o.Event.Source(), o.Event.ID()}
	if o.Foreign {
		content := o.ContentDigest()
		parts = []string{consumer, slot, "foreign", o.Event.Source(), o.Event.ID(), hex.EncodeToString(content[:])}
	}
	var b []byte
	for _, p := range parts { // each behind its length, so that no two lists of parts give the same bytes
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	return sha256.Sum256(b)
}

// take claims the event.
func (d *handling) take(ctx context.Context) *envelope.Error {
	if enter := inhand.From(ctx); enter != nil && !enter(d.key) {
		d.parked = true
		return d.because(envelope.ReasonInProgress, "another message of the same batch has it in hand", nil)
	}
	claim, status, err := d.store.Claim(ctx, d.key, d.opened.ContentDigest(), d.until, d.opts.Lease)
	switch {
	case err != nil:
		return d.because(envelope.ReasonStoreUnavailable, err.Error(), err)
	case status == replay.New:
		d.claim, d.held = claim, true
		if d.taken.IsZero() {
			d.taken = d.now()
		}
		return nil
	case status == replay.Held:
		return d.because(envelope.ReasonInProgress, "", nil)
	case status == replay.Completed:
		return d.because(envelope.ReasonReplayed, "", nil)
	case status == replay.CompletedOther:
		return d.because(envelope.ReasonIDReused, "", nil)
	}
	return d.because(envelope.ReasonStoreUnavailable, fmt.Sprintf("the store answered %v", status), nil)
}

// settle decrypts, and makes sure that verdict and lease are of this moment. Between any two steps the
// process may have been frozen for hours, in which the event went stale, its key expired, and its claim went
// to another worker. A key management service may be slow, too. An event that is opened again is decrypted
// again, with the cached content key.
func (d *handling) settle(ctx context.Context) *envelope.Error {
	for range settleRounds {
		now := d.now()
		switch {
		case now.Sub(d.judged) >= d.opts.Lease/2 || !d.fresh(now):
			if verdict := d.open(ctx); verdict != nil {
				return verdict
			}
			if verdict := d.renew(ctx); verdict != nil {
				return verdict
			}
		case d.opened.IsEncrypted():
			opened, err := d.opened.Decrypt(ctx, d.policy.Decrypter)
			if err != nil {
				return asVerdict(err)
			}
			d.opened = opened
		default:
			return nil
		}
	}
	return d.because(envelope.ReasonInProgress,
		"the clock keeps jumping: no verdict and no lease is of this moment", nil)
}

func (d *handling) fresh(now time.Time) bool {
	o := d.opened
	if !o.ExpiresAt.IsZero() && !now.Before(o.ExpiresAt) {
		return false
	}
	if d.permission != nil {
		return d.lives(d.permission)
	}
	return !now.After(d.sealed().Add(d.policy.MaxAge))
}

// renew renews the lease, or claims the event anew if it was lost.
func (d *handling) renew(ctx context.Context) *envelope.Error {
	err := d.store.Renew(ctx, d.claim, d.opts.Lease)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, replay.ErrClaimLost):
		d.held = false
		return d.take(ctx)
	}
	return d.because(envelope.ReasonStoreUnavailable, err.Error(), err)
}

// handle calls the handler and judges its error.
func (d *handling) handle(ctx context.Context) *envelope.Error {
	err := d.call(ctx)
	if err == nil {
		return nil
	}
	if u, ok := err.(*unfit); ok {
		return d.because(envelope.ReasonSchemaInvalid, clip(u.Error()), err)
	}
	err = d.discreet(err)
	return d.because(envelope.ReasonHandlerFailed, clip(textOf(err)), err)
}

// call calls the handler, whose panic is an error. The lease is renewed until the handler returns, however it
// ends, and not after it. A cancelled context does not end the renewing: the handler may still finish what it
// began, and meanwhile no other worker may begin the same.
func (d *handling) call(ctx context.Context) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		d.keep(running, cancel)
	}()
	defer func() {
		stop()
		<-kept
		cancel(nil)
	}()
	// settle has just read it; a reading here would let a freeze come between its verdict and the call
	d.called = d.latest
	defer func() { d.returned = d.now() }()
	return protect(func() error {
		return d.handler(ctx, Delivery[[]byte]{
			Opened: d.opened, Data: d.opened.Event.Data(),
			IdempotencyKey: d.result.IdempotencyKey, Permission: d.result.Permission,
		})
	})
}

// keep renews the lease for as long as the handler runs. A lease only makes others wait: the token decides
// who completes. It renews every third of a lease, since settle may leave only half of one.
func (d *handling) keep(running context.Context, cancel context.CancelCauseFunc) {
	each := d.opts.Lease / 3
	tick := time.NewTicker(each)
	defer tick.Stop()
	for {
		select {
		case <-running.Done():
			return
		case <-tick.C:
		}
		ctx, done := context.WithTimeout(running, each)
		err := d.store.Renew(ctx, d.claim, d.opts.Lease)
		done()
		if errors.Is(err, replay.ErrClaimLost) {
			cancel(err)
			return
		}
	}
}

// protect makes a panic of do its error. It takes a call that did not return for a panic, and does not ask
// recover: under GODEBUG=panicnil=1 that says nothing of a panic(nil), which would pass for success.
func protect(do func() error) (err error) {
	returned := false
	defer func() {
		if v := recover(); !returned {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	err = do()
	returned = true
	return err
}

// textOf is the text of an error of the handler or the quarantine. Its method may panic, as that of a nil
// pointer in an error often does. fmt writes that down, so that it does not end the process and the rest of a
// batch.
func textOf(err error) string { return fmt.Sprint(err) }

// complete completes the claim, also if the context was cancelled, because the effect is there. One failure
// is tried again at once, since it may cost a second effect. After that the lease expires: it is not
// released.
func (d *handling) complete(ctx context.Context) *envelope.Error {
	d.held = false
	var err error
	for range 2 {
		// Each attempt has a time of its own: the first may have waited for an answer until its own was up.
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
		err = d.store.Complete(attempt, d.claim, d.until)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, replay.ErrClaimLost) {
			return d.because(envelope.ReasonInProgress, "it was handled, but another worker has taken it over", err)
		}
	}
	return d.because(envelope.ReasonStoreUnavailable,
		"it was handled, but that could not be recorded: "+err.Error(), err)
}

// release frees a claim that was not completed. If that fails, its lease expires.
func (d *handling) release(ctx context.Context) {
	if !d.held {
		return
	}
	d.held = false
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err := d.store.Release(ctx, d.claim); err != nil {
		d.opts.Logger.WarnContext(ctx, "sealbus: a claim was not released, its lease must lapse", "consumer",
			d.name, "error", err)
	}
}

// refuse does what the class of the verdict says.
func (d *handling) refuse(ctx context.Context, verdict *envelope.Error) error {
	d.result.Verdict = verdict
	switch verdict.Reason.Class() {
	case envelope.Done:
		d.result.Outcome = Duplicate
		return nil
	case envelope.Transient:
		d.result.Outcome = Retry
		return verdict
	}
	if m := d.migrationOf(verdict); m != nil {
		return d.migrate(ctx, m, verdict)
	}
	return d.quarantine(ctx, verdict)
}

// because is a verdict of this package.
func (d *handling) because(reason envelope.Reason, cause string, err error) *envelope.Error {
	return &envelope.Error{
		Reason: reason, Cause: cause, Err: err,
		UnverifiedID: d.result.ID, UnverifiedSource: d.result.Source, UnverifiedType: d.result.Type,
	}
}

// asVerdict is the *envelope.Error that opening ends with. Anything else says nothing about the event.
func asVerdict(err error) *envelope.Error {
	if verdict, ok := errors.AsType[*envelope.Error](err); ok {
		return verdict
	}
	return &envelope.Error{Reason: envelope.ReasonTrustUnavailable, Cause: err.Error(), Err: err}
}
