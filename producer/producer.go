// Package producer seals events and puts them on a bus, and says of each event what became of it.
//
// A bus is anything that implements the one method of Bus; LocalBus is one inside the process, for tests and
// for trying things out.
//
// Threats: whoever carries the events (they are sealed before they leave); an error that goes unnoticed (one
// Result for each event, in order, whatever the bus answers). Not stopped: whoever holds the keys.
//
//	ring, err := keys.OpenKeyring("orders.keyring", passphrase)
//	p, err := producer.New(ring, bus, &producer.Options{Audience: "central"})
//	results, err := p.Publish(ctx, events...) // *producer.PublishError: some were not published
//
// Stable: New, Publish, Result, PublishError, Bus, OutcomeBus, WithTrace.
package producer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
)

// Bus sends sealed events. Send returns one error for each event, in their order: nil means that the bus has
// accepted the event. It is not changed by Send, which is safe for concurrent use. A Bus that cannot tell
// which of them were accepted says of each that it was not: events are handled once, whatever is sent twice.
type Bus interface {
	Send(ctx context.Context, events []*envelope.Sealed) []error
}

// OutcomeBus is a Bus that also tells which events may be on the bus twice. Publish asks it by SendOutcomes.
type OutcomeBus interface {
	Bus
	// SendOutcomes is Send, with one Outcome for each event, in their order.
	SendOutcomes(ctx context.Context, events []*envelope.Sealed) []Outcome
}

// Outcome is what became of one event that a bus was given.
type Outcome struct {
	Err        error // nil: the bus has accepted it
	MaybeTwice bool  // see Result.MaybeTwice
}

// Errors of single events.
var (
	// ErrNotSent means that the event was not given to the bus: the context was cancelled before, or the bus
	// could not be reached.
	ErrNotSent = errors.New("producer: the event was not sent")
	// ErrNoAnswer means that the bus did not say what became of the event: it may or may not be on the bus.
	ErrNoAnswer = errors.New("producer: the bus gave no answer for the event")
)

// sendBatch is how many events are sealed and sent at a time: so many may be sealed in vain when the context
// is cancelled, and so old is the first signature when they leave.
const sendBatch = 100

// Options adjust a Producer. The zero value seals for anybody, without end.
type Options struct {
	Audience       string                            // space-separated names of who may open the events; "" = each event's own, or anybody
	Expires        time.Duration                     // life from the moment of sealing; 0 = each event's own expirytime, or none
	Exact          bool                              // true: data goes byte for byte, in base64 (+33 %)
	ExtensionTypes map[string]envelope.AttributeType // names of extensions that may be Binary; consumers declare them too
	Encrypt        *envelope.Encrypter               // whom the data is encrypted to; nil = it is not encrypted
	EncryptFields  []string                          // JSON Pointers of the members to encrypt, all of which each event has; nil = all of the data
	// Trace is the W3C trace context to publish under, as a tracer keeps it in ctx; nil = that of WithTrace.
	Trace func(ctx context.Context) (traceparent, tracestate string)
	Now   func() time.Time // the wall clock; nil = time.Now

	// KeepRecordedTime is for a forwarder of events that have a recordedtime: it becomes
	// originalrecordedtime. false: such events are refused.
	KeepRecordedTime bool
}

// Producer publishes events. It is safe for concurrent use.
type Producer struct {
	ring keys.SignerSource
	bus  Bus
	opts Options
}

// scoped is a keys.SignerSource that records what its producer may say, as a *keys.Keyring can.
type scoped interface {
	AllowsSource(source string) bool
	AllowsType(typ string) bool
}

