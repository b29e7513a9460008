package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

const (
	defaultLease       = 30 * time.Second // how long a delivery waits after a crash
	minLease           = time.Second
	defaultReadTimeout = 10 * time.Second
	retryAfter         = 5 * time.Second // what a sender is told to wait when something is unavailable
	finishTimeout      = 5 * time.Second // for each call of the store that ends a claim
)

// ReceiverOptions adjust a Receiver. The zero value is the strict one.
type ReceiverOptions struct {
	// ContentTypes are the media types that are taken, such as "application/json", without parameters. Others
	// are answered 415. nil = every one.
	ContentTypes []string
	// Budget bounds the bodies in flight. Receivers that share it are bounded together. ServeHTTP waits for
	// room, for 2 s at most; then the answer is 503. nil = one of its own, of DefaultBudget.
	Budget *Budget
	// ReadTimeout is how long a body may take to arrive, with its wait for room; 0 = 10 s. Only ServeHTTP reads
	// bodies.
	ReadTimeout time.Duration
	// Lease is how long a claim lives without renewal, at least 1 s; 0 = 30 s.
	Lease time.Duration
	// Limit is asked about each delivery that next is to be called with: after the signature and the replay
	// store. So neither forgeries nor copies use it up, and a sender cannot be shut out by them. A wait above
	// 0 refuses the delivery with 429 and this Retry-After. It must be safe for concurrent use. nil = no
	// limit.
	Limit func(now time.Time) (wait time.Duration)
	// Observe is told each Response, beside the log. It must be safe for concurrent use; nil = none.
	Observe func(ctx context.Context, r *Response)
	// Diagnose true: at most once a second, the log says what would have made a refused delivery pass.
	Diagnose bool
	Logger   *slog.Logger     // has each delivery, handled ones at debug level; nil = slog.Default()
	Now      func() time.Time // the wall clock; nil = time.Now

	// UnsafeNoReplayStore true: there is no replay store. A captured delivery is handled as often as an
	// attacker sends it, and one that the provider sends again, too. It is for a next that is idempotent for
	// all time.
	UnsafeNoReplayStore bool
}

// Response is the answer to one delivery. Header and Body hold nothing secret and no detail of the inside.
type Response struct {
	Status int
	Header []Field // such as Content-Type and Retry-After
	Body   []byte  // a problem (RFC 9457) if Status is not 2xx; else the answer to a challenge, or nothing

	Reason   envelope.Reason // "" = handled, or a challenge, or Status says it all (415, 429, a full Budget)
	Verified *Verified       // nil = the signature was not genuine
	Err      error           // why it was not handled, for the operator; nil = it was
}

// Receiver takes the deliveries of one endpoint, whatever front end they came by. For each it verifies the
// signature, claims the delivery in the replay store, calls next, and completes the claim. It is an
// http.Handler. It is safe for concurrent use.
type Receiver struct {
	verifier *Verifier
	store    replay.Store // nil = UnsafeNoReplayStore
	next     func(context.Context, *Verified) error
	opts     ReceiverOptions
	judged   atomic.Int64 // when the last diagnosis was made, Unix nanoseconds
}

