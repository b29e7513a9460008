package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/inhand"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// Bounds of one delivery.
const (
	// settleRounds is how many steps it takes to renew the verdict, and to decrypt, while the clock jumps.
	settleRounds = 6
	// finishTimeout is how long one attempt to complete or release may take, also if the context has ended.
	finishTimeout = 5 * time.Second
	// transportSkew is how far our clock may be ahead of that by which a transport says when it handed a
	// message out first. It is shorter than the time after which queues deliver a message again.
	transportSkew = 15 * time.Second
)

// Handle takes one delivery through all checks to the handler. The error is not nil exactly when the delivery
// must be made again (Outcome Retry). It wraps an *envelope.Error with the Reason. It is a *QuarantineError
// if the event is rejected for good and the quarantine failed.
//
// A panic of the handler is an error of the handler, *PanicError. If the handler succeeded but its claim
// could not be completed, the error is transient (store_unavailable, or in_progress if another worker has
// taken over): the delivery made again finds it done, or repeats the handler with the same IdempotencyKey.
func (c *Consumer) Handle(ctx context.Context, msg Message, handler Handler) (Result, error) {
	if handler == nil {
		err := errors.New("consumer: no handler")
		return Result{Consumer: c.name, Outcome: Retry, Err: err}, err
	}
	d := &delivery{Consumer: c, msg: msg, handler: handler, caller: msg.Caller}
	d.began = d.now()
	d.since = d.began
	if first := msg.FirstReceived; !first.IsZero() {
		if first = first.Add(transportSkew); first.Before(d.began) {
			d.since = first
		}
	}
	d.msg.FirstReceived, d.msg.Caller = time.Time{}, nil // they are no part of a quarantine record
	err := d.run(ctx)
	if d.parked { // the adapter handles the message again later, or has it reported
		return d.result, &inhand.Parked{Err: err, Report: func() {
			_ = protect(func() error { d.report(ctx, err); return nil })
		}}
	}
	d.report(ctx, err)
	return d.result, err
}

// delivery is one message on its way through Handle.
type delivery struct {
	*Consumer
	msg     Message
	subject Message      // what is judged: msg, or the message in the wrapper around it
	hiding  wrapper.Kind // the wrapper around subject, if its account does not count; "" = none
	caller  Caller       // nil = everyone
	handler Handler
	result  Result

	clock                          time.Time // the latest reading: it never runs backwards within a delivery
	began, taken, called, returned time.Time // zero = the delivery did not get so far
	since                          time.Time // a check of the trust bundle since then is recent enough

	reopened string // the quarantine from which msg was reopened; "" = none

	opened     *envelope.Opened
	follows    bool        // the data follows its schema
	encrypted  bool        // the data was encrypted; kept here, because a handler may change opened
	permission *Permission // the one that admitted opened; nil = none
	covers     *Permission // the one that covers the event which is being opened; nil = none
	judged     time.Time   // when the verdict on opened began; the lease was renewed after it
	sealed     time.Time   // the time by which freshness is judged: judged, if the event signs no time
	until      time.Time   // how long the claim is remembered
	claim      replay.Claim
	held       bool                    // the claim is ours to complete or release
	renewing   atomic.Pointer[renewal] // of the lease, while the handler runs; nil = it has not begun
	// parked: another message of the same batch has the event in hand, so the adapter calls Handle again
	// later.
	parked bool
}

