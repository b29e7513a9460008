// Package eventbridge is the producer.Bus that puts sealed events on an Amazon EventBridge bus.
//
// PutEvents answers "200 OK" also when some entries failed. It also accepts, and drops, entries for a bus
// that does not exist. So each entry's own answer becomes the event's own error. Entries that failed for a
// while are tried again, entry by entry, with full jitter, until RetryFor is over. Options.CheckBus asks
// whether the bus exists. An entry that is retried after an answer was lost may be on the bus twice.
// Result.MaybeTwice says so, and consumers handle the event once.
//
// Threats: an answer that hides a failure, an answer that is lost, a service that throttles (above). Not
// stopped: anyone who may call PutEvents can put any event on the bus. Sealing lets consumers reject such
// events.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), "central", nil)
//	p, err := producer.New(ring, bus, nil)
//	results, err := p.Publish(ctx, events...)
//
// It needs the permission events:PutEvents on the bus. With CheckBus it uses events:DescribeEventBus, too.
//
// Stable: New, Options, Error, ErrTooLarge, ErrNoBus.
package eventbridge

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/producer"
)

// maxEntries is how many entries PutEvents takes in one call.
const maxEntries = 10

// The defaults of Options.
const (
	// defaultMaxBytes is the size that the entries of one call together must stay below. The limit is 256 KiB in
	// the China regions.
	defaultMaxBytes = 1 << 20
	// defaultConcurrency is below the SDK's and most proxies' limits on connections to one host.
	defaultConcurrency = 8
	// defaultRetryFor outlasts a burst of throttling, and ends before a Lambda function usually does.
	defaultRetryFor = 30 * time.Second
)

// callTimeout is long for a call that usually takes tens of milliseconds. A call that takes longer is tried
// again.
const callTimeout = 10 * time.Second

