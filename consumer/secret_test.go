package consumer_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

// keepSecrets has all events encrypted to the consumer's key, in a service that counts.
func (w *world) keepSecrets() *keystest.Service {
	w.Helper()
	if w.service != nil {
		return w.service
	}
	s := keystest.NewService("arn:test:key/1")
	w.service = s
	var err error
	if w.encrypt, err = envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{s}}); err != nil {
		w.Fatal(err)
	}
	if w.policy.Decrypter, err = envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{s}}); err != nil {
		w.Fatal(err)
	}
	return s
}

func outage(_ context.Context, op string) error {
	return &keys.ServiceError{Op: op, KeyID: "arn:test:key/1", Cause: "throttled", Fix: "wait a little"}
}

// transplanted is the event id around the ciphertext of another one, genuinely signed.
func (w *world) transplanted(id, other string) []byte {
	w.Helper()
	var from struct{ Data json.RawMessage }
	if err := json.Unmarshal(w.event(other), &from); err != nil {
		w.Fatal(err)
	}
	shell := placed(id)
	if err := shell.SetData("application/jose+json", []byte(from.Data)); err != nil {
		w.Fatal(err)
	}
	encrypt := w.encrypt
	w.encrypt = nil
	doc := w.seal(shell, envelope.SealOptions{}).JSON()
	w.encrypt = encrypt
	signed := strings.TrimSuffix(payloadOf(doc), "}}") + `,"enc":"jwe"}}`
	return edit(doc, "dssematerial", material(payload, signed, w.signers["orders"]))
}

// counted is an identity that counts what is asked of it.
type counted struct {
	keys.Identity
	asked atomic.Int64
}

func (c *counted) ECDH(ctx context.Context, peer *ecdh.PublicKey) ([]byte, error) {
	c.asked.Add(1)
	return c.Identity.ECDH(ctx, peer)
}

// afterDecryption are the Reasons of checks that come after a key was touched.
var afterDecryption = []envelope.Reason{envelope.ReasonSchemaInvalid, envelope.ReasonHandlerFailed,
	envelope.ReasonKMSUnavailable}

// No key is unwrapped for an event that a check before decryption refuses, whichever it is: neither in a
// service nor in memory. A new Reason lands here by itself, as every Reason has a case.
func TestNoKeyIsTouched(t *testing.T) {
	for _, c := range reasonCases {
		t.Run(string(c.reason), func(t *testing.T) {
			w := newWorld(t)
			service := w.keepSecrets()
			local, err := keys.GenerateIdentity(keys.X25519)
			if err != nil {
				t.Fatal(err)
			}
			identity := &counted{Identity: local}
			w.encrypt, err = envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{service},
				Recipients: []*keys.Recipient{local.Recipient()}})
			if err != nil {
				t.Fatal(err)
			}
			d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(identity),
				Services: []keys.ServiceIdentity{service}})
			if err != nil {
				t.Fatal(err)
			}
			w.policy.Decrypter = d
			msg := c.encrypted(w)
			d.Forget() // what came before was opened; nothing of it is at hand
			before := identity.asked.Load() + service.Calls("test:DecryptKey")
			handler := consumer.Handler(w.handle)
			if c.handler != nil {
				handler = c.handler(w)
			}
			r, _ := w.consumer().Handle(context.Background(), msg, handler)
			if r.Reason() != c.reason {
				t.Fatalf("reason %q", r.Reason())
			}
			asked := identity.asked.Load() + service.Calls("test:DecryptKey") - before
			if touched := asked > 0; touched != slices.Contains(afterDecryption, c.reason) {
				t.Errorf("%d keys were unwrapped", asked)
			}
		})
	}
}

