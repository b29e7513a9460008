package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
)

// defaultBatch is how many events a batch may have: they are handled one after the other, while the sender
// waits.
const defaultBatch = 100

// EventOptions adjust an EventReceiver. The zero value is the strict one.
type EventOptions struct {
	// MaxBody is the most bytes of a body, a batch included; 0 = DefaultMaxBody.
	MaxBody int
	// MaxBatch is the most events in a batch, up to 1,000; 0 = 100. A larger batch is answered 413.
	MaxBatch int
	// Budget bounds the bodies in flight. Receivers that share it are bounded together. ServeHTTP waits for
	// room, for 2 s at most; then the answer is 503. nil = one of its own, of DefaultBudget.
	Budget *Budget
	// ReadTimeout is how long a body may take to arrive; 0 = 10 s. Only ServeHTTP reads bodies.
	ReadTimeout time.Duration

	// Origins are the senders that the handshake permits, and the only ones that are then taken. nil = there
	// is no handshake: OPTIONS is answered 405, and a sender needs no name.
	Origins []Origin
	// CallbackHosts are the hosts, with a port if it is not 443, to which a permission may be sent if a
	// sender asks for that. nil = none: the permission is in the answer.
	CallbackHosts []string

	Logger *slog.Logger     // has callbacks that failed; nil = slog.Default()
	Now    func() time.Time // the wall clock, for the rates of Origins; nil = time.Now
}

// EventReceiver takes sealed events over HTTP, in structured, binary and batch mode, whatever front end they
// came by. Each event goes through consumer.Consumer.Handle. It is an http.Handler, and the Receiver of
// awslambda. It is safe for concurrent use.
type EventReceiver struct {
	consumer *consumer.Consumer
	handler  consumer.Handler
	opts     EventOptions
	origins  map[string]*meter
	callback http.RoundTripper
}

// Events makes the receiver of a consumer. Its answer to one event:
//
//	204       handled, or a duplicate of one that was
//	202       rejected for good, and the quarantine has it
//	409, 503  not handled now: in progress, or something is unavailable; Retry-After says when to try again
//	400, 401, 403, 413  rejected for good, by its Reason, and the consumer has no quarantine
//	405, 415, 429       another method; not a sealed event; over the rate of the sender
//
// A batch is an array of events, which are handled one after the other. Its answer has a status for each of
// them in JSON: {"status":503,"events":[{"status":204},{"status":503,"reason":"handler_failed"}]}. The status
// of the answer is 503 if any event must be sent again: send the whole batch then, and those that were
// handled are duplicates. Otherwise it is that of the first event that was rejected, else 200. A body that is
// no array of objects, or of too many, is refused before any event is handled: 400, 413.
//
// Anyone who can reach the receiver can fill the quarantine with forgeries. On the open Internet a consumer
// without one is the better choice: the sender is told.
func Events(c *consumer.Consumer, handler consumer.Handler, opts *EventOptions) (*EventReceiver, error) {
	e := &EventReceiver{consumer: c, handler: tolled(handler)}
	if opts != nil {
		e.opts = *opts
	}
	e.callback = guardFor(0, e.opts.CallbackHosts...)
	o := &e.opts
	switch {
	case c == nil || c.Name() == "":
		return nil, errors.New("webhook: no consumer: consumer.New makes one")
	case handler == nil:
		return nil, errors.New("webhook: no handler")
	case o.MaxBody < 0:
		return nil, fmt.Errorf("webhook: MaxBody is %d: give a number of bytes, or 0 for %d", o.MaxBody,
			DefaultMaxBody)
	case o.MaxBatch < 0 || o.MaxBatch > wire.MaxBatch:
		return nil, fmt.Errorf("webhook: MaxBatch is %d: give at most %d events, or 0 for %d", o.MaxBatch,
			wire.MaxBatch, defaultBatch)
	case o.ReadTimeout < 0:
		return nil, fmt.Errorf("webhook: a ReadTimeout of %v: give a duration, or 0 for %v", o.ReadTimeout,
			defaultReadTimeout)
	case len(o.CallbackHosts) > 0 && len(o.Origins) == 0:
		return nil, errors.New("webhook: CallbackHosts without Origins: nothing is permitted by a callback")
	}
	o.setDefaults()
	if o.Budget.limit < int64(o.MaxBody) {
		return nil, fmt.Errorf("webhook: a Budget of %d bytes, less than one body of %d", o.Budget.limit,
			o.MaxBody)
	}
	if err := nilcheck.Logger("Logger", o.Logger); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	var err error
	if e.origins, err = newMeters(o.Origins); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return e, nil
}

