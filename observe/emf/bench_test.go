package emf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/observe/emf"
)

// anew is a store to which every event is new.
type anew struct{ replay.Store }

func (anew) Claim(_ context.Context, key, _ [32]byte, _ time.Time,
	_ time.Duration) (replay.Claim, replay.Status, error) {
	return replay.Claim{Key: key}, replay.New, nil
}
func (anew) Complete(context.Context, replay.Claim, time.Time) error { return nil }

// newConsumer is a consumer of what it is given as sealed.
func newConsumer(t testing.TB, store replay.Store,
	observer consumer.Observer) (c *consumer.Consumer, sealed []byte) {
	t.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{Expires: time.Now().Add(time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ev := event.New()
	ev.SetID("genuine")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]string{"note": string(bytes.Repeat([]byte("x"),
		1000))}); err != nil {
		t.Fatal(err)
	}
	s, err := envelope.Seal(t.Context(), ev, signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err = consumer.New("billing", bundle, store, policy, &consumer.Options{
		Observer: observer, Quarantine: discarding{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, s.JSON()
}

// discarding is a quarantine that keeps nothing.
type discarding struct{}

func (discarding) Put(context.Context, consumer.Record) error { return nil }
func (discarding) Keys() consumer.QuarantineKeys              { return consumer.QuarantineKeys{} }

func nothing(context.Context, consumer.Delivery[[]byte]) error { return nil }

// TestForgedThroughConsumer is the attacker at the front door: of what he writes into events nothing reaches
// the metrics.
func TestForgedThroughConsumer(t *testing.T) {
	var out bytes.Buffer
	c, sealed := newConsumer(t, replay.NewMemory(nil), newObserver(t, emf.Options{Writer: &out}))
	var genuine map[string]json.RawMessage
	if err := json.Unmarshal(sealed, &genuine); err != nil {
		t.Fatal(err)
	}
	members := []string{"id", "source", "type", "subject", "data", "dssematerial", "specversion", "evil"}
	const each = 100
	for i := range each {
		for _, member := range members {
			forged := map[string]json.RawMessage{}
			for name, value := range genuine {
				forged[name] = value
			}
			forged[member] = fmt.Appendf(nil, `"https://evil.example/%s/%d"`, member, i)
			body, err := json.Marshal(forged)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Handle(t.Context(), consumer.Message{Body: body}, nothing); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	docs := mustParse(t, out.Bytes())
	if bytes.Contains(out.Bytes(), []byte("evil")) || labelSets(docs) > 2*len(members) {
		t.Errorf("%s", out.Bytes())
	}
	// An extension that no one signed is dropped, and what is left is the genuine event: handled once.
	if all, bad, hits := total(docs, "Deliveries"), total(docs, "Rejections"),
		total(docs, "ReplayHits"); all != float64(each*len(members)) || bad+hits != all-1 {
		t.Errorf("%v deliveries, %v rejections, %v replay hits", all, bad, hits)
	}
}

// BenchmarkHandle is a delivery without and with metrics.
func BenchmarkHandle(b *testing.B) {
	for name, observer := range map[string]consumer.Observer{"none": nil,
		"emf": newObserver(b, emf.Options{Writer: io.Discard})} {
		b.Run(name, func(b *testing.B) {
			c, sealed := newConsumer(b, anew{}, observer)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Handle(b.Context(), consumer.Message{Body: sealed}, nothing); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDelivered is the Observer alone, its share of the lines included.
func BenchmarkDelivered(b *testing.B) {
	o, r := newObserver(b, emf.Options{Writer: io.Discard}), handled("orders")
	b.ReportAllocs()
	for b.Loop() {
		o.Delivered(b.Context(), r)
	}
}