// encrypted is the case with an event that is encrypted: to another recipient for not_a_recipient, to the
// service alone for kms_unavailable.
func (c *reasonCase) encrypted(w *world) consumer.Message {
	to := w.service
	switch c.reason {
	case envelope.ReasonNotARecipient:
		to = keystest.NewService("arn:test:key/2")
	case envelope.ReasonKMSUnavailable:
	default:
		return c.message(w)
	}
	only, err := envelope.NewEncrypter(envelope.EncryptTo{Services: []keys.ServiceRecipient{to}})
	if err != nil {
		w.Fatal(err)
	}
	w.encrypt = only
	if c.reason == envelope.ReasonNotARecipient {
		return body(w.event("1"))
	}
	return c.message(w)
}

// The handler gets the plain data and is told what was secret; a duplicate is one although it is encrypted
// anew.
func TestHandlesSecrets(t *testing.T) {
	for _, fields := range [][]string{nil, {"/amount"}} {
		w := newWorld(t)
		s := w.keepSecrets()
		w.policy.RequireEncryptedFields = []string{"/amount"}
		seal := func(id string) []byte { return w.seal(placed(id), envelope.SealOptions{EncryptFields: fields}).JSON() }
		first, again := seal("1"), seal("1")
		if bytes.Equal(first, again) {
			t.Fatal("encrypted twice to the same bytes")
		}
		w.want(first, consumer.Handled, "")
		w.want(again, consumer.Duplicate, envelope.ReasonReplayed)
		w.want(seal("2"), consumer.Handled, "")
		other := placed("1")
		other.SetSubject("another")
		w.want(w.seal(other, envelope.SealOptions{EncryptFields: fields}).JSON(), consumer.Quarantined,
			envelope.ReasonIDReused)
		d := w.handled[0]
		if string(d.Data) != `{"amount":12,"item":"pen"}` ||
			d.Event.DataContentType() != "application/json" || len(d.Event.Extensions()) != 1 {
			t.Errorf("handled %s", d.Event)
		}
		e := d.Encryption
		if e == nil || e.OpenedWith != s.KeyID() || !slices.Equal(e.Fields, fields) ||
			s.Calls("test:DecryptKey") != 1 {
			t.Errorf("%+v, %d keys decrypted", e, s.Calls("test:DecryptKey"))
		}
	}
}

// A changed clear member makes another event of it, beside the same secret one.
func TestClearPartTellsEventsApart(t *testing.T) {
	w := newWorld(t)
	w.keepSecrets()
	w.want(w.seal(placed("1"), envelope.SealOptions{EncryptFields: []string{"/amount"}}).JSON(),
		consumer.Handled, "")
	other := placed("1")
	if err := other.SetData("application/json", json.RawMessage(`{"amount":12,"item":"car"}`)); err != nil {
		t.Fatal(err)
	}
	w.want(w.seal(other, envelope.SealOptions{EncryptFields: []string{"/amount"}}).JSON(),
		consumer.Quarantined, envelope.ReasonIDReused)
}

// An event that cannot be decrypted goes to the quarantine as it came. Only then is its claim released:
// reopened with the right key, it is handled.
func TestQuarantinedStaysEncrypted(t *testing.T) {
	w := newWorld(t)
	right := w.keepSecrets()
	doc := w.event("1")
	w.event("2")
	imposter := keystest.NewService("arn:test:key/1") // the name of the key, and not its secret
	d, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{imposter}})
	if err != nil {
		t.Fatal(err)
	}
	good := w.policy.Decrypter
	w.policy.Decrypter = d
	released := -1
	w.opts.Quarantine = quarantineFunc(func(ctx context.Context, r consumer.Record) error {
		released = w.store.releases
		return w.bin.Put(ctx, r)
	})
	w.want(doc, consumer.Quarantined, envelope.ReasonDecryptFailed)
	if released != 0 || w.store.releases != 1 {
		t.Errorf("%d releases before the quarantine had it, %d after", released, w.store.releases)
	}
	if rec := w.bin.records[0]; !bytes.Equal(rec.Message.Body, doc) ||
		bytes.Contains(rec.Message.Body, []byte(`"pen"`)) {
		t.Errorf("in quarantine: %s", rec.Message.Body)
	}
	w.policy.Decrypter = good
	w.want(w.bin.records[0].Message.Body, consumer.Handled, "")
	if right.Calls("test:DecryptKey") != 1 {
		t.Errorf("%d keys decrypted", right.Calls("test:DecryptKey"))
	}
}

