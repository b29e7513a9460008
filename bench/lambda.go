package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
)

const storeCapacity = 1 << 12

// forgetful is a memory store for which the same events are new ones after forget.
type forgetful struct {
	replay.Store
	epoch uint64
	held  int
}

// forget makes all events new ones, of which up to this many are handled before the next call.
func (s *forgetful) forget(events int) {
	s.epoch++
	s.held += events
	if s.Store == nil || s.held > storeCapacity/2 {
		s.Store, s.held = replay.NewMemory(&replay.MemoryOptions{Capacity: storeCapacity}), events
	}
}

func (s *forgetful) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	binary.LittleEndian.PutUint64(key[:], s.epoch)
	return s.Store.Claim(ctx, key, digest, until, lease)
}

func (f *fixture) consumer() (*consumer.Consumer, *forgetful) {
	store := &forgetful{}
	store.forget(0)
	c, err := consumer.New("bench", f.trust, store, policy(), &consumer.Options{
		Logger: slog.New(slog.DiscardHandler),
	})
	must(err == nil)
	return c, store
}

// batches are what a Lambda function does with the messages of a queue, from the JSON of the invocation to
// its response. sealbus verifies, claims, handles and completes each sealed event as EventBridge delivers it.
// By hand, the detail of the delivery is a JWS of go-jose, and a map has the IDs.
func (f *fixture) batches() group {
	g := group{title: f.label("batches")}
	for _, n := range batchSizes {
		sealbus := f.batch(n, 1)
		r := row{operation: sealbus, beside: f.verify}
		if n == 10 {
			r.target = map[int]float64{1 << 10: 0.95, 16 << 10: 2.2}[f.size]
			r.wanted = fmt.Sprintf("SQS batch of 10, %s, x 10 raw", sizeName(f.size))
		}
		g.rows = append(g.rows, r,
			row{operation: f.batchByHand(n), beside: f.verify, peer: true})
	}
	g.rows = append(g.rows, row{operation: f.batch(10, 10), beside: f.verify})
	return g
}

func (f *fixture) batch(n, parallel int) *operation {
	c, store := f.consumer()
	handled := new(atomic.Int64)
	function := awslambda.SQS(c, func(context.Context, consumer.Delivery[[]byte]) error {
		handled.Add(1)
		return nil
	}, &awslambda.Options{Parallel: parallel})
	payload := f.invocation(n, func(i int) json.RawMessage {
		sealed := f.sealedAs(i)
		entry, err := sealed.EventBridge(envelope.Structured)
		must(err == nil)
		return json.RawMessage(entry.Detail)
	})
	return &operation{name: f.label(fmt.Sprintf("SQS batch of %d, %d at a time", n, parallel)), events: n,
		run: func() {
			store.forget(n)
			handled.Store(0)
			response, err := function(context.Background(), payload)
			must(err == nil && len(response.BatchItemFailures) == 0 && handled.Load() == int64(n))
		}}
}

// sealedAs is the event with an ID of its own.
func (f *fixture) sealedAs(i int) *envelope.Sealed {
	ev := f.ev.Clone()
	ev.SetID(eventID(i))
	sealed, err := envelope.Seal(context.Background(), ev, f.signer, nil)
	must(err == nil)
	return sealed
}

func eventID(i int) string { return fmt.Sprintf("0b2f6c1e-8d6a-4a53-9c07-0c9d%08d", i) }

// delivery is an event of EventBridge, without the members that no one reads here.
type delivery struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// message is one message of an SQS invocation.
type message struct {
	MessageID         string            `json:"messageId"`
	ReceiptHandle     string            `json:"receiptHandle"`
	Body              string            `json:"body"`
	Attributes        map[string]string `json:"attributes"`
	MessageAttributes map[string]string `json:"messageAttributes"`
	EventSource       string            `json:"eventSource"`
	EventSourceARN    string            `json:"eventSourceARN"`
	AWSRegion         string            `json:"awsRegion"`
}

type invocation struct {
	Records []message
}

