package consumer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/keys/trust"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	source  = "https://orders.example/eu"
	typ     = "com.example.order.placed"
	payload = "https://cloudevents.io/verifiability/dsse/v0.1"
)

// world is a consumer with everything around it, in a time of its own.
type world struct {
	testing.TB
	clock   *replaytest.Clock
	signers map[string]*keys.LocalSigner // by producer
	keys    []*trust.Key
	trust   source1
	store   *faultyStore
	bin     *bin
	policy  envelope.Policy
	opts    consumer.Options
	handled []consumer.Delivery[[]byte]
	fail    error // what the handler returns

	data    json.RawMessage     // the data of all events; nil = their own
	encrypt *envelope.Encrypter // whom all events are encrypted to; nil = they are not
	fields  []string            // what of them is encrypted; nil = all of the data
	service *keystest.Service   // the consumer's key, once there are secrets
}

// source1 is a trust.Source of one bundle, or of an error.
type source1 struct {
	bundle *trust.Bundle
	err    error
}

func (s *source1) Bundle(context.Context) (*trust.Bundle, error) { return s.bundle, s.err }

// bin is a quarantine that keeps its records in memory, or fails.
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

// faultyStore is a real store with faults that a test switches on.
type faultyStore struct {
	replay.Store
	claim, renew, complete, release error
	afterClaim                      func()
	onRenew                         func()
	releases                        int

	mu     sync.Mutex
	untils []time.Time // that were given to Claim and Complete
}

func (s *faultyStore) note(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untils = append(s.untils, until)
}

func (s *faultyStore) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	s.note(until)
	if s.claim != nil {
		return replay.Claim{}, 0, s.claim
	}
	claim, status, err := s.Store.Claim(ctx, key, digest, until, lease)
	if after := s.afterClaim; after != nil {
		s.afterClaim = nil
		after()
	}
	return claim, status, err
}

func (s *faultyStore) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	if s.onRenew != nil {
		s.onRenew()
	}
	if s.renew != nil {
		return s.renew
	}
	return s.Store.Renew(ctx, claim, lease)
}

func (s *faultyStore) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	s.note(until)
	if s.complete != nil {
		return s.complete
	}
	return s.Store.Complete(ctx, claim, until)
}

func (s *faultyStore) Release(ctx context.Context, claim replay.Claim) error {
	s.releases++
	if s.release != nil {
		return s.release
	}
	return s.Store.Release(ctx, claim)
}

// newWorld has the producer "orders", that may say everything under https://orders.example/, and "billing".
func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: replaytest.NewClock(start), signers: map[string]*keys.LocalSigner{}, bin: &bin{}}
	w.enrol("orders", "https://orders.example/*")
	w.enrol("billing", "https://billing.example/*")
	w.publish(trust.BundleOptions{})
	w.store = &faultyStore{Store: replay.NewMemory(&replay.MemoryOptions{Now: w.clock.Now})}
	w.policy = envelope.Policy{Sources: []string{"https://orders.example/*", "https://billing.example/*"},
		Now: w.clock.Now}
	w.opts = consumer.Options{Quarantine: w.bin, Logger: slog.New(slog.DiscardHandler)}
	return w
}

func (w *world) enrol(producer, pattern string) {
	w.Helper()
	signer, err := keys.GenerateSigner(keys.Ed25519, producer)
	if err != nil {
		w.Fatal(err)
	}
	w.signers[producer] = signer
	w.keys = append(w.keys, &trust.Key{
		Verifier: signer.Verifier(), Producer: producer, Sources: []string{pattern},
		Types: []string{"com.example.*"},
	})
}

// publish makes the bundle anew, after a test changed a key.
func (w *world) publish(opts trust.BundleOptions) {
	w.Helper()
	bundle, err := trust.NewBundle(opts, w.keys...)
	if err != nil {
		w.Fatal(err)
	}
	w.trust.bundle = bundle
}

func placed(id string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource(source)
	ev.SetType(typ)
	if err := ev.SetData("application/json", json.RawMessage(`{"amount":12,"item":"pen"}`)); err != nil {
		panic(err)
	}
	return ev
}

// seal seals as orders, now.
func (w *world) seal(ev event.Event, opts envelope.SealOptions) *envelope.Sealed {
	w.Helper()
	return w.sealAs(w.signers["orders"], ev, opts)
}

func (w *world) sealAs(signer keys.Signer, ev event.Event, opts envelope.SealOptions) *envelope.Sealed {
	w.Helper()
	if opts.Now == nil {
		opts.Now = w.clock.Now
	}
	if opts.Encrypt == nil {
		opts.Encrypt = w.encrypt
	}
	if opts.Encrypt != nil && opts.EncryptFields == nil {
		opts.EncryptFields = w.fields
	}
	if w.data != nil && ev.DataContentType() == "application/json" {
		if err := ev.SetData("application/json", w.data); err != nil {
			w.Fatal(err)
		}
	}
	sealed, err := envelope.Seal(context.Background(), ev, signer, &opts)
	if err != nil {
		w.Fatal(err)
	}
	return sealed
}

