// Package producer seals events and puts them on a bus. It reports the result of each event.
//
// # Publish
//
// A Producer needs keys and a bus. The bus of AWS is in package producer/eventbridge. A bus is any type with
// the one method of Bus, and LocalBus is one inside the process, for tests and for trying things out:
//
//	ring, err := keys.OpenKeyring("orders.keyring", passphrase, nil)
//	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), "central", nil)
//	p, err := producer.New(ring, bus, &producer.Options{Audience: "central"})
//	results, err := p.Publish(ctx, events...)
//
// Publish returns one Result for each event, in order. A *PublishError says which events were not published,
// and why. Publish these again: an event that is on the bus twice is handled once.
//
// # Rotation
//
// With Options.Trust, Publish asks the trust bundle which key of the keyring consumers accept. For each
// source and type, the newest key signs that the bundle lists, that is active and not revoked, and that all
// consumers know by now (trust.Bundle.KnownAt). While they do not know the newest, an older one goes on that
// is still due by its own schedule, with a Warning. A tainted key signs only if no other may. If no key may
// sign, the event is not sent, and its error is a *TrustError: publish the event again when its advice was
// followed. A session (package session) ends with its root key.
//
// The bundle's host does not stop a producer: without a live bundle the keyring alone decides, and the Result
// has the reason in Unchecked. RequireTrust makes that an error.
//
// # Threat model
//
// Stopped: an attacker on the way of the events (they are sealed before they leave the process); an error
// that goes unnoticed (each event has its Result). Not stopped: an attacker who holds the keys.
//
// # Stability
//
// Stable: New, Publish, Result, PublishError, TrustError, Bus, WithTrace.
package producer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Bus sends sealed events. Send returns one Result for each event, in their order; Publish sets their IDs.
// Send does not change the events, and is safe for concurrent use. A Bus that cannot tell which events it
// accepted returns an error for each of them. That is safe, because consumers handle an event once, also if
// it is sent twice.
type Bus interface {
	Send(ctx context.Context, events []*envelope.Sealed) []Result
}

// Errors of single events.
var (
	// ErrNotSent means that the event was not given to the bus: the context was cancelled before, or the bus
	// could not be reached.
	ErrNotSent = errors.New("producer: the event was not sent")
	// ErrNoAnswer means that the bus gave no result for the event. The event may or may not be on the bus.
	ErrNoAnswer = errors.New("producer: the bus gave no answer for the event")
)

// sendBatch is how many events are sealed and sent at a time. It bounds the work that is lost when the
// context is cancelled, and the age of the first signature when the batch leaves.
const sendBatch = 100

// Options adjust a Producer. The zero value seals for every audience, without an expiry.
type Options struct {
	Audience string              // names, space-separated; "" = each event's own audience, or every one
	Expires  time.Duration       // from the moment of sealing; 0 = each event's own expirytime, or none
	Exact    bool                // true: data goes byte for byte, in base64 (+33 %)
	Encrypt  *envelope.Encrypter // has the recipients of the data; nil = it is not encrypted
	// EncryptFields are JSON Pointers of the members to encrypt. Each event must have all of them.
	// nil = all of the data.
	EncryptFields []string
	// ExtensionTypes has the type "Binary" for each extension that may be one. Consumers declare them, too.
	ExtensionTypes map[string]string
	// Trace returns the W3C trace context that a tracer keeps in ctx. The events carry it. nil = that of
	// WithTrace.
	Trace func(ctx context.Context) (traceparent, tracestate string)
	Now   func() time.Time // the wall clock, safe for concurrent use; nil = time.Now
	// Schemas judges the data of each event before it is sealed. An event whose data does not follow its
	// schema is not sent; its error has an *envelope.SchemaError in it. nil = no schema is asked for. Package
	// schema has one.
	Schemas envelope.Validator

	// KeepRecordedTime is for a forwarder. true: the recordedtime of an event becomes its
	// originalrecordedtime. false: an event that has a recordedtime is refused.
	KeepRecordedTime bool

	// Trust has the bundle by which consumers judge. Publish then signs with a key only when they know it,
	// and does not send what they would refuse (*TrustError). It asks once a second at most, and waits for 2
	// s at most. nil = the keyring alone says which key signs.
	Trust trust.Source
	// RequireTrust true: without a live bundle an event is not sent (*TrustError, trust_unavailable). false:
	// it is signed as without Trust, and its Result is Unchecked.
	RequireTrust bool
	// Account is the AWS account that puts the events on the bus, 12 digits; "" = the accounts of keys are
	// not checked.
	Account string
	// Warn is told, once per bundle, that Publish signs otherwise than the keyring alone would, and once per
	// outage of Trust that it does not check. It is safe for concurrent use; nil = slog.Default() logs it.
	Warn func(Warning)
}