// run takes the message through all steps, each of which relies on those before it. Then it does what the
// class of the verdict says.
func (d *delivery) run(ctx context.Context) error {
	// The claim is released after the quarantine has the event, so that reopening works. It is deferred in
	// case a callback ends its goroutine.
	defer d.release(ctx)
	verdict := d.reopen()
	if verdict == nil {
		verdict = d.unwrap()
	}
	if verdict == nil {
		verdict = d.open(ctx)
	}
	if verdict == nil {
		if refusal := d.askCaller(d.result.Source, d.result.Type); refusal != nil { // the event is not at fault
			d.result.Outcome, d.result.Verdict = Retry, refusal
			return refusal
		}
		verdict = d.claimEvent(ctx)
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
	d.result.Verdict = verdict
	switch verdict.Reason.Class() {
	case envelope.Done:
		d.result.Outcome = Duplicate
		return nil
	case envelope.Transient:
		d.result.Outcome = Retry
		return verdict
	}
	// The Reason is permanent.
	if migrating, err := d.migrate(ctx, verdict); migrating {
		return err
	}
	return d.quarantine(ctx, verdict)
}

// now is the wall clock, or its latest reading in this delivery if that is later. The monotonic clock is of
// no use: it stands still while a process is frozen.
func (d *delivery) now() time.Time {
	now := d.policy.Now().Round(0)
	for latest := d.latest.Load(); now.UnixNano() > latest; latest = d.latest.Load() {
		if d.latest.CompareAndSwap(latest, now.UnixNano()) {
			break
		}
	}
	if now.After(d.clock) {
		d.clock = now
	}
	return d.clock
}

// open verifies the message as of now, under a permission if one covers it.
func (d *delivery) open(ctx context.Context) *envelope.Error {
	d.judged = d.now()
	received := envelope.Received{Body: d.subject.Body, Account: d.subject.Account,
		EventBridge: d.subject.Format == EventBridge, HTTP: d.subject.Format == HTTP}
	step := envelope.Step{
		Now: d.now, Since: d.since,
		KeepEncrypted: d.policy.Decrypter != nil, // the event is claimed before it is decrypted
	}
	if d.covers = nil; d.subject.ReplayName != "" || d.reopened != "" { // nothing else is under a permission
		step.Admit = func(signedAt time.Time) (maxAge time.Duration, why string) {
			if d.covers, why = d.permits(signedAt); d.covers != nil {
				return noAgeLimit, ""
			}
			return 0, why
		}
	}
	opened, err := d.opener.Open(ctx, received, step)
	p := d.covers
	if err != nil {
		verdict := asVerdict(err)
		if !verdict.BundleExpires.IsZero() {
			d.result.BundleExpires = verdict.BundleExpires
		}
		return d.explain(verdict)
	}
	d.result.BundleExpires = opened.BundleExpires
	switch { // the claim contains the producer and the permission, so they must be those of the first verdict
	case d.opened == nil:
	case d.opened.Producer != opened.Producer:
		return d.because(envelope.ReasonTrustUnavailable, "the trust bundle changed in between", nil)
	case d.permission != p:
		return d.because(envelope.ReasonInProgress, "its permission ended in between", nil)
	}
	d.opened, d.encrypted, d.permission, d.sealed = opened, opened.Encryption != nil, p, opened.SignedAt
	if d.sealed.IsZero() {
		d.sealed = d.judged
	}
	ev, r := &opened.Event, &d.result
	r.Producer, r.SignedAt = opened.Producer, opened.SignedAt
	if r.TaintedKeyID = ""; len(opened.TaintedKeyIDs) > 0 {
		r.TaintedKeyID = opened.TaintedKeyIDs[0]
	}
	r.Source, r.Type, r.ID = ev.Source(), ev.Type(), ev.ID()
	if p != nil {
		r.Permission = p.ID
	}
	return nil
}

// askCaller judges whether the caller may speak for an event.
func (d *delivery) askCaller(source, typ string) *envelope.Error {
	if d.caller == nil {
		return nil
	}
	err := protect(func() error { return d.caller.Check(source, typ) })
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*envelope.Error](err); ok {
		return d.because(e.Reason, e.Cause, err)
	}
	return d.because(envelope.ReasonHandlerFailed, "the caller could not be judged", d.discreet(err))
}