func (o *EventOptions) setDefaults() {
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.MaxBatch == 0 {
		o.MaxBatch = defaultBatch
	}
	if o.Budget == nil {
		o.Budget = &Budget{limit: max(DefaultBudget, int64(o.MaxBody))}
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
	o.CallbackHosts = slices.Clone(o.CallbackHosts)
}

// Receive answers one request. It also flushes the consumer's observer, because on Lambda the process may be
// frozen after it. The judging time is not used: a consumer judges by its own clock.
func (e *EventReceiver) Receive(ctx context.Context, r Request, _ time.Time) Response {
	in, resp := e.admit(ctx, r)
	if resp.Status != 0 {
		return resp
	}
	held := int64(len(r.Body))
	switch {
	case held > int64(e.opts.MaxBody):
		return refused(envelope.ReasonTooLarge, errTooLarge)
	case !e.opts.Budget.take(held, new(int64)):
		return refusal(http.StatusServiceUnavailable, "", retryAfter, errBusy)
	}
	defer e.opts.Budget.give(held)
	resp = e.handle(ctx, in)
	if err := e.consumer.Flush(ctx); err != nil {
		e.opts.Logger.WarnContext(ctx, "sealbus: the observer was not flushed", "consumer", e.consumer.Name(),
			"error", err)
	}
	return resp
}

// ServeHTTP answers the request. It reads the body once, within the limits, if it does not refuse the request
// before.
func (e *EventReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setReadDeadline(w, e.opts.ReadTimeout)
	in, resp := e.admit(r.Context(), FromHTTP(r, nil))
	if resp.Status == 0 {
		const late = http.StatusRequestTimeout
		resp = withBody(w, r, e.opts.MaxBody, e.opts.Budget, late, func(body []byte) Response {
			in.Body = body
			return e.handle(r.Context(), in)
		})
	}
	resp.Write(w)
}

// admitted is a request that may have events.
type admitted struct {
	Request
	mode wire.HTTPMode
	from *meter // of its origin; nil = there are no Origins
}

// admit is what can be said without the body. A Response without a Status = the request is admitted.
func (e *EventReceiver) admit(ctx context.Context, r Request) (admitted, Response) {
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		return admitted{}, e.handshake(ctx, r)
	default:
		return admitted{}, e.notAllowed()
	}
	for i := range r.Header {
		f := &r.Header[i]
		if strings.EqualFold(f.Name, "Content-Encoding") && !strings.EqualFold(f.Value, "identity") {
			resp := refusal(http.StatusUnsupportedMediaType, "", 0, errors.New("the body is encoded"))
			resp.Header = append(resp.Header, Field{"Accept-Encoding", "identity"})
			return admitted{}, resp
		}
	}
	// A second line of the type is malformed. So is an empty one, which binary mode would take for none.
	contentType, err := r.HeaderValue("Content-Type")
	if err != nil {
		return admitted{}, refused(ReasonOf(err), err)
	}
	mode := wire.HTTPModeOf(contentType)
	isEvent := func(f Field) bool { return strings.EqualFold(f.Name, "ce-specversion") }
	if mode == wire.UnknownMode || mode == wire.BinaryMode && !slices.ContainsFunc(r.Header, isEvent) {
		return admitted{}, refusal(http.StatusUnsupportedMediaType, "", 0,
			fmt.Errorf("no CloudEvent in a form that is read: the content type is %.80q", contentType))
	}
	if len(e.origins) == 0 {
		return admitted{r, mode, nil}, Response{}
	}
	name, err := r.HeaderValue(requestOrigin)
	from := e.origins[name]
	if err != nil || from == nil {
		return admitted{}, refusal(http.StatusForbidden, "", 0, errNoOrigin)
	}
	if wait := from.Wait(e.opts.Now()); wait > 0 {
		return admitted{}, refusal(http.StatusTooManyRequests, "", wait, errOverRate)
	}
	return admitted{r, mode, from}, Response{}
}

// handle takes the events of a request through the consumer, and counts the request for the rate of its
// origin.
func (e *EventReceiver) handle(ctx context.Context, r admitted) Response {
	cost := &toll{meter: r.from, now: e.opts.Now}
	if r.from != nil {
		ctx = context.WithValue(ctx, tollKey{}, cost)
	}
	var results []eventResult
	var resp Response
	switch r.mode {
	case wire.BatchMode:
		resp, results = e.handleBatch(ctx, r.Body)
	case wire.StructuredMode:
		results = append(results, e.handleEvent(ctx, consumer.CloudEvent, r.Body))
	default:
		header := make(map[string][]string, len(r.Header))
		for _, f := range r.Header {
			header[f.Name] = append(header[f.Name], f.Value)
		}
		results = append(results, e.handleEvent(ctx, consumer.HTTP, envelope.HTTPMessage(header, r.Body)))
	}
	authentic := slices.ContainsFunc(results, func(r eventResult) bool { return r.authentic })
	if wait := cost.settle(authentic); wait > 0 { // none of its events was handled
		return refusal(http.StatusTooManyRequests, "", wait, errOverRate)
	}
	if r.mode == wire.BatchMode {
		return resp
	}
	return results[0].response()
}