// Producer publishes events. It is safe for concurrent use.
type Producer struct {
	ring  keys.SignerSource
	bus   Bus
	opts  Options
	trust *trusted // nil = Options.Trust is not set
}

// inMemory is a keys.Signer that can say whether it signs without a call of another machine, as those of
// packages keys and session do; a signer without the method may make calls.
type inMemory interface {
	InMemory() bool
}

// scoped is a keys.SignerSource that records the sources and types of its producer, as a *keys.Keyring can;
// nil = it does not record them.
type scoped interface {
	Scope() (sources, types []string)
}

// New makes a producer. It signs with the keys that ring has at the time, and sends to bus. If ring records
// the producer's scope, an event outside of it is refused, because no consumer would accept it.
func New(ring keys.SignerSource, bus Bus, opts *Options) (*Producer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case ring == nil:
		return nil, errors.New("producer: no keys to sign with: " +
			"keys.OpenKeyring opens a keyring, keys.SignWith takes a signer")
	case bus == nil:
		return nil, errors.New("producer: no bus: package producer/eventbridge has one, NewLocalBus is for tests")
	case o.Expires < 0:
		return nil, fmt.Errorf("producer: events cannot live for %v", o.Expires)
	}
	if o.RequireTrust && o.Trust == nil {
		return nil, errors.New("producer: RequireTrust without Trust: name where the trust bundle is")
	}
	err := errors.Join(nilcheck.Typed("the keys to sign with", ring), nilcheck.Typed("the bus", bus),
		nilcheck.Typed("Trust", o.Trust), nilcheck.Typed("Schemas", o.Schemas))
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if err := wire.CheckTypes(o.ExtensionTypes); err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	if len(o.EncryptFields) > 0 && o.Encrypt == nil {
		return nil,
			errors.New("producer: EncryptFields without Encrypt: name whom they are to be encrypted to")
	}
	for _, field := range o.EncryptFields {
		if err := jsontext.CheckPointer(field, nil); err != nil {
			return nil, fmt.Errorf("producer: EncryptFields: %w", err)
		}
	}
	if o.Account != "" {
		if err := keydoc.CheckAccounts([]string{o.Account}); err != nil {
			return nil, fmt.Errorf("producer: Account: %w", err)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Producer{ring: ring, bus: bus, opts: o}
	if o.Trust != nil {
		p.trust = newTrusted(&o)
	}
	return p, nil
}

// Result is the result of one event.
type Result struct {
	ID  string // the event's id
	Err error  // nil: the bus has accepted it
	// MaybeTwice means that an answer was lost after the bus may have acted. The bus may have the event
	// twice, or will have it twice when it is published again. Nothing needs to be done, since consumers
	// handle an event once. A Bus that cannot tell leaves it false.
	MaybeTwice bool
	// Unchecked is why the event was signed although no live bundle says that consumers know the key; nil =
	// one says so, or Options.Trust is not set. Publish sets it.
	Unchecked error
}

// Publish seals the events and sends them. There is one Result for each event, in their order. The error is
// nil if the bus accepted all events, else a *PublishError. Every event whose Result has no error is on the
// bus. Publishing an event again is safe as long as its id and its content are the same:
// consumers recognise the duplicate.
//
// Publish seals events at the same time, as many as there are processors (GOMAXPROCS), if all keys that sign
// are in memory. Otherwise it seals one after the other, so that one Publish makes one call of a key service
// at a time. To make more of them, call Publish from several goroutines. An Encrypter makes one call for each
// source that needs a new content key, whichever keys sign. An event that fails stops no other.
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
	with, err := p.signing(ctx)
	all := make([]*envelope.Sealed, len(events)) // nil = it was not sealed
	across(len(events), sealers(with.signers), func(i int) {
		r := &results[i]
		if r.Err = firstOf(notSent(ctx), err); r.Err != nil {
			return
		}
		r.Err = ErrNotSent // and stays so if a callback ends the goroutine
		all[i], r.Err = p.seal(ctx, events[i], with)
		r.Unchecked = with.unchecked
	})
	var sealed []*envelope.Sealed
	var of []*Result // of each sealed event
	for i, s := range all {
		if s != nil {
			sealed, of = append(sealed, s), append(of, &results[i])
		}
	}
	p.send(ctx, sealed, of)
}

