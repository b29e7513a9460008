package awslambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys/trust"
)

const typ = "com.example.order.placed"

type order struct {
	Item string `json:"item"`
}

// world is a function with everything around it.
type world struct {
	*testing.T
	org    *envelopetest.Org
	trust  trust.Source
	store  *faultyStore
	bin    *bin
	log    *bytes.Buffer
	policy envelope.Policy
	core   consumer.Options
	opts   awslambda.Options

	mu      sync.Mutex
	handled []string // the items, in the order in which their handlers began
	handler func(ctx context.Context, d consumer.Delivery[order]) error
}

// bin is a quarantine in memory, or one that fails.
type bin struct {
	mu      sync.Mutex
	records []consumer.Record
	err     error
	keys    consumer.QuarantineKeys // zero = no record is reopened
}

func (b *bin) Keys() consumer.QuarantineKeys { return b.keys }

func (b *bin) Put(_ context.Context, r consumer.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.records = append(b.records, r)
	}
	return b.err
}

// reasons are those of the records, sorted.
func (b *bin) reasons() (list []envelope.Reason) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.records {
		list = append(list, r.Reason)
	}
	slices.Sort(list)
	return list
}

// faultyStore is a real store that may be down.
type faultyStore struct {
	replay.Store
	down error
}

func (s *faultyStore) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	if s.down != nil {
		return replay.Claim{}, 0, s.down
	}
	return s.Store.Claim(ctx, key, digest, until, lease)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, org: envelopetest.NewOrg(t, "orders", "https://orders.example/*"), bin: &bin{},
		log: &bytes.Buffer{}}
	w.trust = w.org.Trust()
	w.store = &faultyStore{Store: newStore(w.org)}
	w.policy = envelope.Policy{Sources: []string{"https://orders.example/*"}, Audience: envelopetest.Audience,
		Now: w.org.Now}
	w.core = consumer.Options{
		Quarantine: w.bin, Logger: slog.New(slog.DiscardHandler),
	}
	w.opts.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	return w
}

func newStore(org *envelopetest.Org) replay.Store {
	return replay.NewMemory(&replay.MemoryOptions{Now: org.Now})
}

func (w *world) consumer() *consumer.Consumer {
	w.Helper()
	c, err := consumer.New("billing", w.trust, w.store, &w.policy, &w.core)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

// handle notes the item, and does what the test says.
func (w *world) handle(ctx context.Context, d consumer.Delivery[order]) error {
	w.mu.Lock()
	w.handled = append(w.handled, d.Data.Item)
	w.mu.Unlock()
	if w.handler == nil {
		return nil
	}
	return w.handler(ctx, d)
}

// taken are the handled items since it was last asked, in order.
func (w *world) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	items := w.handled
	w.handled = nil
	return items
}

// sortedItems is taken, where the order is no matter.
func (w *world) sortedItems() []string {
	items := w.taken()
	slices.Sort(items)
	return items
}

func (w *world) sqs() func(context.Context, json.RawMessage) (awslambda.SQSResponse, error) {
	w.Helper()
	return awslambda.SQS(w.consumer(), w.handle, &w.opts)
}

func (w *world) invoke(payload []byte) *awslambdatest.Result {
	w.Helper()
	return awslambdatest.Invoke(w, w.sqs(), payload)
}

func (w *world) sealed(item string) *envelope.Sealed {
	w.Helper()
	return w.org.Event(w, typ, order{item})
}

// delivery is a new event with that item, as EventBridge delivers it.
func (w *world) delivery(item string) []byte {
	w.Helper()
	return w.deliver(w.sealed(item), nil)
}

func (w *world) deliver(sealed *envelope.Sealed, d *envelopetest.Delivered) []byte {
	w.Helper()
	entry, err := sealed.EventBridge(envelope.Structured)
	if err != nil {
		w.Fatal(err)
	}
	return awslambdatest.EventBridge(w, entry, d)
}

func (w *world) deliveries(items ...string) (list [][]byte) {
	w.Helper()
	for _, item := range items {
		list = append(list, w.delivery(item))
	}
	return list
}

// grouped are messages of a FIFO queue; each item is its group and a number: "a1", "a2", "b1".
func (w *world) grouped(items ...string) (list []awslambdatest.Grouped) {
	w.Helper()
	for _, item := range items {
		list = append(list, awslambdatest.Grouped{Group: item[:1], Body: w.delivery(item)})
	}
	return list
}

// failing makes these items fail.
func (w *world) failing(items ...string) {
	w.handler = func(_ context.Context, d consumer.Delivery[order]) error {
		if slices.Contains(items, d.Data.Item) {
			return errors.New("no stock")
		}
		return nil
	}
}

func (w *world) want(got *awslambdatest.Result, failed ...string) {
	w.Helper()
	if !slices.Equal(got.Failed, failed) {
		w.Errorf("to be delivered again: %v, want %v (error %v)", got.Failed, failed, got.Err)
	}
}

func same[T comparable](t testing.TB, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
