package sender_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/webhook/sender"
)

func base64url(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// newConsumer is a consumer that remembers in a store of its own.
func newConsumer(t *testing.T, org *envelopetest.Org) *consumer.Consumer {
	t.Helper()
	c, err := consumer.New("hooks", org.Trust(), replay.NewMemory(nil), org.Policy(),
		&consumer.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func to(ids ...string) sender.Pick {
	return func(context.Context, consumer.Delivery[[]byte]) ([]string, error) { return ids, nil }
}

// brokenPut is a store whose Put fails for one endpoint.
type brokenPut struct {
	sender.BackEnd
	endpoint string
}

func (b *brokenPut) Put(ctx context.Context, d sender.Delivery) error {
	if d.Endpoint == b.endpoint {
		return sender.ErrUnavailable
	}
	return b.BackEnd.Put(ctx, d)
}

// An event goes to each endpoint that is picked, once, however often it is delivered.
func TestForward(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	w := newWorld(t, sender.Options{}, endpoint("a"), endpoint("b"), endpoint("c"))
	store := &brokenPut{w.store, "b"}
	endpoints, err := sender.NewEndpoints(endpoint("a"), endpoint("b"))
	if err != nil {
		t.Fatal(err)
	}
	broken, err := sender.New(store, endpoints, &sender.Options{UnsafeTransport: w})
	if err != nil {
		t.Fatal(err)
	}
	sealed := org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	msg := consumer.Message{Body: sealed.JSON()}
	// The store fails for one of two endpoints: the event is delivered again.
	r, err := newConsumer(t, org).Handle(t.Context(), msg, broken.Forward(to("a", "b")))
	if r.Outcome != consumer.Retry || err == nil {
		t.Fatalf("%v, %v, want retry", r.Outcome, err)
	}
	for range 2 { // each a consumer that has forgotten the event
		r, err = newConsumer(t, org).Handle(t.Context(), msg, w.Forward(to("a", "b")))
		if r.Outcome != consumer.Handled || err != nil {
			t.Fatalf("%v, %v, want handled", r.Outcome, err)
		}
		if _, err := w.Once(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.got) != 2 || len(w.to("a")) != 1 || len(w.to("b")) != 1 {
		t.Fatalf("%d requests, want one to each", len(w.got))
	}
	a, b := w.to("a")[0], w.to("b")[0]
	if a.id() == b.id() || a.verify(verifier(t, secretText)) != nil {
		t.Errorf("IDs %s and %s, or a bad signature", a.id(), b.id())
	}
	var event struct {
		Type, Source string
		Data         map[string]int
	}
	if err := json.Unmarshal(a.body, &event); err != nil || event.Type != "com.example.order.placed" ||
		event.Data["total"] != 7 || a.Header.Get("Content-Type") != "application/cloudevents+json" {
		t.Errorf("sent as %s %q, %v", a.Header.Get("Content-Type"), a.body, err)
	}
}

// A forged event goes nowhere.
func TestForwardSendsOnWhatWasVerified(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	w := newWorld(t, sender.Options{}, endpoint("a"))
	broken := org.Broken(t, envelope.ReasonBadSignature)
	msg := consumer.Message{Body: broken.JSON}
	for _, handle := range []func() (consumer.Result, error){
		func() (consumer.Result, error) {
			return newConsumer(t, org).Handle(t.Context(), msg, w.Forward(to("a")))
		},
		func() (consumer.Result, error) {
			return w.Relay(t.Context(), newConsumer(t, org), msg, to("a"))
		},
	} {
		if r, err := handle(); r.Reason() != envelope.ReasonBadSignature || err == nil {
			t.Errorf("%q, %v, want bad_signature", r.Reason(), err)
		}
	}
	if n, err := w.Once(t.Context()); n != 0 || err != nil {
		t.Errorf("%d deliveries, %v, want none", n, err)
	}
}

// Data that was encrypted is not sent on in the clear, unless the program says so. Relay sends it as it came.
func TestForwardEncrypted(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	sealed := org.EncryptedEvent(t, "com.example.order.placed", map[string]string{"card": "4111"})
	msg := consumer.Message{Body: sealed.JSON()}
	w := newWorld(t, sender.Options{}, endpoint("a"))
	if r, err := newConsumer(t, org).Handle(t.Context(), msg, w.Forward(to("a"))); r.Outcome != consumer.Retry {
		t.Errorf("%v, %v, want retry", r.Outcome, err)
	}
	if r, err := w.Relay(t.Context(), newConsumer(t, org), msg, to("a")); r.Outcome != consumer.Handled {
		t.Fatalf("%v, %v, want handled", r.Outcome, err)
	}
	if _, err := w.Once(t.Context()); err != nil || len(w.got) != 1 {
		t.Fatalf("%d requests, %v, want one", len(w.got), err)
	}
	if string(w.got[0].body) != string(sealed.JSON()) {
		t.Error("the sealed event was changed on its way")
	}
	if r, err := newConsumer(t, org).Handle(t.Context(), consumer.Message{Body: w.got[0].body},
		func(context.Context, consumer.Delivery[[]byte]) error { return nil }); r.Outcome != consumer.Handled {
		t.Errorf("the receiver opens it as %v, %v", r.Outcome, err)
	}
	unsafe := newWorld(t, sender.Options{UnsafeForwardDecrypted: true}, endpoint("a"))
	r, err := newConsumer(t, org).Handle(t.Context(), msg, unsafe.Forward(to("a")))
	if r.Outcome != consumer.Handled {
		t.Errorf("%v, %v, want handled", r.Outcome, err)
	}
}

// Two texts of one event, because its producer published it twice, are one message.
func TestRelayOfAnEventPublishedTwice(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	w := newWorld(t, sender.Options{}, endpoint("a"))
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	var texts [2]string
	for i := range texts {
		sealed, err := envelope.Seal(t.Context(), ev, org.Signer(), &envelope.SealOptions{Now: org.Now,
			Audience: envelopetest.Audience})
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(sealed.JSON())
		msg := consumer.Message{Body: sealed.JSON()}
		if r, err := w.Relay(t.Context(), newConsumer(t, org), msg, to("a")); err != nil {
			t.Fatalf("%v, %v, want handled", r.Outcome, err)
		}
		org.Advance(time.Second)
	}
	if n, err := w.Once(t.Context()); n != 1 || err != nil || texts[0] == texts[1] {
		t.Errorf("%d deliveries, %v, want one; the texts are the same: %t", n, err, texts[0] == texts[1])
	}
}

func TestRelayRefuses(t *testing.T) {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	w := newWorld(t, sender.Options{}, endpoint("a"))
	body := org.Event(t, "com.example.order.placed", map[string]int{"total": 7}).JSON()
	for _, f := range []consumer.Format{consumer.EventBridge, consumer.Wrapped, consumer.HTTP} {
		m := consumer.Message{Body: body, Format: f}
		r, err := w.Relay(t.Context(), newConsumer(t, org), m, to("a"))
		if r.Outcome != consumer.Retry || err == nil {
			t.Errorf("%v: %v, %v, want an error", f, r.Outcome, err)
		}
	}
	m := consumer.Message{Body: body}
	r, err := w.Relay(t.Context(), newConsumer(t, org), m, to("a", "unknown"))
	if r.Outcome != consumer.Retry || !errors.Is(err, sender.ErrNoEndpoint) {
		t.Errorf("an unknown endpoint: %v, %v, want ErrNoEndpoint", r.Outcome, err)
	}
}