// sealers is how many events are sealed at the same time: one for each processor, if these keys are in
// memory. A key service has a quota for each second, and the caller decides how much of it to use.
func sealers(signers []keys.Signer) int {
	for _, s := range signers {
		if local, ok := s.(inMemory); !ok || nilcheck.Is(s) || !local.InMemory() {
			return 1 // of a nil pointer, Seal says what is wrong
		}
	}
	return runtime.GOMAXPROCS(0)
}

// across calls do for each index below n, in at most so many goroutines. The caller's is one of them, so that
// one index needs no other. It returns when all are done. A panic of do becomes one of the caller, who may
// recover it, as if there were no other goroutine.
func across(n, goroutines int, do func(i int)) {
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			do(i)
		}
	}
	var panicked atomic.Value
	var others sync.WaitGroup
	for range min(n, goroutines) - 1 {
		others.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					panicked.CompareAndSwap(nil, [1]any{v}) // a Value takes values of one type only
				}
			}()
			work()
		})
	}
	func() {
		defer others.Wait() // also if do panics here
		work()
	}()
	if v, ok := panicked.Load().([1]any); ok {
		panic(v[0])
	}
}

func (p *Producer) send(ctx context.Context, sealed []*envelope.Sealed, of []*Result) {
	if len(sealed) == 0 {
		return
	}
	if err := notSent(ctx); err != nil {
		fail(of, err)
		return
	}
	results := p.bus.Send(ctx, sealed)
	if len(results) > len(of) {
		fail(of, fmt.Errorf("%w: %d answers for %d events", ErrNoAnswer, len(results), len(of)))
		return
	}
	for i, r := range results {
		of[i].Err, of[i].MaybeTwice = r.Err, r.MaybeTwice
	}
	fail(of[len(results):], ErrNoAnswer)
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

// signing is what signs the events of one batch.
type signing struct {
	signers   []keys.Signer // with a plan: all keys of which it chooses
	plan      *plan         // nil = all signers sign
	unchecked error         // why there is no plan although there is Options.Trust
}

// signing asks the trust and the ring. It is called for each batch, because a key may have been retired
// meanwhile.
func (p *Producer) signing(ctx context.Context) (with signing, err error) {
	if p.trust != nil {
		var b *trust.Bundle
		if b, with.unchecked = p.trust.bundle(ctx, p.opts.Now()); with.unchecked == nil {
			if with.plan, err = p.trust.planFor(b, p.ring, p.opts.Now()); err == nil {
				with.signers = with.plan.signers()
			}
			return with, err
		}
		switch {
		case ctx.Err() != nil: // nothing is sent
		case p.opts.RequireTrust:
			return with, noTrust(with.unchecked)
		default:
			p.trust.warnOnce(nil, uncheckedWarning(with.unchecked))
		}
	}
	with.signers, err = signersOf(p.ring, p.opts.Now())
	return with, err
}

func signersOf(ring keys.SignerSource, now time.Time) ([]keys.Signer, error) {
	signers, err := ring.Signers(now)
	switch {
	case err != nil:
		return nil, fmt.Errorf("producer: %w", err)
	case len(signers) == 0:
		return nil, fmt.Errorf("producer: %w", keys.ErrNoSigner)
	}
	return signers, nil
}

// seal signs with all signers, or with those that the plan chooses for the event. The first one leads, and
// the others are co-signers.
func (p *Producer) seal(ctx context.Context, ev event.Event, with signing) (*envelope.Sealed, error) {
	if err := p.checkScope(&ev); err != nil {
		return nil, err
	}
	if p.opts.Schemas != nil {
		err := p.opts.Schemas.Validate(envelope.Document{Type: ev.Type(), DataSchema: ev.DataSchema(),
			ContentType: ev.DataContentType(), Data: ev.Data()})
		if err != nil {
			return nil, fmt.Errorf("producer: the event is not sent: %w", err)
		}
	}
	signers, clock := with.signers, p.opts.Now
	if with.plan != nil {
		now := clock()
		var err error
		if signers, err = with.plan.choice(&ev, now); err != nil {
			return nil, err
		}
		clock = func() time.Time { return now } // the keys were judged at this time of sealing
	}
	sealed, err := envelope.Seal(ctx, traced(ctx, ev), signers[0], &envelope.SealOptions{
		Audience: p.opts.Audience, Expires: p.opts.Expires, Exact: p.opts.Exact, CoSigners: signers[1:],
		ExtensionTypes: p.opts.ExtensionTypes, Encrypt: p.opts.Encrypt, EncryptFields: p.opts.EncryptFields,
		Now:              clock,
		KeepRecordedTime: p.opts.KeepRecordedTime,
	})
	if err == nil && with.plan != nil {
		err = with.plan.checkSessions(sealed, signers)
	}
	if err != nil {
		return nil, err
	}
	return sealed, nil
}

func (p *Producer) checkScope(ev *event.Event) error {
	const problem = "is outside the scope that the keyring records: consumers would refuse the event"
	var sources, types []string
	if ring, ok := p.ring.(scoped); ok {
		sources, types = ring.Scope()
	}
	unfit := keys.CheckSource(ev.Source())
	switch {
	case unfit != nil: // no pattern allows such a source, also if one seems to cover it
		return &envelope.SealError{Member: "source", Problem: unfit.Error(), Err: unfit}
	case sources != nil && !keys.MatchSource(sources, ev.Source()):
		return &envelope.SealError{Member: "source", Problem: problem}
	case types != nil && !keys.MatchType(types, ev.Type()):
		return &envelope.SealError{Member: "type", Problem: problem}
	}
	return nil
}

// PublishError says that some events were not published: those whose Result has an error. errors.Is and
// errors.As look into each of these errors.
type PublishError struct {
	Results []Result // one for each event given to Publish, in their order; some are without an error
}

func publishError(results []Result) error {
	if !slices.ContainsFunc(results, func(r Result) bool { return r.Err != nil }) {
		return nil
	}
	return &PublishError{Results: results}
}

// Error counts the failures and describes the first few.
func (e *PublishError) Error() string {
	const most = 3
	failed := 0
	var first strings.Builder
	for i, r := range e.Results {
		if r.Err == nil {
			continue
		}
		if failed++; failed <= most {
			fmt.Fprintf(&first, "; event %d (id %.64q): %v", i, r.ID, r.Err)
		}
	}
	if failed > most {
		fmt.Fprintf(&first, "; and %d more", failed-most)
	}
	return fmt.Sprintf("producer: %d of %d events were not published%s", failed, len(e.Results), &first)
}

// Unwrap is the error of each event that was not published.
func (e *PublishError) Unwrap() []error {
	var errs []error
	for _, r := range e.Results {
		if r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	return errs
}
