// Package eventbridge is the producer.Bus that puts sealed events on an Amazon EventBridge bus.
//
// PutEvents answers "200 OK" also when some entries failed, and swallows what is sent to a bus that does not
// exist. So each entry's own answer becomes the event's own error; what the service says to try again is
// tried again, entry by entry, with full jitter, until RetryFor is over; and Options.CheckBus asks whether
// the bus exists. An entry that is retried after an answer was lost may be on the bus twice:
// Result.MaybeTwice says so, and consumers handle it once.
//
// Threats: an answer that hides a failure, an answer that is lost, a service that throttles (above). Not
// stopped: whoever may call PutEvents puts what they like on the bus. That is what sealing is for.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), "central", nil)
//	p, err := producer.New(ring, bus, nil)
//	results, err := p.Publish(ctx, events...)
//
// It needs the permission events:PutEvents on the bus, and with CheckBus it makes use of
// events:DescribeEventBus.
//
// Stable: New, Options, Error, TooLargeError, ErrNoBus.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/producer"
)

// MaxEntries is how many entries PutEvents takes in one call.
const MaxEntries = 10

// What Options are when they are not set.
const (
	// DefaultMaxBytes: the entries of one call are smaller than this together. It is 256 KiB in the China
	// regions.
	DefaultMaxBytes = 1 << 20
	// DefaultConcurrency is below the SDK's and most proxies' limits on connections to one host.
	DefaultConcurrency = 8
	// DefaultRetryFor lasts through a burst of throttling, and is over before a Lambda function usually is.
	DefaultRetryFor = 30 * time.Second
	// DefaultCallTimeout is long for a call that usually takes tens of milliseconds.
	DefaultCallTimeout = 10 * time.Second
)

