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

// ErrNoSubscriber means that a LocalBus had no subscriber when the event was published, so that it would have
// been lost.
var ErrNoSubscriber = errors.New("producer: the local bus has no subscriber, and nothing would receive the event: " +
	"call Subscribe before Publish")

// LocalBusOptions adjust NewLocalBus.
type LocalBusOptions struct {
	Layout  envelope.Layout // of the detail; zero = envelope.Structured
	Account string          // the AWS account that deliveries name; "" = 000000000000
	Region  string          // the region that deliveries name; "" = local
	// Queued leaves what was sent in the queues of the subscribers until Deliver is called; false = Send
	// makes the first attempt itself.
	Queued bool
	// Rewrite changes each delivery on its way, as a broker or an attacker would, or drops it by returning nil;
	// nil = nothing is changed.
	Rewrite func(delivery []byte) []byte
	Now     func() time.Time // stamps deliveries of events without a time; nil = time.Now
}

// LocalBus is a Bus inside the process. It delivers in the shape of EventBridge, at least once: what a
// subscriber does not take stays in its queue, and is delivered again by the next Deliver.
type LocalBus struct {
	opts LocalBusOptions

	mu          sync.Mutex
	subscribers []*subscriber
}

var _ Bus = (*LocalBus)(nil)

// subscriber is a handler with what it still has to take.
type subscriber struct {
	handle func(ctx context.Context, delivery []byte) error

	mu    sync.Mutex
	queue [][]byte
	busy  bool // somebody is delivering, and will also deliver what is queued meanwhile
}

// NewLocalBus makes a bus without subscribers. It accepts events once it has one: EventBridge drops an event
// that no rule matches without a word, and a bus for trying things out had better say so (ErrNoSubscriber).
func NewLocalBus(opts *LocalBusOptions) *LocalBus {
	var o LocalBusOptions
	if opts != nil {
		o = *opts
	}
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.Region == "" {
		o.Region = "local"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &LocalBus{opts: o}
}

// Subscribe delivers to handle what is sent from now on, one delivery at a time. An error of handle means
// that the delivery is to be made again. A nil handle takes nothing and is no subscriber.
func (b *LocalBus) Subscribe(handle func(ctx context.Context, delivery []byte) error) {
	if handle == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribers = append(b.subscribers, &subscriber{handle: handle})
}

// Send is Bus.Send: an event is accepted when it is in the queue of every subscriber. What subscribers say of
// it is no concern of who published it. Without a subscriber the error of each event is ErrNoSubscriber.
func (b *LocalBus) Send(ctx context.Context, events []*envelope.Sealed) []error {
	errs := make([]error, len(events))
	if len(b.all()) == 0 {
		for i := range errs {
			errs[i] = ErrNoSubscriber
		}
		return errs
	}
	for i, e := range events {
		errs[i] = b.accept(e)
	}
	if !b.opts.Queued {
		_ = b.Deliver(ctx)
	}
	return errs
}

func (b *LocalBus) accept(e *envelope.Sealed) error {
	entry, err := e.EventBridge(b.opts.Layout)
	if err != nil {
		return err
	}
	b.Put(b.Delivery(entry))
	return nil
}

// Put queues a delivery for every subscriber as it is: what Delivery made, or what an attacker made of it. A
// nil delivery is one that was dropped on the way: nothing is queued.
func (b *LocalBus) Put(delivery []byte) {
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

// Deliver makes one attempt at everything that is queued, in order. The error joins what subscribers
// returned; what they did not take stays queued. A subscriber that is just being delivered to, by another
// goroutine or because it publishes itself, gets the rest from there.
func (b *LocalBus) Deliver(ctx context.Context) error {
	var errs []error
	for _, s := range b.all() {
		errs = append(errs, s.deliver(ctx))
	}
	return errors.Join(errs...)
}

// Pending is how many deliveries are queued, over all subscribers.
func (b *LocalBus) Pending() (n int) {
	for _, s := range b.all() {
		s.mu.Lock()
		n += len(s.queue)
		s.mu.Unlock()
	}
	return n
}

// deliver takes each delivery out of the queue for the time of its attempt, and puts back what was not taken,
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

// next is false at the end of the queue. In the same moment what is left goes back into the queue, and s is
// no longer busy: whoever queues something after that delivers it.
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

// Delivery is the EventBridge event in which the entry is delivered; nil if Rewrite dropped it.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
func (b *LocalBus) Delivery(entry *envelope.Entry) []byte {
	at := entry.Time
	if at.IsZero() {
		at = b.opts.Now()
	}
	doc := []byte(`{"version":"0"`)
	for _, m := range [...]struct{ name, value string }{
		{"id", newUUID()}, {"detail-type", entry.DetailType}, {"source", entry.Source}, {"account", b.opts.Account},
		{"time", at.UTC().Format("2006-01-02T15:04:05Z")}, {"region", b.opts.Region},
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
