package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// reasonCase is how a delivery comes to end with one Reason.
type reasonCase struct {
	reason  envelope.Reason
	message func(w *world) consumer.Message // sets the world up, too
	handler func(w *world) consumer.Handler // nil = one that succeeds
	called  bool                            // the handler is called
}

func body(b []byte) consumer.Message { return consumer.Message{Body: b} }

// order is what typed handlers of these tests read.
type order struct {
	Amount int    `json:"amount"`
	Item   string `json:"item"`
}

var reasonCases = []reasonCase{
	{reason: envelope.ReasonMalformed,
		message: func(*world) consumer.Message { return body([]byte(`{"specversion":"1.0"`)) }},
	{reason: envelope.ReasonTooLarge,
		message: func(*world) consumer.Message { return body(bytes.Repeat([]byte("["), 10<<20)) }},
	{reason: envelope.ReasonUnsigned,
		message: func(w *world) consumer.Message { return body(edit(w.event("1"), "dssematerial", nil)) }},
	{reason: envelope.ReasonUnsupported, message: func(w *world) consumer.Message {
		ev := w.event("1")
		return body(edit(ev, "dssematerial", material("text/plain", payloadOf(ev), w.signers["orders"])))
	}},
	{reason: envelope.ReasonUnknownKey, message: func(w *world) consumer.Message {
		mallory, _ := keys.GenerateSigner(keys.Ed25519, "orders")
		return body(w.sealAs(mallory, placed("1"), envelope.SealOptions{}).JSON())
	}},
	{reason: envelope.ReasonBadSignature, message: func(w *world) consumer.Message {
		w.policy.RequiredAlgorithms = []keys.Algorithm{keys.ES256}
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonModified, message: func(w *world) consumer.Message {
		return body(edit(w.event("1"), "data", map[string]int{"amount": 1200}))
	}},
	{reason: envelope.ReasonRevokedKey, message: func(w *world) consumer.Message {
		w.keys[0].Revoked = &trust.Revocation{At: start, Reason: "stolen"}
		w.publish(trust.BundleOptions{})
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonKeyNotValid, message: func(w *world) consumer.Message {
		w.keys[0].Schedule.Expired = start
		w.publish(trust.BundleOptions{})
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonSourceNotAllowed, message: func(w *world) consumer.Message {
		return body(w.sealAs(w.signers["billing"], placed("1"), envelope.SealOptions{}).JSON())
	}},
	{reason: envelope.ReasonTypeNotAllowed, message: func(w *world) consumer.Message {
		w.policy.Types = []string{"com.example.invoice.*"}
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonAccountMismatch, message: func(w *world) consumer.Message {
		w.keys[0].Accounts = []string{"111111111111"}
		w.publish(trust.BundleOptions{})
		return consumer.Message{Body: w.event("1"), Account: "222222222222"}
	}},
	{reason: envelope.ReasonEnvelopeMismatch, message: func(w *world) consumer.Message {
		doc := w.delivery(w.seal(placed("1"), envelope.SealOptions{}), "111111111111")
		return consumer.Message{Body: edit(doc, "source", "https://orders.example/us"),
			Format: consumer.EventBridge}
	}},
	{reason: envelope.ReasonAudienceMismatch, message: func(w *world) consumer.Message {
		w.policy.Audience = "central"
		return body(w.seal(placed("1"), envelope.SealOptions{Audience: "staging"}).JSON())
	}},
	{reason: envelope.ReasonUndated, message: func(w *world) consumer.Message { return body(w.foreign("1", "")) }},
	{reason: envelope.ReasonExpired, message: func(w *world) consumer.Message {
		b := w.event("1")
		w.clock.Advance(envelope.DefaultMaxAge + time.Second)
		return body(b)
	}},
	{reason: envelope.ReasonFromFuture, message: func(w *world) consumer.Message {
		b := w.event("1")
		w.clock.Advance(-envelope.DefaultSkew - time.Second)
		return body(b)
	}},
	{reason: envelope.ReasonReplayed, message: func(w *world) consumer.Message {
		b := w.event("1")
		w.want(b, consumer.Handled, "")
		w.handled = nil
		return body(b)
	}},
	{reason: envelope.ReasonIDReused, message: func(w *world) consumer.Message {
		w.want(w.event("1"), consumer.Handled, "")
		w.handled = nil
		other := placed("1")
		other.SetSubject("another")
		return body(w.seal(other, envelope.SealOptions{}).JSON())
	}},
	{reason: envelope.ReasonNotARecipient, message: func(w *world) consumer.Message {
		ev := w.event("1")
		signed := strings.TrimSuffix(payloadOf(ev), "}}") + `,"enc":"jwe"}}`
		return body(edit(ev, "dssematerial", material(payload, signed, w.signers["orders"])))
	}},
	{reason: envelope.ReasonNotEncrypted, message: func(w *world) consumer.Message {
		w.keepSecrets()
		w.policy.RequireEncrypted, w.encrypt = true, nil
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonDecryptFailed, message: func(w *world) consumer.Message {
		w.keepSecrets()
		return body(w.transplanted("1", "2"))
	}},
	{reason: envelope.ReasonKMSUnavailable, message: func(w *world) consumer.Message {
		s := w.keepSecrets()
		b := w.event("1")
		s.Fail = outage
		return body(b)
	}},
	{
		reason:  envelope.ReasonSchemaInvalid,
		message: func(w *world) consumer.Message { return body(w.event("1")) },
		handler: func(w *world) consumer.Handler {
			return consumer.Typed(func(context.Context, consumer.Delivery[struct {
				Amount string `json:"amount"`
			}]) error {
				w.Error("called with data that does not fit")
				return nil
			})
		},
	},
	{reason: envelope.ReasonInProgress, message: func(w *world) consumer.Message {
		b := w.event("1")
		_, err := w.consumer().Handle(context.Background(), body(b),
			func(context.Context, consumer.Delivery[[]byte]) error {
				w.want(b, consumer.Retry, envelope.ReasonInProgress) // while another worker is at it
				w.store.release = errors.New("down")                 // and that worker then fails without a release
				return errors.New("failed")
			})
		if err == nil {
			w.Error("the handler's error was lost")
		}
		return body(b)
	}},
	{reason: envelope.ReasonTrustUnavailable, message: func(w *world) consumer.Message {
		w.trust.err = trust.ErrUnavailable
		return body(w.event("1"))
	}},
	{reason: envelope.ReasonStoreUnavailable, message: func(w *world) consumer.Message {
		w.store.claim = replay.ErrUnavailable
		return body(w.event("1"))
	}},
	{
		reason: envelope.ReasonHandlerFailed, called: true,
		message: func(w *world) consumer.Message { w.fail = errors.New("no database"); return body(w.event("1")) },
	},
}

func TestEveryReasonHasACase(t *testing.T) {
	for _, r := range envelope.Reasons() {
		has := slices.ContainsFunc(reasonCases, func(c reasonCase) bool { return c.reason == r })
		if has != (r != envelope.ReasonForbidden) { // it is of callers over HTTP
			t.Errorf("%s has a case: %t", r, has)
		}
	}
}

func (c *reasonCase) run(w *world) (consumer.Message, consumer.Result, error) {
	w.Helper()
	msg := c.message(w)
	handler := consumer.Handler(w.handle)
	if c.handler != nil {
		handler = c.handler(w)
	}
	original := bytes.Clone(msg.Body)
	r, err := w.consumer().Handle(context.Background(), msg, handler)
	if !bytes.Equal(original, msg.Body) {
		w.Error("the message was changed")
	}
	if (len(w.handled) > 0) != c.called {
		w.Errorf("the handler was called %d times", len(w.handled))
	}
	return msg, r, err
}

func TestReasons(t *testing.T) {
	for _, c := range reasonCases {
		t.Run(string(c.reason), func(t *testing.T) {
			w := newWorld(t)
			msg, r, err := c.run(w)
			switch c.reason.Class() {
			case envelope.Permanent:
				w.check(r, err, consumer.Quarantined, c.reason)
				checkRecord(w, msg, c.reason)
			case envelope.Transient:
				w.check(r, err, consumer.Retry, c.reason)
			case envelope.Done:
				w.check(r, err, consumer.Duplicate, c.reason)
			}
			if c.reason.Class() != envelope.Permanent && len(w.bin.records) != 0 {
				t.Errorf("in quarantine: %+v", w.bin.records)
			}
		})
	}
}

func checkRecord(w *world, msg consumer.Message, reason envelope.Reason) {
	w.Helper()
	if len(w.bin.records) != 1 {
		w.Fatalf("%d records in quarantine", len(w.bin.records))
	}
	rec := w.bin.records[0]
	if !bytes.Equal(rec.Message.Body, msg.Body) || rec.Message.Format != msg.Format ||
		rec.Message.Account != msg.Account {
		w.Error("not the original message is in quarantine")
	}
	if rec.Reason != reason || rec.Cause == "" || rec.Consumer != "test" || !rec.At.Equal(w.clock.Now()) {
		w.Errorf("record %+v", rec)
	}
	if n := len(msg.Body); n < 1<<20 && reason != envelope.ReasonMalformed && rec.UnverifiedID != "1" {
		w.Errorf("the record does not say which event it claims to be: %+v", rec)
	}
}

// If the quarantine fails, or there is none, whatever can never pass is an error: it is never just dropped.
func TestReasonsWithoutQuarantine(t *testing.T) {
	down := errors.New("bin is full")
	for _, c := range reasonCases {
		if c.reason.Class() != envelope.Permanent {
			continue
		}
		t.Run(string(c.reason), func(t *testing.T) {
			w := newWorld(t)
			w.bin.err = down
			_, r, err := c.run(w)
			w.check(r, err, consumer.Retry, c.reason)
			var qe *consumer.QuarantineError
			if !errors.As(err, &qe) || !errors.Is(err, down) || envelope.ReasonOf(qe) != c.reason {
				t.Errorf("error %v", err)
			}

			w = newWorld(t)
			w.opts.Quarantine = nil
			_, r, err = c.run(w)
			w.check(r, err, consumer.Retry, c.reason)
			if qe, ok := errors.AsType[*consumer.QuarantineError](err); !ok || qe.Err != nil ||
				len(qe.Unwrap()) != 1 {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestHandled(t *testing.T) {
	w := newWorld(t)
	ev := placed("1")
	ev.SetExtension("region", "eu")
	sealed := w.seal(ev, envelope.SealOptions{Expires: time.Hour})
	c := w.consumer()
	r, err := c.Handle(t.Context(), body(sealed.JSON()), w.handle)
	w.check(r, err, consumer.Handled, "")
	if r.Producer != "orders" || r.Source != source || r.Type != typ || r.ID != "1" || r.Verdict != nil {
		t.Errorf("result %+v", r)
	}
	d := w.handled[0]
	if string(d.Data) != `{"amount":12,"item":"pen"}` || d.Event.Extensions()["region"] != "eu" ||
		d.Unverified != nil {
		t.Errorf("delivery %+v", d)
	}
	v := d.Opened
	if v.Producer != "orders" || !slices.Equal(v.KeyIDs, []string{w.signers["orders"].Verifier().KeyID()}) ||
		v.Foreign ||
		!v.SignedAt.Equal(start) || !v.ExpiresAt.Equal(start.Add(time.Hour)) ||
		!slices.Contains(v.SignedAttributes, "region") {
		t.Errorf("verified %+v", v)
	}
	if d.IdempotencyKey != r.IdempotencyKey || len(d.IdempotencyKey) != 64 {
		t.Errorf("idempotency key %q", d.IdempotencyKey)
	}
	for range 2 {
		r, err = c.Handle(t.Context(), body(sealed.JSON()), w.handle)
		w.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
	}
}

// An ID is remembered for RememberFor, counted from when its event was sealed, and not before it is stale for
// everybody.
func TestUntil(t *testing.T) {
	w := newWorld(t)
	w.policy.MaxAge, w.policy.Skew, w.policy.Unsafe.AllowUndated = 3*time.Hour, time.Minute, true
	window := 6*time.Hour + time.Minute // twice the window, and the skew
	genuine := w.event("1")
	w.clock.Advance(time.Hour)
	for _, c := range []struct {
		body []byte
		want time.Time
	}{
		{genuine, start.Add(window)},
		{w.foreign("2", "2026-03-01T11:00:00Z"), start.Add(-time.Hour + window)},
		{w.foreign("3", ""), w.clock.Now().Add(window)},
	} {
		w.store.untils = nil
		w.want(c.body, consumer.Handled, "")
		if u := w.store.untils; len(u) != 2 || !u[0].Equal(c.want) || !u[1].Equal(c.want) {
			t.Errorf("claimed and completed until %v, want %v", u, c.want)
		}
	}
}

// published is a copy of event 1, sealed now, and a store that forgets as soon as it may.
func (w *world) published() []byte {
	w.Helper()
	return w.seal(placed("1"), envelope.SealOptions{}).JSON()
}

func newForgetfulWorld(t *testing.T) *world {
	w := newWorld(t)
	w.store.Store = replay.NewMemory(&replay.MemoryOptions{Now: w.clock.Now, Capacity: 1})
	w.policy.MaxAge, w.policy.Skew = time.Hour, time.Minute
	return w
}

// makeRoom has the store forget what it may forget, for an event that fails and leaves nothing behind.
func (w *world) makeRoom() {
	w.Helper()
	w.fail = errors.New("no")
	if r, err := w.deliver(w.event("other")); err == nil {
		w.Fatalf("the other event is %s", r.Outcome)
	}
	w.fail = nil
}

// A producer publishes an event again within the window, and the second copy is delivered again after the
// claim of the first one would have ended.
func TestCopyPublishedAgain(t *testing.T) {
	for name, other := range map[string]bool{"clear": false, "other content": true} {
		t.Run(name, func(t *testing.T) {
			w := newForgetfulWorld(t)
			w.opts.RememberFor = w.policy.MaxAge
			first := w.published()
			w.want(first, consumer.Handled, "")
			w.clock.Advance(50 * time.Minute)
			outcome, reason, again := consumer.Duplicate, envelope.ReasonReplayed, w.published()
			if other {
				ev := placed("1")
				if err := ev.SetData("application/json", map[string]int{"amount": 13}); err != nil {
					t.Fatal(err)
				}
				outcome, reason, again = consumer.Quarantined, envelope.ReasonIDReused,
					w.seal(ev, envelope.SealOptions{}).JSON()
			}
			w.want(again, outcome, reason)
			w.clock.Advance(30 * time.Minute) // the first copy is stale, and was forgotten but for the second one
			w.makeRoom()
			w.want(again, outcome, reason)
			w.want(first, consumer.Quarantined, envelope.ReasonExpired)
			if len(w.handled) != 1 { // the store had no room for the other event
				t.Errorf("handlers were called %d times", len(w.handled))
			}
		})
	}
}

// A copy that first arrives when the first one is stale is a duplicate for as long as RememberFor says, and
// beyond that a new event with the same IdempotencyKey.
func TestRememberFor(t *testing.T) {
	for name, c := range map[string]struct {
		rememberFor, after time.Duration
		outcome            consumer.Outcome
		reason             envelope.Reason
	}{
		"default":         {0, 2*time.Hour + 30*time.Second, consumer.Duplicate, envelope.ReasonReplayed},
		"default, beyond": {0, 2*time.Hour + 2*time.Minute, consumer.Handled, ""},
		"longer":          {5 * time.Hour, 5 * time.Hour, consumer.Duplicate, envelope.ReasonReplayed},
		"longer, beyond":  {5 * time.Hour, 5*time.Hour + 2*time.Minute, consumer.Handled, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newForgetfulWorld(t)
			w.opts.RememberFor = c.rememberFor
			w.want(w.published(), consumer.Handled, "")
			w.clock.Advance(c.after)
			w.makeRoom()
			w.want(w.published(), c.outcome, c.reason)
			if n := len(w.handled); c.outcome == consumer.Handled &&
				w.handled[0].IdempotencyKey != w.handled[n-1].IdempotencyKey {
				t.Error("the copy has another IdempotencyKey")
			}
		})
	}
}

// An honest producer that publishes an event again seals it at another time: still one event.
func TestResealedIsADuplicate(t *testing.T) {
	w := newWorld(t)
	w.want(w.event("1"), consumer.Handled, "")
	w.clock.Advance(time.Hour)
	w.want(w.seal(placed("1"), envelope.SealOptions{Expires: time.Hour}).JSON(), consumer.Duplicate,
		envelope.ReasonReplayed)
}

// Claims are those of one consumer, one producer and one source: no producer uses up the IDs of another.
func TestClaimsAreSeparate(t *testing.T) {
	w := newWorld(t)
	w.want(w.event("1"), consumer.Handled, "")
	elsewhere := placed("1")
	elsewhere.SetSource("https://orders.example/us")
	w.want(w.seal(elsewhere, envelope.SealOptions{}).JSON(), consumer.Handled, "")
	theirs := placed("1")
	theirs.SetSource("https://billing.example/eu")
	w.want(w.sealAs(w.signers["billing"], theirs, envelope.SealOptions{}).JSON(), consumer.Handled, "")
	other, err := consumer.New("other", &w.trust, w.store, &w.policy, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.Handle(t.Context(), body(w.event("1")), w.handle)
	w.check(r, err, consumer.Handled, "")
	seen := map[string]bool{}
	for _, d := range w.handled {
		seen[d.IdempotencyKey] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d idempotency keys of 4 events", len(seen))
	}
}

func TestEventBridgeFormat(t *testing.T) {
	w := newWorld(t)
	w.keys[0].Accounts = []string{"111111111111"}
	w.publish(trust.BundleOptions{})
	doc := w.delivery(w.seal(placed("1"), envelope.SealOptions{}), "111111111111")
	c := w.consumer()
	r, err := c.Handle(t.Context(), consumer.Message{Body: doc, Format: consumer.EventBridge,
		Account: "222222222222"}, w.handle)
	w.check(r, err, consumer.Quarantined, envelope.ReasonAccountMismatch)
	r, err = c.Handle(t.Context(), consumer.Message{Body: doc, Format: consumer.EventBridge}, w.handle)
	w.check(r, err, consumer.Handled, "")
}

// An event to which a tracer added members reaches its handler. The handler gets the signed members, and the
// names of the added ones.
func TestHandledWithoutWhatWasAdded(t *testing.T) {
	for _, test := range []struct {
		name    string
		layout  envelope.Layout
		member  string
		ignore  []string
		outcome consumer.Outcome
		reason  envelope.Reason
	}{
		{"structured", envelope.Structured, "_anything", []string{}, consumer.Handled, ""},
		{"embedded", envelope.Embedded, "_datadog", nil, consumer.Handled, ""},
		{"embedded, listed", envelope.Embedded, "_lumigo", []string{"_lumigo"}, consumer.Handled, ""},
		{"embedded, not listed", envelope.Embedded, "_lumigo", nil, consumer.Quarantined,
			envelope.ReasonModified},
		{"embedded, empty list", envelope.Embedded, "_datadog", []string{}, consumer.Quarantined,
			envelope.ReasonModified},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.policy.IgnoreMembers = test.ignore
			entry, err := w.seal(placed("1"), envelope.SealOptions{}).EventBridge(test.layout)
			if err != nil {
				t.Fatal(err)
			}
			detail := `{"` + test.member + `":{"x":1},` + string(entry.Detail[1:])
			doc := mint.Delivery(entry.Source, entry.DetailType, "111111111111", detail).String()
			c := w.consumer()
			if len(test.ignore) > 0 {
				test.ignore[0] = "changed later"
			}
			var got consumer.Delivery[[]byte]
			r, err := c.Handle(t.Context(), consumer.Message{Body: []byte(doc), Format: consumer.EventBridge},
				func(_ context.Context, d consumer.Delivery[[]byte]) error {
					got = d
					return nil
				})
			w.check(r, err, test.outcome, test.reason)
			if test.reason != "" {
				return
			}
			if !slices.Equal(got.Ignored, []string{test.member}) ||
				strings.Contains(string(got.Data), test.member) {
				t.Errorf("ignored %q, data %s", got.Ignored, got.Data)
			}
		})
	}
}

func TestHandlerErrorReleases(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.fail = errors.New("no database")
	r, err := w.deliver(b)
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	if !errors.Is(err, w.fail) {
		t.Errorf("the handler's error is not in %v", err)
	}
	w.fail = nil
	w.want(b, consumer.Handled, "")
	if len(w.handled) != 2 || w.handled[0].IdempotencyKey != w.handled[1].IdempotencyKey {
		t.Errorf("%d calls", len(w.handled))
	}
}

// An error that a handler returns is an error of the handler, even if there is a verdict about another event
// in it.
func TestHandlerErrorIsNoVerdict(t *testing.T) {
	for _, reason := range envelope.Reasons() {
		w := newWorld(t)
		w.fail = &envelope.Error{Reason: reason}
		w.want(w.event("1"), consumer.Retry, envelope.ReasonHandlerFailed)
	}
}

// Nor is the failure to read other data than the event's.
func TestHandlerErrorAroundTyped(t *testing.T) {
	w := newWorld(t)
	inner := consumer.Typed(func(context.Context, consumer.Delivery[order]) error { return nil })
	handler := func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		d.Data = []byte("[]")
		return fmt.Errorf("inner: %w", inner(ctx, d))
	}
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), handler)
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
}

func TestHandlerPanicReleases(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	r, err := w.consumer().Handle(t.Context(), body(b),
		func(context.Context, consumer.Delivery[[]byte]) error { panic("at the disco") })
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	var p *consumer.PanicError
	if !errors.As(err, &p) || p.Value != "at the disco" ||
		!bytes.Contains(p.Stack, []byte("handle_test.go")) {
		t.Errorf("error %#v", err)
	}
	w.want(b, consumer.Handled, "")
}

// A panic(nil) is no success, though recover does not see it under this setting, which operators can make.
func TestPanicOfNil(t *testing.T) {
	t.Setenv("GODEBUG", "panicnil=1")
	w := newWorld(t)
	b := w.event("1")
	r, err := w.consumer().Handle(t.Context(), consumer.Message{Body: b},
		func(context.Context, consumer.Delivery[[]byte]) error { panic(nil) })
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	w.want(b, consumer.Handled, "")

	w.opts.Quarantine = quarantineFunc(func(context.Context, consumer.Record) error { panic(nil) })
	w.want([]byte("{}"), consumer.Retry, envelope.ReasonMalformed)
}

// brokenError is what a handler returns that declares a *brokenError and returns it as an error: not nil, and
// without a text.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// An error that cannot say what it is, is one all the same, and no panic of Handle.
func TestHandlerErrorWithoutText(t *testing.T) {
	for name, fail := range map[string]error{
		"nil pointer": (*brokenError)(nil),
		"wrapped":     errors.Join((*brokenError)(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.event("1")
			w.fail = fail
			w.want(b, consumer.Retry, envelope.ReasonHandlerFailed)
			w.fail = nil
			w.want(b, consumer.Handled, "")
		})
	}
}

// A quarantine that panics has failed: nothing of it reaches the transport but the error, and the claim is
// free.
func TestQuarantinePanicReleases(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.opts.Quarantine = quarantineFunc(func(context.Context, consumer.Record) error { panic("at the disco") })
	c := w.consumer()
	strict := consumer.Typed(func(context.Context, consumer.Delivery[[]int]) error { return nil })
	r, err := c.Handle(t.Context(), body(b), strict)
	w.check(r, err, consumer.Retry, envelope.ReasonSchemaInvalid)
	var p *consumer.PanicError
	var q *consumer.QuarantineError
	if !errors.As(err, &q) || !errors.As(q.Err, &p) || p.Value != "at the disco" {
		t.Errorf("error %#v", err)
	}
	w.want(b, consumer.Handled, "")
}

func TestQuarantineGoexitReleases(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.opts.Quarantine = quarantineFunc(func(context.Context, consumer.Record) error { runtime.Goexit(); return nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.consumer().Handle(context.Background(), body(b),
			consumer.Typed(func(context.Context, consumer.Delivery[[]int]) error { return nil }))
	}()
	<-done
	w.want(b, consumer.Handled, "")
}

func TestHandlerGoexitReleases(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = w.consumer().Handle(context.Background(), body(b),
			func(context.Context, consumer.Delivery[[]byte]) error {
				runtime.Goexit()
				return nil
			})
	}()
	<-done
	w.want(b, consumer.Handled, "")
}

// A crash is a delivery that never comes back: its lease lapses.
func TestCrash(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.store.release = errors.New("gone")
	w.fail = errors.New("gone")
	w.want(b, consumer.Retry, envelope.ReasonHandlerFailed)
	w.fail = nil
	w.want(b, consumer.Retry, envelope.ReasonInProgress)
	w.clock.Advance(consumer.DefaultLease)
	w.want(b, consumer.Handled, "")
}

func TestCompleteFails(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		w := newWorld(t)
		flaky := &flakyComplete{faultyStore: w.store}
		c, err := consumer.New("test", &w.trust, flaky, &w.policy, &w.opts)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Handle(t.Context(), body(w.event("1")), w.handle)
		w.check(r, err, consumer.Handled, "")
	})
	t.Run("store down", func(t *testing.T) {
		w := newWorld(t)
		b := w.event("1")
		w.store.complete = replay.ErrUnavailable
		w.want(b, consumer.Retry, envelope.ReasonStoreUnavailable)
		w.store.complete = nil
		w.want(b, consumer.Retry, envelope.ReasonInProgress)
		w.clock.Advance(consumer.DefaultLease)
		w.want(b, consumer.Handled, "")
		if len(w.handled) != 2 || w.handled[0].IdempotencyKey != w.handled[1].IdempotencyKey ||
			w.store.releases != 0 {
			t.Errorf("%d calls, %d releases", len(w.handled), w.store.releases)
		}
	})
	t.Run("claim lost", func(t *testing.T) {
		w := newWorld(t)
		b := w.event("1")
		r, err := w.consumer().Handle(t.Context(), body(b),
			func(context.Context, consumer.Delivery[[]byte]) error {
				w.clock.Advance(consumer.DefaultLease)
				w.want(b, consumer.Handled, "") // another worker
				return nil
			})
		w.check(r, err, consumer.Retry, envelope.ReasonInProgress)
		if !errors.Is(err, replay.ErrClaimLost) {
			t.Errorf("error %v", err)
		}
		w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
	})
}

// flakyComplete fails the first Complete.
type flakyComplete struct {
	*faultyStore
	failed bool
}

func (s *flakyComplete) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	if !s.failed {
		s.failed = true
		return replay.ErrUnavailable
	}
	return s.faultyStore.Complete(ctx, claim, until)
}

// The effect is there: it is recorded even though the invocation is out of time.
func TestCompleteAfterCancel(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	b := w.event("1")
	r, err := w.consumer().Handle(ctx, body(b), func(context.Context, consumer.Delivery[[]byte]) error { cancel(); return nil })
	w.check(r, err, consumer.Handled, "")
	ctx, cancel = context.WithCancel(t.Context())
	b = w.event("2")
	r, err = w.consumer().Handle(ctx, body(b), func(ctx context.Context, _ consumer.Delivery[[]byte]) error { cancel(); return ctx.Err() })
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
	w.want(b, consumer.Handled, "") // it was released
}

// Reopening works: what failed after its claim is not burnt.
func TestSchemaInvalidIsReleased(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	strict := consumer.Typed(func(context.Context, consumer.Delivery[[]int]) error { return nil })
	r, err := w.consumer().Handle(t.Context(), body(b), strict)
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	w.want(b, consumer.Handled, "")
	b = w.event("2")
	w.bin.err = errors.New("full")
	r, err = w.consumer().Handle(t.Context(), body(b), strict)
	w.check(r, err, consumer.Retry, envelope.ReasonSchemaInvalid)
	w.want(b, consumer.Handled, "")
}

// A handler says by Unfit that it can never handle an event. Inside another error it is no verdict.
func TestUnfitIsQuarantined(t *testing.T) {
	w := newWorld(t)
	unfit := consumer.Unfit("it has no colour")
	refuse := func(context.Context, consumer.Delivery[[]byte]) error { return unfit }
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), refuse)
	w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
	unfit = fmt.Errorf("the ledger: %w", unfit)
	r, err = w.consumer().Handle(t.Context(), body(w.event("2")), refuse)
	w.check(r, err, consumer.Retry, envelope.ReasonHandlerFailed)
}