// invocation is what Lambda gives to a function whose queue has n deliveries of EventBridge.
func (f *fixture) invocation(n int, detail func(i int) json.RawMessage) json.RawMessage {
	var in invocation
	for i := range n {
		body, err := json.Marshal(delivery{Version: "0", ID: fmt.Sprint(i), DetailType: f.ev.Type(),
			Source: f.ev.Source(), Account: "123456789012", Time: "2026-01-01T00:00:00Z",
			Region: "eu-central-1", Resources: []string{}, Detail: detail(i)})
		must(err == nil)
		in.Records = append(in.Records, message{
			MessageID: fmt.Sprintf("059f36b4-87a3-44ab-83d2-66197583%04d", i), ReceiptHandle: "AQEB",
			Body: string(body), EventSource: "aws:sqs", AWSRegion: "eu-central-1",
			Attributes: map[string]string{"ApproximateReceiveCount": "1",
				"SentTimestamp": "1545082649183"},
			MessageAttributes: map[string]string{},
			EventSourceARN:    "arn:aws:sqs:eu-central-1:123456789012:events",
		})
	}
	payload, err := json.Marshal(in)
	must(err == nil)
	return payload
}

func (f *fixture) batchByHand(n int) *operation {
	type signed struct {
		JWS string `json:"jws"`
	}
	signer, algs := f.joseSigner()
	payload := f.invocation(n, func(i int) json.RawMessage {
		ev := f.ev.Clone()
		ev.SetID(eventID(i))
		body, err := json.Marshal(ev)
		must(err == nil)
		jws, err := signer.Sign(body)
		must(err == nil)
		text, err := jws.CompactSerialize()
		must(err == nil)
		detail, err := json.Marshal(signed{text})
		must(err == nil)
		return detail
	})
	return &operation{name: f.label(fmt.Sprintf("SQS batch of %d, by hand: go-jose", n)), events: n,
		run: func() {
			var in invocation
			must(json.Unmarshal(payload, &in) == nil)
			seen := map[string]bool{}
			for _, m := range in.Records {
				var d delivery
				var detail signed
				must(json.Unmarshal([]byte(m.Body), &d) == nil && json.Unmarshal(d.Detail, &detail) == nil)
				ev := f.openJose(detail.JWS, algs)
				must(ev.Source() == d.Source && ev.Type() == d.DetailType && !seen[ev.ID()])
				seen[ev.ID()] = true
			}
			must(len(seen) == n)
		}}
}

// deafBus accepts every event, and does nothing.
type deafBus struct{}

func (deafBus) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	return make([]producer.Result, len(events))
}

// programs are the whole of what a consumer and a producer do, beside a handler and a bus that do nothing.
func (f *fixture) programs() (group, error) {
	const events = 100
	list := make([]event.Event, events)
	for i := range list {
		list[i] = f.ev.Clone()
		list[i].SetID(eventID(i))
	}
	p, err := producer.New(keys.SignWith(f.signer), deafBus{}, nil)
	if err != nil {
		return group{}, err
	}
	publish := func(name string, processors int) *operation {
		return &operation{name: f.label(name), events: events, processors: processors, run: func() {
			_, err := p.Publish(context.Background(), list...)
			must(err == nil)
		}}
	}
	one := publish("Publish to a bus that does nothing, wall time, one core", 1)
	two := publish("Publish to a bus that does nothing, wall time, two cores", 2)
	handle := f.handle()
	return group{"Handle and Publish", []row{
		{operation: handle, kind: perSecond, target: 30_000,
			wanted: "Handle with the memory store, 1 KiB, events a second and core"},
		{operation: handle, kind: allocs, target: 30, wanted: "Handle with the memory store, allocations"},
		{operation: two, beside: one, kind: speedup, target: 1.7,
			wanted: "Publish to a bus that does nothing, 1 KiB, two cores, x one core"},
	}}, nil
}

// handle takes different events through Handle with the memory store, one after the other.
func (f *fixture) handle() *operation {
	c, store := f.consumer()
	bodies := make([][]byte, 1<<8)
	for i := range bodies {
		bodies[i] = f.sealedAs(i).JSON()
	}
	handler := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
	next := 0
	return &operation{name: f.label("Handle with the memory store"), run: func() {
		if next == 0 {
			store.forget(len(bodies))
		}
		result, err := c.Handle(context.Background(), consumer.Message{Body: bodies[next]}, handler)
		must(err == nil && result.Outcome == consumer.Handled)
		next = (next + 1) % len(bodies)
	}}
}