// claimEvent claims the event in the replay store.
func (d *delivery) claimEvent(ctx context.Context) *envelope.Error {
	key := d.eventKey("")
	var text [2 * sha256.Size]byte
	d.result.IdempotencyKey = string(hex.AppendEncode(text[:0], key[:]))
	if p := d.permission; p != nil && p.ReplayName != "" { // an archive replay is handled once more
		key = d.eventKey(p.ID)
	}
	if d.until.IsZero() {
		d.until = d.claimUntil()
	}
	if enter := inhand.From(ctx); enter != nil && !enter(key) {
		d.parked = true
		return d.because(envelope.ReasonInProgress, "another message of the same batch has it in hand", nil)
	}
	claim, status, err := d.store.Claim(ctx, key, d.opened.ContentDigest(), d.until, d.opts.Lease)
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

// eventKey is what makes the event one event for a consumer: who sealed it, source and ID; and the slot,
// which is the permission under which it is handled once more, or "".
//
// A foreign payload names no producer. If several producers signed it, an attacker who removes signatures
// decides which one seems to have sealed it. So the producer is left out, or each of them would have a claim
// of its own. That alone would let a second producer use up the IDs of the first: the content is part of the
// key.
func (d *delivery) eventKey(slot string) [32]byte {
	r := &d.result
	parts := []string{d.name, slot, r.Producer, r.Source, r.ID}
	if d.opened.Foreign {
		content := d.opened.ContentDigest()
		parts = []string{d.name, slot, "foreign", r.Source, r.ID, hex.EncodeToString(content[:])}
	}
	b := make([]byte, 0, 512) // that of most events fits
	for _, p := range parts { // each behind its length, so that no two lists of parts give the same bytes
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(p))), p...)
	}
	return sha256.Sum256(b)
}

// settle decrypts, and makes sure that the verdict and the lease are of this moment. Between any two steps
// the process may have been frozen for hours. Meanwhile the event went stale, its key expired, or another
// worker claimed it. A key management service may be slow, too. An event that is judged again is decrypted
// again, with the cached content key.
func (d *delivery) settle(ctx context.Context) *envelope.Error {
	for range settleRounds {
		now, ends, p := d.now(), d.opened.ExpiresAt, d.permission
		stale := now.Sub(d.judged) >= d.opts.Lease/2 || !ends.IsZero() && !now.Before(ends) ||
			p == nil && now.After(d.sealed.Add(d.policy.MaxAge)) || p != nil && d.hasEnded(p.Until)
		switch {
		case stale:
			if verdict := d.open(ctx); verdict != nil {
				return verdict
			}
			err := d.store.Renew(ctx, d.claim, d.opts.Lease)
			if errors.Is(err, replay.ErrClaimLost) {
				d.held = false
				if verdict := d.claimEvent(ctx); verdict != nil {
					return verdict
				}
			} else if err != nil {
				return d.because(envelope.ReasonStoreUnavailable, err.Error(), err)
			}
		case d.opened.IsEncrypted():
			opened, err := d.opened.Decrypt(ctx, d.policy.Decrypter)
			if err != nil {
				return asVerdict(err)
			}
			d.opened = opened
		case !d.follows:
			if verdict := d.validate(); verdict != nil {
				return verdict
			}
			d.follows = true // an event that is judged again has the same data
		default:
			return nil
		}
	}
	return d.because(envelope.ReasonInProgress,
		"the clock keeps jumping: no verdict and no lease is of this moment", nil)
}

// validate judges the data by its schemas. It runs within settle, so that the time that it takes counts when
// settle asks whether verdict and lease are of this moment.
func (d *delivery) validate() *envelope.Error {
	if d.opts.Schemas == nil && d.caller == nil {
		return nil
	}
	ev := &d.opened.Event
	doc := envelope.Document{Type: ev.Type(), DataSchema: ev.DataSchema(),
		ContentType: ev.DataContentType(), Data: ev.Data()}
	err := protect(func() error {
		if d.opts.Schemas != nil {
			if err := d.opts.Schemas.Validate(doc); err != nil || d.caller == nil {
				return err
			}
		}
		return d.caller.Validate(doc)
	})
	if err == nil {
		return nil
	}
	if invalid, ok := err.(*envelope.SchemaError); ok && invalid != nil { // it quotes nothing of the data
		return d.because(envelope.ReasonSchemaInvalid, clip(invalid.Error()), invalid)
	}
	err = d.discreet(err)
	return d.because(envelope.ReasonHandlerFailed, clip("the schema could not be asked: "+fmt.Sprint(err)), err)
}