// event is a genuine sealed event.
func (w *world) event(id string) []byte {
	w.Helper()
	return w.seal(placed(id), envelope.SealOptions{}).JSON()
}

func (w *world) consumer() *consumer.Consumer {
	w.Helper()
	c, err := consumer.New("test", &w.trust, w.store, &w.policy, &w.opts)
	if err != nil {
		w.Fatal(err)
	}
	return c
}

func (w *world) handle(_ context.Context, d consumer.Delivery[[]byte]) error {
	w.handled = append(w.handled, d)
	return w.fail
}

// deliver is one delivery of a CloudEvent to a new consumer process.
func (w *world) deliver(body []byte) (consumer.Result, error) {
	w.Helper()
	return w.consumer().Handle(context.Background(), consumer.Message{Body: body}, w.handle)
}

// want delivers and expects this outcome and Reason.
func (w *world) want(body []byte, outcome consumer.Outcome, reason envelope.Reason) {
	w.Helper()
	r, err := w.deliver(body)
	w.check(r, err, outcome, reason)
}

func (w *world) check(r consumer.Result, err error, outcome consumer.Outcome, reason envelope.Reason) {
	w.Helper()
	if r.Outcome != outcome || r.Reason() != reason {
		w.Fatalf("%s, reason %q, want %s, reason %q (error: %v)", r.Outcome, r.Reason(), outcome, reason, err)
	}
	if (err != nil) != (outcome == consumer.Retry) {
		w.Fatalf("%s with error %v", outcome, err)
	}
	if err != nil && envelope.ReasonOf(err) != reason {
		w.Fatalf("error %v, want the reason %q", err, reason)
	}
}

// edit changes one value in a JSON object.
func edit(doc []byte, member string, value any) []byte {
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		panic(err)
	}
	if m[member] = value; value == nil {
		delete(m, member)
	}
	out, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}

// material is a dssematerial with this payload, signed by each of the signers.
func material(payloadType, signed string, signers ...keys.Signer) string {
	var signatures []any
	for _, signer := range signers {
		sig, err := signer.Sign(context.Background(), dsse.PAE(nil, payloadType, []byte(signed)))
		if err != nil {
			panic(err)
		}
		signatures = append(signatures, map[string]string{
			"keyid": signer.Verifier().KeyID(), "sig": base64.StdEncoding.EncodeToString(sig),
		})
	}
	doc, err := json.Marshal(map[string]any{
		"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString([]byte(signed)),
		"signatures": signatures,
	})
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(doc)
}

// payloadOf is the signed payload of a sealed event.
func payloadOf(sealed []byte) string {
	var ev struct{ DSSEMaterial []byte }
	var env struct{ Payload []byte }
	if err := errors.Join(json.Unmarshal(sealed, &ev), json.Unmarshal(ev.DSSEMaterial, &env)); err != nil {
		panic(err)
	}
	return string(env.Payload)
}

// foreign is an event as another implementation of the standard seals it: core attributes only, perhaps a
// time.
func (w *world) foreign(id, at string) []byte { return w.foreignBy(id, at, `{"a":1}`, "orders") }

// foreignBy is one with this data, that each of these producers signed.
func (w *world) foreignBy(id, at, data string, producers ...string) []byte {
	w.Helper()
	var sums []byte
	for _, v := range []string{id, source, "1.0", typ, "application/json", "", "", at, data} {
		sum := sha256.Sum256([]byte(v))
		sums = append(sums, sum[:]...)
	}
	core := sha256.Sum256(sums)
	signed := `{"core":"` + base64.StdEncoding.EncodeToString(core[:]) + `"}`
	var signers []keys.Signer
	for _, p := range producers {
		signers = append(signers, w.signers[p])
	}
	ev := map[string]any{
		"specversion": "1.0", "id": id, "source": source, "type": typ, "datacontenttype": "application/json",
		"data": json.RawMessage(data), "dssematerial": material(payload, signed, signers...),
	}
	if at != "" {
		ev["time"] = at
	}
	doc, err := json.Marshal(ev)
	if err != nil {
		panic(err)
	}
	return doc
}

// delivery is the sealed event as EventBridge delivers it.
func (w *world) delivery(sealed *envelope.Sealed, account string) []byte {
	w.Helper()
	entry, err := sealed.EventBridge(envelope.Structured)
	if err != nil {
		w.Fatal(err)
	}
	doc, err := json.Marshal(map[string]any{
		"version": "0", "id": "7bf73129-1428-4cd3-a780-95db273d1602", "detail-type": entry.DetailType,
		"source":  entry.Source,
		"account": account, "time": "2026-03-01T12:00:00Z", "region": "eu-central-1", "resources": []string{},
		"detail": json.RawMessage(entry.Detail),
	})
	if err != nil {
		w.Fatal(err)
	}
	return doc
}