func TestTyped(t *testing.T) {
	w := newWorld(t)
	var got []order
	handler := consumer.Typed(func(_ context.Context, d consumer.Delivery[order]) error {
		got = append(got, d.Data)
		if d.Event.ID() != "1" || d.Producer != "orders" || d.IdempotencyKey == "" {
			t.Errorf("delivery %+v", d)
		}
		return nil
	})
	r, err := w.consumer().Handle(t.Context(), body(w.event("1")), handler)
	w.check(r, err, consumer.Handled, "")
	if !slices.Equal(got, []order{{12, "pen"}}) {
		t.Errorf("data %+v", got)
	}
}

func TestTypedRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		contentType string
		data        any
	}{
		"null": {"application/json", nil}, "text": {"text/plain", []byte(`{"amount":1}`)},
		"other type": {"application/json", map[string]any{"amount": "twelve"}},
		"array":      {"application/json", []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ev := placed("1")
			if err := ev.SetData(c.contentType, c.data); err != nil {
				t.Fatal(err)
			}
			r, err := w.consumer().Handle(t.Context(), body(w.seal(ev, envelope.SealOptions{}).JSON()),
				consumer.Typed(func(context.Context, consumer.Delivery[order]) error { t.Error("called"); return nil }))
			w.check(r, err, consumer.Quarantined, envelope.ReasonSchemaInvalid)
		})
	}
}