// New makes a producer that signs with what ring has at the time and sends to bus.
// If ring records the producer's scope, events outside of it are refused: no consumer would take them.
func New(ring keys.SignerSource, bus Bus, opts *Options) (*Producer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case ring == nil:
		return nil, errors.New("producer: no keys to sign with")
	case bus == nil:
		return nil, errors.New("producer: no bus")
	case o.Expires < 0:
		return nil, fmt.Errorf("producer: events cannot live for %v", o.Expires)
	}
	err := errors.Join(nilcheck.Typed("the keys to sign with", ring), nilcheck.Typed("the bus", bus))
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if err := envelope.CheckExtensionTypes(o.ExtensionTypes); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if len(o.EncryptFields) > 0 && o.Encrypt == nil {
		return nil, errors.New("producer: EncryptFields without Encrypt: name whom they are to be encrypted to")
	}
	for _, field := range o.EncryptFields {
		if err := envelope.CheckField(field); err != nil {
			return nil, fmt.Errorf("producer: EncryptFields: %w", err)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Producer{ring: ring, bus: bus, opts: o}, nil
}

// Result is what became of one event.
type Result struct {
	ID  string // the event's id
	Err error  // nil: the bus has accepted it
	// MaybeTwice means that the bus may have the event twice, or will have it twice when it is published again:
	// an answer was lost after the bus may have acted. Nothing needs to be done, since consumers handle an event
	// once. It is false for a Bus that does not tell (see OutcomeBus).
	MaybeTwice bool
}

// Publish seals the events and sends them. There is one Result for each event, in their order. The error is
// nil if all were accepted, else a *PublishError that lists the others; what it does not list is on the bus.
// Publishing an event again is safe: consumers take it for the duplicate that it is, as long as id and
// content are the same.
func (p *Producer) Publish(ctx context.Context, events ...event.Event) ([]Result, error) {
	if p.opts.Trace != nil {
		parent, state := p.opts.Trace(ctx)
		ctx = WithTrace(ctx, parent, state)
	}
	results := make([]Result, len(events))
	for i := range events {
		results[i].ID = events[i].ID()
	}
	for start := 0; start < len(events); start += sendBatch {
		end := min(start+sendBatch, len(events))
		p.publish(ctx, events[start:end], results[start:end])
	}
	return results, publishError(results)
}

// publish seals and sends one batch.
func (p *Producer) publish(ctx context.Context, events []event.Event, results []Result) {
	var sealed []*envelope.Sealed
	var of []*Result // whose each sealed event is
	signers, err := p.signers()
	for i := range events {
		r := &results[i]
		if r.Err = firstOf(notSent(ctx), err); r.Err != nil {
			continue
		}
		var s *envelope.Sealed
		if s, r.Err = p.seal(ctx, events[i], signers); r.Err == nil {
			sealed, of = append(sealed, s), append(of, r)
		}
	}
	p.send(ctx, sealed, of)
}

func (p *Producer) send(ctx context.Context, sealed []*envelope.Sealed, of []*Result) {
	if len(sealed) == 0 {
		return
	}
	if err := notSent(ctx); err != nil {
		fail(of, err)
		return
	}
	outcomes := p.outcomes(ctx, sealed)
	if len(outcomes) > len(of) {
		fail(of, fmt.Errorf("%w: %d answers for %d events", ErrNoAnswer, len(outcomes), len(of)))
		return
	}
	for i, o := range outcomes {
		of[i].Err, of[i].MaybeTwice = o.Err, o.MaybeTwice
	}
	fail(of[len(outcomes):], ErrNoAnswer)
}

func (p *Producer) outcomes(ctx context.Context, sealed []*envelope.Sealed) []Outcome {
	if bus, ok := p.bus.(OutcomeBus); ok {
		return bus.SendOutcomes(ctx, sealed)
	}
	errs := p.bus.Send(ctx, sealed)
	outcomes := make([]Outcome, len(errs))
	for i, err := range errs {
		outcomes[i].Err = err
	}
	return outcomes
}

func fail(of []*Result, err error) {
	for _, r := range of {
		r.Err = err
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func notSent(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrNotSent, context.Cause(ctx))
}

// signers is asked anew for each batch: a key may have been retired meanwhile.
func (p *Producer) signers() ([]keys.Signer, error) {
	signers, err := p.ring.Signers(p.opts.Now())
	switch {
	case err != nil:
		return nil, fmt.Errorf("producer: %w", err)
	case len(signers) == 0:
		return nil, fmt.Errorf("producer: %w", keys.ErrNoSigner)
	}
	return signers, nil
}

// seal signs with the first signer, and the others beside it.
func (p *Producer) seal(ctx context.Context, ev event.Event, signers []keys.Signer) (*envelope.Sealed, error) {
	if err := p.checkScope(&ev); err != nil {
		return nil, err
	}
	return envelope.Seal(ctx, traced(ctx, ev), signers[0], &envelope.SealOptions{
		Audience: p.opts.Audience, Expires: p.opts.Expires, Exact: p.opts.Exact, CoSigners: signers[1:],
		ExtensionTypes: p.opts.ExtensionTypes, Encrypt: p.opts.Encrypt, EncryptFields: p.opts.EncryptFields, Now: p.opts.Now,
		KeepRecordedTime: p.opts.KeepRecordedTime,
	})
}

func (p *Producer) checkScope(ev *event.Event) error {
	const problem = "is outside the scope that the keyring records: consumers would refuse the event"
	scope, ok := p.ring.(scoped)
	unfit := keys.CheckSource(ev.Source())
	switch {
	case unfit != nil: // a pattern may seem to cover it
		return &envelope.SealError{Member: "source", Problem: unfit.Error(), Err: unfit}
	case ok && !scope.AllowsSource(ev.Source()):
		return &envelope.SealError{Member: "source", Problem: problem}
	case ok && !scope.AllowsType(ev.Type()):
		return &envelope.SealError{Member: "type", Problem: problem}
	}
	return nil
}

// Failure is one event that was not published.
type Failure struct {
	Index int // among the events given to Publish
	Result
}

// PublishError lists the events that were not published. errors.Is and errors.As look into each.
type PublishError struct {
	Total    int // events given to Publish
	Failures []Failure
}

func publishError(results []Result) error {
	e := &PublishError{Total: len(results)}
	for i, r := range results {
		if r.Err != nil {
			e.Failures = append(e.Failures, Failure{Index: i, Result: r})
		}
	}
	if e.Failures == nil {
		return nil
	}
	return e
}

// Error counts the failures and describes the first few.
func (e *PublishError) Error() string {
	const most = 3
	var b strings.Builder
	fmt.Fprintf(&b, "producer: %d of %d events were not published", len(e.Failures), e.Total)
	for i, f := range e.Failures {
		if i == most {
			fmt.Fprintf(&b, "; and %d more", len(e.Failures)-most)
			break
		}
		fmt.Fprintf(&b, "; event %d (id %.64q): %v", f.Index, f.ID, f.Err)
	}
	return b.String()
}

// Unwrap is the error of each event.
func (e *PublishError) Unwrap() []error {
	errs := make([]error, len(e.Failures))
	for i, f := range e.Failures {
		errs[i] = f.Err
	}
	return errs
}
