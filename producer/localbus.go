package producer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// errNoSubscriber means that a LocalBus had no subscriber when the event was published. The event would have
// been lost.
var errNoSubscriber = errors.New("producer: the local bus has no subscriber, and nothing would receive the event: " +
	"call Subscribe before Publish")

// LocalBusOptions adjust NewLocalBus.
type LocalBusOptions struct {
	Layout  envelope.Layout // of the detail; zero = envelope.Structured
	Account string          // the AWS account that deliveries name; "" = 000000000000
	// Queued: true = sent events stay in the queues of the subscribers until Deliver is called; false = Send
	// makes the first attempt itself.
	Queued bool
	// Rewrite changes each delivery on its way, as a broker or an attacker would, or drops it by returning nil;
	// nil = nothing is changed.
	Rewrite func(delivery []byte) []byte
}

// LocalBus is a Bus inside the process. It delivers in the shape of EventBridge, at least once. If a
// subscriber returns an error, the delivery stays in its queue, and the next Deliver delivers it again.
type LocalBus struct {
	opts LocalBusOptions

	mu          sync.Mutex
	subscribers []*subscriber
}

var _ Bus = (*LocalBus)(nil)

// subscriber is a handler with its queue.
type subscriber struct {
	handle func(ctx context.Context, delivery []byte) error

	mu    sync.Mutex
	queue [][]byte
	busy  bool // a call of deliver is under way; it also delivers what is queued meanwhile
}

// NewLocalBus makes a bus without subscribers. It accepts events only when it has one. EventBridge drops an
// event that no rule matches, without an error. A bus for trying things out returns an error that says so.
func NewLocalBus(opts *LocalBusOptions) *LocalBus {
	var o LocalBusOptions
	if opts != nil {
		o = *opts
	}
	if o.Account == "" {
		o.Account = "000000000000"
	}
	return &LocalBus{opts: o}
}

// Subscribe delivers the events that are sent from now on to handle, one delivery at a time. An error of
// handle means that the delivery must be made again. A nil handle is no subscriber.
func (b *LocalBus) Subscribe(handle func(ctx context.Context, delivery []byte) error) {
	if handle == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, &subscriber{handle: handle})
}

// Send is Bus.Send. An event is accepted when it is in the queue of every subscriber. The errors of
// subscribers are not the publisher's errors. Without a subscriber each event has an error that
// says so.
func (b *LocalBus) Send(ctx context.Context, events []*envelope.Sealed) []Result {
	results := make([]Result, len(events))
	if len(b.all()) == 0 {
		for i := range results {
			results[i].Err = errNoSubscriber
		}
		return results
	}
	for i, e := range events {
		results[i].Err = b.accept(e)
	}
	if !b.opts.Queued {
		_ = b.Deliver(ctx)
	}
	return results
}

func (b *LocalBus) accept(e *envelope.Sealed) error {
	entry, err := e.EventBridge(b.opts.Layout)
	if err != nil {
		return err
	}
	b.put(b.delivery(entry))
	return nil
}

// put queues a delivery for every subscriber. A nil delivery was dropped on the way: nothing is queued.
func (b *LocalBus) put(delivery []byte) {
	if delivery == nil {
		return
	}
	for _, s := range b.all() {
		s.mu.Lock()
		s.queue = append(s.queue, delivery)
		s.mu.Unlock()
	}
}

func (b *LocalBus) all() []*subscriber {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.subscribers[:len(b.subscribers):len(b.subscribers)]
}

// Deliver makes one attempt at every queued delivery, in order. The error joins the errors of the
// subscribers. A delivery that failed stays queued. If another call is delivering to a subscriber, in another
// goroutine or because the subscriber publishes itself, that call delivers the rest.
func (b *LocalBus) Deliver(ctx context.Context) error {
	var errs []error
	for _, s := range b.all() {
		errs = append(errs, s.deliver(ctx))
	}
	return errors.Join(errs...)
}

// deliver takes each delivery out of the queue for the time of its attempt. It puts failed deliveries back,
// even if the handler panics.
func (s *subscriber) deliver(ctx context.Context) error {
	if !s.begin() {
		return nil
	}
	var left [][]byte
	defer func() {
		if left != nil { // the handler panicked
			s.end(left)
		}
	}()
	var errs []error
	for delivery, ok := s.next(&left); ok; delivery, ok = s.next(&left) {
		left = append(left, delivery)
		if err := s.handle(ctx, delivery); err != nil {
			errs = append(errs, err)
			continue
		}
		left = left[:len(left)-1]
	}
	return errors.Join(errs...)
}

func (s *subscriber) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy {
		return false
	}
	s.busy = true
	return true
}

// next is false at the end of the queue. In the same moment the failed deliveries go back into the queue, and
// s is no longer busy: the next call of deliver takes what is queued after that.
func (s *subscriber) next(left *[][]byte) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.queue, *left, s.busy = *left, nil, false
		return nil, false
	}
	first := s.queue[0]
	s.queue = s.queue[1:]
	return first, true
}

func (s *subscriber) end(left [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue, s.busy = append(left, s.queue...), false
}

// delivery is the EventBridge event in which the entry is delivered; nil if Rewrite dropped it.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
func (b *LocalBus) delivery(entry *envelope.Entry) []byte {
	at := entry.Time
	if at.IsZero() {
		at = time.Now()
	}
	doc := []byte(`{"version":"0"`)
	for _, m := range [...]struct{ name, value string }{
		{"id", newUUID()}, {"detail-type", entry.DetailType}, {"source", entry.Source},
		{"account", b.opts.Account},
		{"time", at.UTC().Format("2006-01-02T15:04:05Z")}, {"region", "local"},
	} {
		doc = append(doc, ',')
		doc = append(jsontext.AppendQuote(doc, m.name), ':')
		doc = jsontext.AppendQuote(doc, m.value)
	}
	doc = append(append(doc, `,"resources":[],"detail":`...), entry.Detail...)
	doc = append(doc, '}')
	if b.opts.Rewrite != nil {
		return b.opts.Rewrite(doc)
	}
	return doc
}

// newUUID is a random UUID, RFC 9562 section 5.4.
func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