// handle calls the handler and judges its error.
func (d *delivery) handle(ctx context.Context) *envelope.Error {
	err := d.callHandler(ctx)
	if err == nil {
		return nil
	}
	if u, ok := err.(*unfit); ok {
		return d.because(envelope.ReasonSchemaInvalid, clip(u.Error()), err)
	}
	err = d.discreet(err)
	// The Error method of a handler's error may panic, as that of a nil pointer often does. Sprint writes
	// that down, so that it does not end the process and the rest of a batch.
	return d.because(envelope.ReasonHandlerFailed, clip(fmt.Sprint(err)), err)
}

// callHandler calls the handler. The lease is renewed until the handler returns, however it ends, and not
// after that. A cancelled context does not end the renewing: the handler may still finish what it began, and
// meanwhile no other worker may begin the same.
func (d *delivery) callHandler(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	first := time.AfterFunc(d.opts.Lease/3, func() { d.keep(ctx, cancel) })
	defer func() {
		first.Stop()
		if begun := d.renewing.Swap(handlerReturned); begun != nil {
			begun.stop()
			<-begun.ended
		}
		cancel(nil)
	}()
	// settle has just read the clock. Reading it here would let a freeze come between its verdict and the
	// call.
	d.called = d.clock
	defer func() { d.returned = d.now() }()
	return protect(func() error {
		return d.handler(ctx, Delivery[[]byte]{
			Opened: d.opened, Data: d.opened.Event.Data(),
			IdempotencyKey: d.result.IdempotencyKey, Permission: d.result.Permission,
		})
	})
}

// renewal is the renewing of one lease, once it has begun.
type renewal struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when the claim is no longer used
}

// handlerReturned takes the place of a renewal: none may begin any more.
var handlerReturned = &renewal{}

// keep renews the lease for as long as the handler runs. A lease only makes others wait: the token decides
// who completes. It renews every third of a lease, since settle may leave only half of one. Most handlers
// return before the first third has passed. So a timer calls keep then, and until then there is no goroutine.
func (d *delivery) keep(ctx context.Context, cancel context.CancelCauseFunc) {
	each := d.opts.Lease / 3
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	this := &renewal{stop: stop, ended: make(chan struct{})}
	defer close(this.ended)
	if !d.renewing.CompareAndSwap(nil, this) {
		return // the handler returned in the same moment
	}
	tick := time.NewTicker(each)
	defer tick.Stop()
	for running.Err() == nil {
		err := d.renew(running, each)
		if errors.Is(err, replay.ErrClaimLost) {
			cancel(err)
			return
		}
		select {
		case <-running.Done():
		case <-tick.C:
		}
	}
}

// renew renews the lease once. A panic of the store is its error: no caller can recover it here, and it would
// end the process with all that is in hand.
func (d *delivery) renew(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := protect(func() error { return d.store.Renew(ctx, d.claim, d.opts.Lease) })
	if _, panicked := err.(*PanicError); panicked {
		_ = protect(func() error { // the logger may panic, too
			d.opts.Logger.WarnContext(ctx, "sealbus: the replay store panicked when a lease was renewed",
				"consumer", d.name, "error", err)
			return nil
		})
	}
	return err
}

// complete completes the claim, also if the context was cancelled, because the effect is there. One failure
// is tried again at once, since it may cost a second effect. After that the lease expires: it is not
// released.
func (d *delivery) complete(ctx context.Context) *envelope.Error {
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
			return d.because(envelope.ReasonInProgress, "it was handled, but its claim is no longer ours: "+
				"another worker took it over, or the first answer was lost", err)
		}
	}
	return d.because(envelope.ReasonStoreUnavailable,
		"it was handled, but that could not be recorded: "+err.Error(), err)
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
		d.opts.Logger.WarnContext(ctx, "sealbus: a claim was not released, its lease must expire", "consumer",
			d.name, "error", err)
	}
}

// because is a verdict of this package.
func (d *delivery) because(reason envelope.Reason, cause string, err error) *envelope.Error {
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
