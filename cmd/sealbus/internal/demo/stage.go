package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// Who and where, in the demo.
const (
	demoAccount  = "111122223333"
	demoAudience = "central"
	demoSource   = "https://orders.example/eu"
	demoType     = "com.example.order.placed"
)

// stage is where the demo plays: the organisation with its keys and trust, and the consumers.
type stage struct {
	ctx   context.Context
	now   time.Time
	trust *trust.Bundle
	store replay.Store
	bus   *demoBus
	count int // of the events so far: each has an ID of its own

	orders, billing, revoked, retired, stranger *keys.LocalSigner
	rival                                       *keys.LocalSigner // of a second producer of the same source
	secrets                                     *secrets
}

// newStage makes keys, has a root key sign the bundle, and opens it as a consumer does.
func newStage(ctx context.Context, now time.Time) (*stage, error) {
	st := &stage{ctx: ctx, now: now.Truncate(time.Second)}
	st.store = replay.NewMemory(&replay.MemoryOptions{Now: func() time.Time { return st.now }})
	for _, k := range []struct {
		signer   **keys.LocalSigner
		producer string
		alg      keys.Algorithm
	}{
		{&st.orders, "orders", keys.Ed25519}, {&st.revoked, "orders", keys.Ed25519},
		{&st.retired, "orders", keys.ES256},
		{&st.billing, "billing", keys.ES256}, {&st.stranger, "orders", keys.Ed25519},
		{&st.rival, "shop", keys.Ed25519},
	} {
		var err error
		if *k.signer, err = keys.GenerateSigner(k.alg, k.producer); err != nil {
			return nil, err
		}
	}
	var err error
	if st.secrets, err = newSecrets(); err != nil {
		return nil, err
	}
	if st.trust, err = st.publishTrust(); err != nil {
		return nil, err
	}
	st.bus, err = newDemoBus(ctx)
	return st, err
}

func (st *stage) close() { st.bus.close() }

// publishTrust builds the bundle, without the stranger's key.
func (st *stage) publishTrust() (*trust.Bundle, error) {
	revoked, retired := st.key(st.revoked, "https://orders.example/*"),
		st.key(st.retired, "https://orders.example/*")
	revoked.Revoked = &trust.Revocation{At: st.now.Add(-time.Hour), Reason: "laptop lost"}
	retired.Schedule.Retired = st.now.Add(-time.Hour)
	bundle, err := trust.NewBundle(
		trust.BundleOptions{Version: 1, Issued: st.now, Expires: st.now.Add(trust.MaxBundleLifetime)},
		st.key(st.orders, "https://orders.example/*"), st.key(st.billing, "https://billing.example/*"),
		st.key(st.rival, "https://orders.example/*"), revoked, retired,
	)
	if err != nil {
		return nil, err
	}
	root, err := trust.GenerateRootKey(keys.Ed25519)
	if err != nil {
		return nil, err
	}
	signed, err := trust.SignBundle(st.ctx, bundle, root)
	if err != nil {
		return nil, err
	}
	roots, err := trust.NewRoots(1, 1, root.Verifier())
	if err != nil {
		return nil, err
	}
	return trust.OpenBundle(signed, roots, &trust.Options{Now: func() time.Time { return st.now }})
}

func (st *stage) key(s *keys.LocalSigner, sources ...string) *trust.Key {
	return &trust.Key{Verifier: s.Verifier(), Producer: s.Producer(), Sources: sources,
		Types: []string{"com.example.*"}, Accounts: []string{demoAccount}}
}

// act is one case being played. The first error sticks.
type act struct {
	*stage
	sent event.Event // what the producer published
	by   keys.Signer // with which key
	got  outcome     // of the last delivery
	err  error
}

func (s *act) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// event is a new order.
func (s *act) event() event.Event {
	s.count++
	ev := event.New()
	ev.SetID(fmt.Sprintf("order-%d", s.count))
	ev.SetSource(demoSource)
	ev.SetType(demoType)
	ev.SetSubject("basket/7")
	ev.SetTime(s.now.Add(-time.Minute).Add(250 * time.Millisecond))
	ev.SetExtension("tenant", "acme")
	ev.SetExtension("vip", true)
	ev.SetExtension("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if err := ev.SetData("application/json",
		[]byte(`{"total":12.5,"item":"chair","note":"Größe <M>"}`)); err != nil {
		s.fail(err)
	}
	return ev
}

// by is how an event is published. The zero value is as the producer orders does it.
type by struct {
	signer   *keys.LocalSigner // nil = that of orders
	audience string            // "" = demoAudience
	expires  time.Duration
	clock    time.Duration // how far the producer's clock is ahead
	layout   envelope.Layout

	encrypt   *envelope.Encrypter // nil = the data goes in clear
	fields    []string            // JSON Pointers of what is encrypted; nil = all of the data
	delegator *session.Session    // signs instead of signer; nil = none
}