// Client is what the bus needs of the SDK's *eventbridge.Client.
type Client interface {
	PutEvents(ctx context.Context, in *eventbridge.PutEventsInput, with ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Options adjust a Bus. The zero value fits every region but those that take less than 1 MiB.
type Options struct {
	Layout      envelope.Layout // of the detail; zero = envelope.Structured
	EndpointID  string          // of a global endpoint, such as "abcde.veo"; "" = the region of the client
	CheckBus    bool            // true: refuse to send while the bus does not exist; see ErrNoBus. The client must also be a Describer
	MaxBytes    int             // the entries of one call are smaller than this together; 0 = DefaultMaxBytes
	Concurrency int             // calls under way at one time, over all Sends; 0 = DefaultConcurrency
	RetryFor    time.Duration   // how long after the beginning of Send an entry, or the check of the bus, may be tried again; 0 = DefaultRetryFor, negative = never
	CallTimeout time.Duration   // of one call, which is then tried again; 0 = DefaultCallTimeout
	// TraceHeader is the X-Ray trace header of the entries; nil = the one that the Lambda runtime for Go keeps
	// in the context, or else the one that the trace context of producer.WithTrace amounts to.
	TraceHeader func(ctx context.Context) string

	Now    func() time.Time                           // the clock that RetryFor is measured by; nil = time.Now
	Sleep  func(context.Context, time.Duration) error // waits before another try, an error ends the tries; nil = by the system's timer
	Jitter func() float64                             // the share of the longest wait to take, in [0, 1); nil = at random
}

// Bus is a producer.Bus. It is safe for concurrent use.
type Bus struct {
	client Client
	name   string
	opts   Options
	slots  chan struct{} // one for each call that may be under way
	check  check
}

var (
	_ producer.OutcomeBus = (*Bus)(nil)
	_ Client              = (*eventbridge.Client)(nil)
)

// busName is what PutEvents accepts as EventBusName, a name or an ARN. It is compiled on first use, since a
// command that puts no events would otherwise pay 0.4 ms for it.
var busName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(arn:aws[\w-]*:events:[a-z]+-[a-z\d-]+:\d{12}:event-bus/)?[/.\-_A-Za-z0-9]{1,256}$`)
})

// New makes a bus that puts events on the event bus of that name or ARN; "default" is the account's own. The
// client's retries are switched off, because they know nothing of entries: see Options.RetryFor.
func New(client Client, bus string, opts *Options) (*Bus, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if client == nil {
		return nil, errors.New("eventbridge: no client")
	}
	if err := nilcheck.Typed("eventbridge: the client", client); err != nil {
		return nil, err
	}
	if !busName().MatchString(bus) {
		return nil, fmt.Errorf("eventbridge: %.80q is neither the name nor the ARN of an event bus", bus)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("eventbridge: %w", err)
	}
	b := &Bus{client: client, name: bus, opts: o.withDefaults(), check: newCheck()}
	if describer, ok := client.(Describer); o.CheckBus && !ok {
		return nil, errors.New("eventbridge: CheckBus needs a client that has DescribeEventBus")
	} else if o.CheckBus {
		b.check.client = describer
	}
	b.slots = make(chan struct{}, b.opts.Concurrency)
	return b, nil
}

func (o *Options) check() error {
	switch {
	case o.Layout != envelope.Structured && o.Layout != envelope.Embedded:
		return fmt.Errorf("unknown layout %d", o.Layout)
	case o.MaxBytes < 0:
		return fmt.Errorf("a call of %d bytes", o.MaxBytes)
	case o.Concurrency < 0:
		return fmt.Errorf("%d calls at a time", o.Concurrency)
	case o.CallTimeout < 0:
		return fmt.Errorf("a call cannot last %v", o.CallTimeout)
	}
	return nil
}

func (o Options) withDefaults() Options {
	o.MaxBytes = orDefault(o.MaxBytes, DefaultMaxBytes)
	o.Concurrency = orDefault(o.Concurrency, DefaultConcurrency)
	o.RetryFor = orDefault(o.RetryFor, DefaultRetryFor)
	o.CallTimeout = orDefault(o.CallTimeout, DefaultCallTimeout)
	if o.TraceHeader == nil {
		o.TraceHeader = traceHeader
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = random
	}
	return o
}

func orDefault[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// Send is producer.Bus.Send. The errors are nil for what EventBridge has accepted, and otherwise a *Error, a
// *TooLargeError, a *envelope.SealError, ErrNoBus, producer.ErrNotSent or producer.ErrNoAnswer. It returns
// when all is accepted, refused for good, or RetryFor is over.
func (b *Bus) Send(ctx context.Context, events []*envelope.Sealed) []error {
	return b.send(ctx, events).errs
}

// SendOutcomes is Send, and tells as well which events may be on the bus twice.
func (b *Bus) SendOutcomes(ctx context.Context, events []*envelope.Sealed) []producer.Outcome {
	s := b.send(ctx, events)
	outcomes := make([]producer.Outcome, len(events))
	for i := range outcomes {
		outcomes[i] = producer.Outcome{Err: s.errs[i], MaybeTwice: s.unclear[i]}
	}
	return outcomes
}

func (b *Bus) send(ctx context.Context, events []*envelope.Sealed) *sending {
	s := &sending{
		bus: b, errs: make([]error, len(events)), unclear: make([]bool, len(events)),
		trace: b.opts.TraceHeader(ctx), until: b.opts.Now().Add(b.opts.RetryFor),
	}
	if err := s.checkBus(ctx); err != nil {
		for i := range s.errs {
			s.errs[i] = err
		}
		return s
	}
	var wg sync.WaitGroup
	for _, call := range s.pack(events) {
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			s.fail(call, notSent(ctx))
			continue
		}
		wg.Go(func() {
			defer func() { <-b.slots }()
			s.deliver(ctx, call)
		})
	}
	wg.Wait()
	return s
}

// sending is one Send.
type sending struct {
	bus     *Bus
	errs    []error // one for each event; each is written by the one call that has the event
	unclear []bool  // the same: the service may have acted in a try that failed, or whose answer was lost
	trace   string
	until   time.Time // the end of the retries
}

// item is one event on its way.
type item struct {
	index int // of the event among those of Send
	entry types.PutEventsRequestEntry
}

// pack fills calls in the order of the events. What cannot be sent at all is left out, and has its error.
func (s *sending) pack(events []*envelope.Sealed) (calls [][]item) {
	var call []item
	room := s.bus.opts.MaxBytes
	for i, e := range events {
		it, size, err := s.item(i, e)
		if err != nil {
			s.errs[i] = err
			continue
		}
		if len(call) == MaxEntries || size >= room {
			calls, call, room = append(calls, call), nil, s.bus.opts.MaxBytes
		}
		call, room = append(call, it), room-size
	}
	if call != nil {
		calls = append(calls, call)
	}
	return calls
}

func (s *sending) item(index int, e *envelope.Sealed) (item, int, error) {
	b := s.bus
	entry, err := e.EventBridge(b.opts.Layout)
	if err != nil {
		return item{}, 0, err
	}
	size := entry.Size()
	if size >= b.opts.MaxBytes { // "must be less than", in the words of the service's reference
		return item{}, 0, &TooLargeError{Size: size, Limit: b.opts.MaxBytes}
	}
	put := types.PutEventsRequestEntry{
		EventBusName: aws.String(b.name), Source: aws.String(entry.Source), DetailType: aws.String(entry.DetailType),
		Detail: aws.String(string(entry.Detail)),
	}
	if !entry.Time.IsZero() {
		put.Time = aws.Time(entry.Time)
	}
	if s.trace != "" {
		put.TraceHeader = aws.String(s.trace)
	}
	return item{index, put}, size, nil
}

func (s *sending) fail(items []item, err error) {
	for _, it := range items {
		s.errs[it.index] = err
	}
}

func notSent(ctx context.Context) error {
	return fmt.Errorf("%w: %w", producer.ErrNotSent, context.Cause(ctx))
}