func TestTypedBytes(t *testing.T) {
	w := newWorld(t)
	ev := placed("1")
	if err := ev.SetData("text/plain", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	var got string
	r, err := w.consumer().Handle(t.Context(), body(w.seal(ev, envelope.SealOptions{}).JSON()),
		consumer.Typed(func(_ context.Context, d consumer.Delivery[[]byte]) error { got = string(d.Data); return nil }))
	w.check(r, err, consumer.Handled, "")
	if got != "hello" {
		t.Errorf("data %q", got)
	}
}

func TestForeignIsJudgedOnItsTime(t *testing.T) {
	w := newWorld(t)
	w.want(w.foreign("1", "2026-03-01T11:00:00Z"), consumer.Handled, "")
	w.want(w.foreign("1", "2026-03-01T11:00:00Z"), consumer.Duplicate, envelope.ReasonReplayed)
	w.want(w.foreign("2", "2026-02-28T11:00:00Z"), consumer.Quarantined, envelope.ReasonExpired)
	w.policy.Unsafe.AllowUndated = true
	w.want(w.foreign("3", ""), consumer.Handled, "")
	w.want(w.foreign("3", ""), consumer.Duplicate, envelope.ReasonReplayed)
}

// A foreign payload names no producer: an event that two producers signed is one event, whichever of the
// signatures is removed on the way.
func TestForeignWithoutASignatureIsADuplicate(t *testing.T) {
	const at = "2026-03-01T11:00:00Z"
	for _, order := range [][]string{{"orders", "gateway"}, {"gateway", "orders"}} {
		w := newWorld(t)
		w.enrol("gateway", "https://orders.example/*")
		w.publish(trust.BundleOptions{})
		w.want(w.foreignBy("1", at, `{"a":1}`, order...), consumer.Handled, "")
		producers := map[string]bool{w.handled[0].Producer: true}
		for _, left := range order {
			r, err := w.deliver(w.foreignBy("1", at, `{"a":1}`, left))
			w.check(r, err, consumer.Duplicate, envelope.ReasonReplayed)
			if r.IdempotencyKey != w.handled[0].IdempotencyKey {
				t.Error("one event has two idempotency keys")
			}
			producers[r.Producer] = true
		}
		if len(w.handled) != 1 || len(producers) != 2 {
			t.Errorf("handled %d times, as sealed by %v", len(w.handled), producers)
		}
	}
}

// The price: other content under a used ID is another event. The gain: no producer uses up the IDs of
// another.
func TestForeignWithOtherContentIsAnotherEvent(t *testing.T) {
	const at = "2026-03-01T11:00:00Z"
	w := newWorld(t)
	w.enrol("gateway", "https://orders.example/*")
	w.publish(trust.BundleOptions{})
	w.want(w.foreignBy("1", at, `{"a":2}`, "gateway"), consumer.Handled, "")
	w.want(w.foreignBy("1", at, `{"a":1}`, "orders"), consumer.Handled, "")
	w.want(w.event("1"), consumer.Handled, "") // nor those of a producer who seals as we do
	if len(w.handled) != 3 || w.handled[0].IdempotencyKey == w.handled[1].IdempotencyKey {
		t.Errorf("handled %d times", len(w.handled))
	}
}

func TestMaxAgeIncludesTheTimeInQueues(t *testing.T) {
	w := newWorld(t)
	b := w.event("1")
	w.policy.MaxAge = envelope.DefaultMaxAge + 14*24*time.Hour
	w.clock.Advance(w.policy.MaxAge)
	w.want(b, consumer.Handled, "")
	w.want(b, consumer.Duplicate, envelope.ReasonReplayed)
	w.clock.Advance(time.Second)
	w.want(b, consumer.Quarantined, envelope.ReasonExpired)
}

func TestNoHandler(t *testing.T) {
	w := newWorld(t)
	if r, err := w.consumer().Handle(t.Context(), body(w.event("1")), nil); err == nil ||
		r.Outcome != consumer.Retry {
		t.Errorf("%+v, %v", r, err)
	}
}