// eventResult is what became of one event.
type eventResult struct {
	status    int
	reason    envelope.Reason // "" = handled, or the status says it all
	authentic bool
	err       error
}

func (e *EventReceiver) handleEvent(ctx context.Context, format consumer.Format, body []byte) eventResult {
	if err := context.Cause(ctx); err != nil { // the sender is gone, or the time of the invocation is up
		return eventResult{status: http.StatusServiceUnavailable, err: err}
	}
	r, err := e.consumer.Handle(ctx, consumer.Message{Body: body, Format: format, Caller: CallerOf(ctx)},
		e.handler)
	out := eventResult{http.StatusNoContent, r.Reason(), r.Producer != "", err}
	unkept, isRefused := errors.AsType[*consumer.QuarantineError](err)
	switch {
	case r.Outcome == consumer.Quarantined:
		out.status, out.reason, out.err = http.StatusAccepted, "", r.Verdict
	case err == nil:
	case isRefused && unkept.Err == nil: // there is no quarantine: the sender is told
		out.status = statusOfEvent(out.reason)
	case isRefused: // it failed: the sender keeps the event
		out.status, out.reason = http.StatusServiceUnavailable, ""
	default:
		out.status = statusOfEvent(out.reason)
	}
	return out
}

// statusOfEvent is statusOf, but for Reasons that webhooks do not have.
func statusOfEvent(r envelope.Reason) int {
	switch r {
	case envelope.ReasonIDReused, envelope.ReasonDecryptFailed: // 409 would ask for it again
		return http.StatusBadRequest
	case envelope.ReasonNotEncrypted, envelope.ReasonNotARecipient:
		return http.StatusForbidden
	}
	return statusOf(r)
}

// again reports whether the sender must send the event again.
func (r *eventResult) again() bool {
	return r.status == http.StatusServiceUnavailable || r.status == http.StatusConflict
}

func (r *eventResult) response() Response {
	wait := time.Duration(0)
	if r.again() {
		wait = retryAfter
	}
	return refusal(r.status, r.reason, wait, r.err)
}

// handleBatch finds all events before it handles the first. They share the memory of the body.
func (e *EventReceiver) handleBatch(ctx context.Context, body []byte) (Response, []eventResult) {
	events, err := wire.Split(body)
	fault, _ := errors.AsType[*wire.Error](err)
	switch {
	case len(events) > e.opts.MaxBatch || fault != nil && fault.TooLarge:
		err = fmt.Errorf("more than %d events in a batch", e.opts.MaxBatch)
		return refused(envelope.ReasonTooLarge, err), nil
	case err != nil:
		return refused(envelope.ReasonMalformed, err), nil
	}
	results := make([]eventResult, 0, len(events))
	for _, event := range events {
		results = append(results, e.handleEvent(ctx, consumer.CloudEvent, event))
	}
	return batchResponse(results), results
}

func batchResponse(results []eventResult) Response {
	worst := eventResult{status: http.StatusOK}
	if i := slices.IndexFunc(results, func(r eventResult) bool { return r.status >= 400 }); i >= 0 {
		worst = results[i]
	}
	if i := slices.IndexFunc(results, func(r eventResult) bool { return r.again() }); i >= 0 {
		worst = eventResult{status: http.StatusServiceUnavailable, err: results[i].err}
	}
	worst.reason = "" // each event has its own
	resp := worst.response()
	if worst.status == http.StatusOK {
		resp.Header = contentType("application/json")
	}
	doc := strconv.AppendInt([]byte(`{"status":`), int64(worst.status), 10)
	if worst.status != http.StatusOK {
		doc = jsontext.AppendQuote(append(doc, `,"title":`...), http.StatusText(worst.status))
	}
	doc = append(doc, `,"events":[`...)
	for i, r := range results {
		if i > 0 {
			doc = append(doc, ',')
		}
		doc = strconv.AppendInt(append(doc, `{"status":`...), int64(r.status), 10)
		if r.reason != "" {
			doc = jsontext.AppendQuote(append(doc, `,"reason":`...), string(r.reason))
		}
		doc = appendFaults(doc, r.reason, r.err)
		doc = append(doc, '}')
	}
	resp.Body = append(doc, "]}"...)
	return resp
}