// NewReceiver makes a Receiver.
//
// Next is called with verified deliveries, each once as far as the store can tell. It must not return before
// its work is done: the provider is answered 2xx when it has returned nil. After an error the claim is
// released, and the provider sends the delivery again. If the error has an *Error in it, its Reason decides
// the status: too_large is 413. Every other error, and a panic, is 503. Next does not keep Verified.Body.
//
// A store is required, unless UnsafeNoReplayStore says that there is none. replay.NewMemory serves one
// process.
func NewReceiver(
	v *Verifier, store replay.Store, next func(ctx context.Context, v *Verified) error, opts *ReceiverOptions,
) (*Receiver, error) {
	c := &Receiver{verifier: v, store: store, next: next}
	if opts != nil {
		c.opts = *opts
	}
	o := &c.opts
	switch {
	case v == nil || v.checker == nil:
		return nil, errors.New("webhook: no verifier: New makes one")
	case next == nil:
		return nil, errors.New("webhook: no next: give the function that handles a verified delivery")
	case store == nil && !o.UnsafeNoReplayStore:
		return nil, errors.New("webhook: no replay store: replay.NewMemory serves one process")
	case store != nil && o.UnsafeNoReplayStore:
		return nil, errors.New("webhook: a replay store and UnsafeNoReplayStore: leave one out")
	case o.Lease != 0 && o.Lease < minLease:
		return nil, fmt.Errorf("webhook: Lease is %v: give at least %v, or 0 for %v", o.Lease, minLease,
			defaultLease)
	case o.ReadTimeout < 0:
		return nil, fmt.Errorf("webhook: a ReadTimeout of %v: give a duration, or 0 for %v", o.ReadTimeout,
			defaultReadTimeout)
	case o.Budget != nil && o.Budget.limit < int64(v.MaxBody()):
		return nil, fmt.Errorf("webhook: a Budget of %d bytes, less than one body of %d", o.Budget.limit,
			v.MaxBody())
	}
	err := errors.Join(nilcheck.Typed("the replay store", store), nilcheck.Logger("Logger", o.Logger))
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if o.Budget == nil {
		o.Budget = &Budget{limit: max(DefaultBudget, int64(v.MaxBody()))}
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = defaultReadTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.ContentTypes = slices.Clone(o.ContentTypes)
	return c, nil
}

// Receive takes one delivery through all steps, as of the judging time: that of its arrival if it waited in a
// queue, else zero for now. It takes the memory of the body from the Budget.
func (c *Receiver) Receive(ctx context.Context, r Request, at time.Time) Response {
	now := c.now()
	if at.IsZero() {
		at = now
	}
	resp := c.admit(&r)
	if resp.Status == 0 {
		resp = c.receive(ctx, &r, at, now)
	}
	c.report(ctx, &r, at, &resp)
	return resp
}

// receive takes the memory of the body from the Budget.
func (c *Receiver) receive(ctx context.Context, r *Request, at, now time.Time) Response {
	held := int64(len(r.Body))
	if held > int64(c.verifier.MaxBody()) {
		return refused(envelope.ReasonTooLarge, errTooLarge)
	}
	if !c.opts.Budget.take(held, new(int64)) {
		return refusal(http.StatusServiceUnavailable, "", retryAfter, errBusy)
	}
	defer c.opts.Budget.give(held)
	return c.handle(ctx, r, at, !at.Equal(now))
}

// errSeveral is about a batch of Adyen. Its JSON notifications have one item each.
var errSeveral = errors.New("several items, each signed on its own: no replay key stands for them")

// admit is what can be said without the body; a Response without a Status = the delivery is admitted.
func (c *Receiver) admit(r *Request) Response {
	if c.opts.ContentTypes == nil {
		return Response{}
	}
	value, err := r.HeaderValue("Content-Type")
	if err != nil {
		return refused(ReasonOf(err), err)
	}
	media, _, _ := strings.Cut(value, ";")
	media = strings.Trim(media, " \t")
	if !slices.ContainsFunc(c.opts.ContentTypes, func(t string) bool { return strings.EqualFold(t, media) }) {
		return refusal(http.StatusUnsupportedMediaType, "", 0, fmt.Errorf("the content type is %.80q", media))
	}
	return Response{}
}

// handle verifies and handles a delivery whose body is in the Budget. Queued is true if it waited in a queue.
func (c *Receiver) handle(ctx context.Context, r *Request, at time.Time, queued bool) Response {
	began := c.now()
	v, err := c.verifier.Verify(ctx, *r, at)
	if err != nil {
		return refused(ReasonOf(err), err)
	}
	if v.isSeveral && c.store != nil {
		return refused(envelope.ReasonUnsupported, errSeveral)
	}
	if a := v.Answer; a != nil {
		return c.answer(ctx, v, a)
	}
	d := &delivery{Receiver: c, v: v, began: began, queued: queued}
	defer d.release(ctx) // also if next ends its goroutine
	resp := d.run(ctx, at)
	resp.Verified = v
	return resp
}

// answer answers a challenge. It is no delivery: nothing is claimed, and next is not called.
func (c *Receiver) answer(ctx context.Context, v *Verified, a *Answer) Response {
	if a.Confirm != nil {
		if err := protect(func() error { return a.Confirm(ctx) }); err != nil {
			refusal := refused(cmp.Or(ReasonOf(err), envelope.ReasonTrustUnavailable), err)
			refusal.Verified = v
			return refusal
		}
	}
	return Response{Status: cmp.Or(a.Status, http.StatusOK), Header: contentType(a.ContentType), Body: a.Body,
		Verified: v}
}

// now is the wall clock alone: the monotonic clock stands still while a process is frozen.
func (c *Receiver) now() time.Time { return c.opts.Now().Round(0) }

// statusOf is the HTTP status that tells a sender about the Reason.
func statusOf(r envelope.Reason) int {
	switch r {
	case envelope.ReasonReplayed:
		return http.StatusOK
	case envelope.ReasonMalformed, envelope.ReasonUnsupported, envelope.ReasonSchemaInvalid:
		return http.StatusBadRequest
	case envelope.ReasonTooLarge:
		return http.StatusRequestEntityTooLarge
	case envelope.ReasonInProgress, envelope.ReasonIDReused:
		return http.StatusConflict
	case envelope.ReasonSourceNotAllowed, envelope.ReasonTypeNotAllowed, envelope.ReasonAccountMismatch,
		envelope.ReasonEnvelopeMismatch, envelope.ReasonAudienceMismatch, envelope.ReasonForbidden:
		return http.StatusForbidden
	}
	if r.Class() == envelope.Transient || r == "" {
		return http.StatusServiceUnavailable
	}
	return http.StatusUnauthorized
}

// again is the status for a delivery that must be sent again. Amazon SNS takes every 4xx for final:
// https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.prepare.html
func (c *Receiver) again(status int) int {
	if c.verifier.Provider() == (sns{}).Name() {
		return http.StatusServiceUnavailable
	}
	return status
}

// Refusal is a Response with a problem (RFC 9457) as its body. Of err the body has the Reason only, and where
// data does not follow its schema. A status of 0 is that of the Reason; an error without one is then
// handler_failed, 503. Above 0, wait is Retry-After; 0 = five seconds if the Reason is transient, else none.
func Refusal(status int, wait time.Duration, err error) Response {
	reason := ReasonOf(err)
	if status == 0 {
		reason = cmp.Or(reason, envelope.ReasonHandlerFailed)
		status = statusOf(reason)
	}
	if wait == 0 && reason.Class() == envelope.Transient {
		wait = retryAfter
	}
	return refusal(status, reason, wait, err)
}

// refused is the Response for that Reason. A transient one says when to send the delivery again.
func refused(reason envelope.Reason, err error) Response {
	wait := time.Duration(0)
	if reason.Class() == envelope.Transient {
		wait = retryAfter
	}
	return refusal(statusOf(reason), reason, wait, err)
}

// refusal is a Response with a problem as its body. Of the cause, the body has the Reason only, and
// where a body does not follow its schema.
// https://www.rfc-editor.org/rfc/rfc9457#section-3
func refusal(status int, reason envelope.Reason, wait time.Duration, err error) Response {
	r := Response{Status: status, Reason: reason, Err: err}
	if wait > 0 { // RFC 9110, section 10.2.3: whole seconds
		seconds := int64((wait + time.Second - 1) / time.Second)
		r.Header = append(r.Header, Field{"Retry-After", strconv.FormatInt(seconds, 10)})
	}
	if status < 300 {
		return r
	}
	r.Header = append(r.Header, contentType("application/problem+json")...)
	r.Body = jsontext.AppendQuote([]byte(`{"title":`), http.StatusText(status))
	r.Body = strconv.AppendInt(append(r.Body, `,"status":`...), int64(status), 10)
	if reason != "" {
		r.Body = jsontext.AppendQuote(append(r.Body, `,"reason":`...), string(reason))
	}
	r.Body = appendFaults(r.Body, reason, err)
	r.Body = append(r.Body, '}')
	return r
}

func contentType(t string) []Field {
	if t == "" {
		return nil
	}
	return []Field{{"Content-Type", t}}
}

// report logs the Response, with a diagnosis if there may be one, and tells Observe.
func (c *Receiver) report(ctx context.Context, r *Request, at time.Time, resp *Response) {
	level := slog.LevelInfo
	switch {
	case resp.Status < 300 || resp.Reason == envelope.ReasonInProgress:
		level = slog.LevelDebug
	case resp.Status >= 500:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("provider", c.verifier.Provider()),
		slog.String("endpoint", c.verifier.Endpoint()), slog.Int("status", resp.Status)}
	if resp.Reason != "" {
		attrs = append(attrs, slog.String("reason", string(resp.Reason)))
	}
	if resp.Err != nil {
		attrs = append(attrs, slog.Any("error", resp.Err))
	}
	if found := c.diagnosis(ctx, r, at, resp); found != nil {
		attrs = append(attrs, slog.Any("diagnosis", found))
	}
	c.opts.Logger.LogAttrs(ctx, level, "sealbus: webhook", attrs...)
	if c.opts.Observe != nil {
		c.opts.Observe(ctx, resp)
	}
}

// diagnosis is that of a refused delivery, at most once a second: it costs several verifications, and an
// attacker chooses how many deliveries are refused.
func (c *Receiver) diagnosis(ctx context.Context, r *Request, at time.Time, resp *Response) []string {
	if !c.opts.Diagnose || resp.Reason == "" || resp.Verified != nil || resp.Status >= 500 {
		return nil
	}
	now, last := c.now().UnixNano(), c.judged.Load()
	if now-last < int64(time.Second) && now >= last || !c.judged.CompareAndSwap(last, now) {
		return nil
	}
	return c.verifier.Diagnose(ctx, *r, at)
}