// Client is the part of the SDK's *eventbridge.Client that the bus needs.
type Client interface {
	PutEvents(ctx context.Context, in *eventbridge.PutEventsInput,
		with ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

// Options adjust New. The zero value fits every region except those that take less than 1 MiB.
type Options struct {
	Layout     envelope.Layout // of the detail; zero = envelope.Structured
	EndpointID string          // of a global endpoint, such as "abcde.veo"; "" = the region of the client
	// CheckBus: true = refuse to send while the bus does not exist; see ErrNoBus. The client must also have
	// DescribeEventBus, as the client of the SDK has.
	CheckBus    bool
	MaxBytes    int // the entries of one call together stay below it; 0 = 1 MiB
	Concurrency int // calls under way at one time, over all Sends; 0 = 8
	// RetryFor is how long after the beginning of Send an entry, or the check of the bus, may be tried again.
	// 0 = 30 s, negative = never.
	RetryFor time.Duration
	Now      func() time.Time // measures RetryFor; nil = time.Now
}

// eventBus is what New makes.
type eventBus struct {
	client Client
	name   string
	opts   Options
	slots  chan struct{} // one for each call that may be under way
	check  check

	// Tests replace these.
	timeout time.Duration                              // of one call
	sleep   func(context.Context, time.Duration) error // before another try; an error ends the tries
	jitter  func() float64                             // the share of the longest wait, in [0, 1)
}

var (
	_ producer.Bus = (*eventBus)(nil)
	_ Client       = (*eventbridge.Client)(nil)
)

// busName is what PutEvents accepts as EventBusName, a name or an ARN. It is compiled on first use, since a
// command that puts no events would otherwise pay 0.4 ms for it.
var busName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(arn:aws[\w-]*:events:[a-z]+-[a-z\d-]+:\d{12}:event-bus/)?[/.\-_A-Za-z0-9]{1,256}$`)
})

// New makes a bus that puts events on the event bus of that name or ARN; "default" is the account's own. The
// client's own retries are switched off, because they do not know about entries: see Options.RetryFor.
//
// Send returns when each event is accepted or refused for good, or when RetryFor is over. The error of an
// event is nil if EventBridge has accepted it. Otherwise it is a *Error, a *envelope.SealError, or wraps
// ErrTooLarge, ErrNoBus, producer.ErrNotSent or producer.ErrNoAnswer.
//
// The entries have the X-Ray trace header that the Lambda runtime for Go keeps in the context. Without one it
// is made from the trace context of producer.WithTrace.
func New(client Client, bus string, opts *Options) (producer.Bus, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if client == nil {
		return nil, errors.New("eventbridge: no client: eventbridge.NewFromConfig of the AWS SDK makes one")
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
	b := &eventBus{client: client, name: bus, opts: o.withDefaults(), check: newCheck(), timeout: callTimeout,
		sleep: sleep, jitter: random}
	if d, ok := client.(describer); o.CheckBus && !ok {
		return nil, errors.New("eventbridge: CheckBus needs a client that has DescribeEventBus")
	} else if o.CheckBus {
		b.check.client = d
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
	}
	return nil
}

func (o Options) withDefaults() Options {
	o.MaxBytes = orDefault(o.MaxBytes, defaultMaxBytes)
	o.Concurrency = orDefault(o.Concurrency, defaultConcurrency)
	o.RetryFor = orDefault(o.RetryFor, defaultRetryFor)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// Send is producer.Bus.Send. It also tells which events may be on the bus twice.
func (b *eventBus) Send(ctx context.Context, events []*envelope.Sealed) []producer.Result {
	s := b.send(ctx, events)
	results := make([]producer.Result, len(events))
	for i := range results {
		results[i] = producer.Result{Err: s.errs[i], MaybeTwice: s.unclear[i]}
	}
	return results
}

func (b *eventBus) send(ctx context.Context, events []*envelope.Sealed) *sending {
	s := &sending{
		bus: b, errs: make([]error, len(events)), unclear: make([]bool, len(events)),
		trace: traceHeader(ctx), until: b.opts.Now().Add(b.opts.RetryFor),
	}
	if err := s.checkBus(ctx); err != nil {
		for i := range s.errs {
			s.errs[i] = err
		}
		return s
	}
	var wg sync.WaitGroup
	var panicked atomic.Value
	for _, call := range s.pack(events) {
		select {
		case b.slots <- struct{}{}:
		case <-ctx.Done():
			s.fail(call, notSent(ctx))
			continue
		}
		wg.Go(func() {
			defer func() {
				if v := recover(); v != nil {
					panicked.CompareAndSwap(nil, [1]any{v}) // a Value takes values of one type only
				}
				<-b.slots
			}()
			s.deliver(ctx, call)
		})
	}
	wg.Wait()
	if v, ok := panicked.Load().([1]any); ok {
		panic(v[0]) // the caller may recover it; in the goroutine of a call it would end the process
	}
	return s
}

// sending is one Send.
type sending struct {
	bus     *eventBus
	errs    []error // one for each event; only the call that has the event writes it
	unclear []bool  // one for each event: the service may have acted in a failed or unanswered try
	trace   string
	until   time.Time // the end of the retries
}

// item is one event on its way.
type item struct {
	index int // of the event among those of Send
	entry types.PutEventsRequestEntry
}

// pack fills calls in the order of the events. It leaves out an event that cannot be sent at all, and sets
// its error.
func (s *sending) pack(events []*envelope.Sealed) (calls [][]item) {
	var call []item
	room := s.bus.opts.MaxBytes
	for i, e := range events {
		it, size, err := s.item(i, e)
		if err != nil {
			s.errs[i] = err
			continue
		}
		if len(call) == maxEntries || size >= room {
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
		return item{}, 0, fmt.Errorf("%w: the entry has %d bytes, a call must have less than %d", ErrTooLarge,
			size,
			b.opts.MaxBytes)
	}
	put := types.PutEventsRequestEntry{
		EventBusName: aws.String(b.name), Source: aws.String(entry.Source),
		DetailType: aws.String(entry.DetailType),
		Detail:     aws.String(string(entry.Detail)),
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