// A key service that is down loses nothing: the claim is released, and the delivery made again is handled.
func TestKeyServiceIsDown(t *testing.T) {
	w := newWorld(t)
	s := w.keepSecrets()
	doc := w.event("1")
	s.Fail = outage
	for range 3 {
		r, err := w.deliver(doc)
		w.check(r, err, consumer.Retry, envelope.ReasonKMSUnavailable)
		if r.Verdict.Fix() != "wait a little" {
			t.Errorf("fix %q", r.Verdict.Fix())
		}
		w.clock.Advance(time.Minute)
	}
	s.Fail = nil
	w.want(doc, consumer.Handled, "")
	if w.store.releases != 3 || len(w.bin.records) != 0 {
		t.Errorf("%d releases, %d records in quarantine", w.store.releases, len(w.bin.records))
	}
}

// While a key service is slow, the event may go stale, and the claim to another worker.
func TestFrozenWhileDecrypting(t *testing.T) {
	w := newWorld(t)
	s := w.keepSecrets()
	doc := w.event("1")
	s.Fail = func(context.Context, string) error {
		w.clock.Advance(envelope.DefaultMaxAge + time.Hour)
		return nil
	}
	w.want(doc, consumer.Quarantined, envelope.ReasonExpired)
	if len(w.handled) != 0 {
		t.Error("a stale event was handled")
	}

	w = newWorld(t)
	s = w.keepSecrets()
	doc = w.event("1")
	var once atomic.Bool
	s.Fail = func(context.Context, string) error {
		if once.CompareAndSwap(false, true) {
			w.clock.Advance(2 * consumer.DefaultLease) // the lease lapses, and another worker handles it meanwhile
			w.want(doc, consumer.Handled, "")
		}
		return nil
	}
	w.policy.Decrypter, _ = envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{s}})
	other := w.policy
	other.Decrypter, _ = envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{s}})
	c, err := consumer.New("test", &w.trust, w.store, &other, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Handle(t.Context(), body(doc), w.handle)
	w.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
	if len(w.handled) != 1 {
		t.Errorf("handled %d times", len(w.handled))
	}
}

// New refuses options under which no event could be handled.
func TestSecretOptions(t *testing.T) {
	w := newWorld(t)
	w.policy.RequireEncrypted = true
	_, err := consumer.New("test", &w.trust, w.store, &w.policy, &w.opts)
	if err == nil || !strings.Contains(err.Error(), "no Decrypter") {
		t.Errorf("got %v", err)
	}
	w.policy.RequireEncrypted = false
	w.keepSecrets()
	w.policy.RequireEncryptedFields = []string{"amount"}
	_, err = consumer.New("test", &w.trust, w.store, &w.policy, &w.opts)
	if err == nil || !strings.Contains(err.Error(), "RequireEncryptedFields") {
		t.Errorf("got %v", err)
	}
}

// Nothing is left behind when the caller leaves while a key service is asked.
func TestCallerLeavesWhileDecrypting(t *testing.T) {
	w := newWorld(t)
	s := w.keepSecrets()
	doc := w.event("1")
	before := runtime.NumGoroutine()
	asked := make(chan struct{})
	s.Fail = func(ctx context.Context, _ string) error {
		close(asked)
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	r, err := w.consumer().Handle(ctx, body(doc), w.handle)
	w.check(r, err, consumer.Retry, envelope.ReasonKMSUnavailable)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for i := 0; runtime.NumGoroutine() > before && i < 500; i++ {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}