// publish has a producer seal the event and put it on a bus, and is the EventBridge event that arrives.
func (s *act) publish(ev event.Event, how by) (delivery []byte) {
	s.sent = ev
	if how.signer == nil {
		how.signer = s.orders
	}
	if how.audience == "" {
		how.audience = demoAudience
	}
	s.by = how.signer
	now := func() time.Time { return s.now.Add(how.clock) }
	bus, err := eventbridge.New(s.bus.client, demoAudience, &eventbridge.Options{Layout: how.layout})
	if err != nil {
		s.fail(err)
		return nil
	}
	signs := keys.SignWith(how.signer)
	if how.delegator != nil {
		signs = how.delegator
	}
	p, err := producer.New(signs, bus, &producer.Options{Audience: how.audience, Expires: how.expires,
		Encrypt: how.encrypt, EncryptFields: how.fields, Now: now})
	if err != nil {
		s.fail(err)
		return nil
	}
	if _, err := p.Publish(s.ctx, ev); err != nil {
		s.fail(err)
		return nil
	}
	if delivery, err = s.bus.take(s.ctx); err != nil {
		s.fail(err)
	}
	return delivery
}

// genuine is the delivery of a new order.
func (s *act) genuine() []byte { return s.publish(s.event(), by{}) }

// reader is how a consumer is set up. The zero value is the usual one.
type reader struct {
	mode envelope.Mode
	late time.Duration // how long the delivery was held back

	decrypter *envelope.Decrypter // nil = the consumer's own
}

// deliver hands the bytes to the consumer and notes what became of them.
func (s *act) deliver(delivery []byte, how reader) {
	if s.err != nil {
		return
	}
	if how.decrypter == nil {
		how.decrypter = s.secrets.opens
	}
	var handled []consumer.Delivery[[]byte]
	policy := &envelope.Policy{
		Sources:   []string{"https://orders.example/*", "https://billing.example/*"},
		Audience:  demoAudience,
		Mode:      how.mode,
		Decrypter: how.decrypter,
		Now:       func() time.Time { return s.now.Add(how.late) },
	}
	c, err := consumer.New("demo", s.trust, s.store, policy, &consumer.Options{
		Quarantine: discarding{},
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.fail(err)
		return
	}
	// the result has the error's reason
	result, _ := c.Handle(s.ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
		func(_ context.Context, d consumer.Delivery[[]byte]) error {
			handled = append(handled, d)
			return nil
		})
	s.got = outcome{verdictWords[result.Outcome], result.Reason()}
	s.check(result.Outcome == consumer.Handled, handled)
}

// check makes sure that the handler was called once, with the very event that was sent, or not at all.
func (s *act) check(called bool, handled []consumer.Delivery[[]byte]) {
	switch {
	case !called && len(handled) > 0:
		s.fail(errors.New("the handler got an event that was refused"))
	case called && len(handled) != 1:
		s.fail(fmt.Errorf("the handler was called %d times", len(handled)))
	case called && (handled[0].Producer != s.by.Producer() ||
		!slices.Equal(handled[0].KeyIDs, []string{s.by.Verifier().KeyID()})):
		s.fail(errors.New("the handler was told another producer or key"))
	case called:
		s.fail(differs(&s.sent, &handled[0].Event))
	}
}

// differs says in what the handled event differs from the one that was sent. Sealing adds attributes of its
// own, and what hops may change is not signed and therefore not handed over.
func differs(sent, got *event.Event) error {
	data, err := jsontext.AppendCanonical(nil, sent.Data())
	if err != nil {
		return err
	}
	want, have := maps.Clone(sent.Extensions()), maps.Clone(got.Extensions())
	delete(want, "traceparent")
	for _, name := range [...]string{"recordedtime", "expirytime", "audience"} {
		delete(have, name)
	}
	switch {
	case sent.ID() != got.ID(), sent.Source() != got.Source(), sent.Type() != got.Type(),
		sent.Subject() != got.Subject():
		return errors.New("the handler got another id, source, type or subject")
	case !sent.Time().Equal(got.Time()):
		return errors.New("the handler got another time")
	case !bytes.Equal(data, got.Data()):
		return errors.New("the handler got other data")
	case !reflect.DeepEqual(want, have):
		return fmt.Errorf("the handler got the extensions %v instead of %v", have, want)
	}
	return nil
}

// discarding is a quarantine that keeps nothing: the demo shows the verdict.
type discarding struct{}

func (discarding) Put(context.Context, consumer.Record) error { return nil }
func (discarding) Keys() consumer.QuarantineKeys              { return consumer.QuarantineKeys{} }
