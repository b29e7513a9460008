package ingest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/org"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/ingest"
)

const (
	source = "https://hooks.example/billing"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// world is a receiver that publishes on a bus inside the process, and a consumer that opens what comes from
// it.
type world struct {
	testing.TB
	org      *org.Org
	provider string
	bus      *producer.LocalBus
	busOpts  producer.LocalBusOptions
	store    replay.Store // of the receiver
	opts     ingest.Options
	popts    producer.Options
	wrap     func(producer.Bus) producer.Bus
	policy   *envelope.Policy
	receiver *webhook.Receiver

	events   []*envelope.Opened
	outcomes []consumer.Outcome
	reasons  []envelope.Reason
}

func newWorld(t testing.TB, provider string) *world {
	t.Helper()
	o, err := org.New("hooks", "https://hooks.example/*")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, org: o, provider: provider, store: replay.NewMemory(&replay.MemoryOptions{Now: o.Now}),
		policy: o.Policy()}
	w.popts = producer.Options{Audience: org.Audience, Now: o.Now}
	return w
}

// start makes everything, once the test has set what it wants.
func (w *world) start() {
	w.Helper()
	quiet := slog.New(slog.DiscardHandler)
	c, err := consumer.New("billing", w.org.Trust(), replay.NewMemory(&replay.MemoryOptions{Now: w.org.Now}),
		w.policy, &consumer.Options{Logger: quiet})
	if err != nil {
		w.Fatal(err)
	}
	w.bus = producer.NewLocalBus(&w.busOpts)
	w.bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		result, err := c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				w.events = append(w.events, d.Opened)
				return nil
			})
		w.outcomes = append(w.outcomes, result.Outcome)
		if result.Verdict != nil {
			w.reasons = append(w.reasons, result.Verdict.Reason)
		}
		return err
	})
	scheme, err := webhook.Provider(w.provider)
	if err != nil {
		w.Fatal(err)
	}
	v, err := webhook.New(scheme, "billing", []webhook.Secret{{ID: "k1", Text: secret}},
		&webhook.Options{MaxBody: 2 << 20})
	if err != nil {
		w.Fatal(err)
	}
	var bus producer.Bus = w.bus
	if w.wrap != nil {
		bus = w.wrap(bus)
	}
	w.opts.Producer = &w.popts
	next, err := ingest.New(keys.SignWith(w.org.Signer()), bus, source, &w.opts)
	if err != nil {
		w.Fatal(err)
	}
	w.receiver, err = webhook.NewReceiver(v, w.store, next,
		&webhook.ReceiverOptions{Now: w.org.Now, Logger: quiet})
	if err != nil {
		w.Fatal(err)
	}
}

// receive sends the delivery and checks the status, and how many events the consumer has handled.
func (w *world) receive(r webhook.Request, status, events int) webhook.Response {
	w.Helper()
	resp := w.receiver.Receive(w.Context(), r, time.Time{})
	if resp.Status != status || len(w.events) != events {
		w.Fatalf("status %d (%v), %d events (%v), want %d and %d", resp.Status, resp.Err, len(w.events),
			w.reasons, status, events)
	}
	return resp
}

// github is a delivery of GitHub; header has names and values by turns.
func github(body, contentType string, header ...string) webhook.Request {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	r := webhook.Request{
		Method: http.MethodPost,
		Target: "/hooks",
		Body:   []byte(body),
		Header: []webhook.Field{
			{Name: "X-Hub-Signature-256", Value: "sha256=" + hex.EncodeToString(m.Sum(nil))}},
	}
	if contentType != "" {
		header = append(header, "Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header = append(r.Header, webhook.Field{Name: header[i], Value: header[i+1]})
	}
	return r
}

// standard is a delivery of Standard Webhooks, signed at that time.
func standard(t testing.TB, id string, at time.Time, body string) webhook.Request {
	t.Helper()
	header, err := webhook.Sign(id, at, []byte(body), []webhook.Secret{{Text: secret}})
	if err != nil {
		t.Fatal(err)
	}
	return webhook.Request{Method: http.MethodPost, Target: "/hooks", Body: []byte(body),
		Header: append(header, webhook.Field{Name: "Content-Type", Value: "application/json"})}
}

func sum(body string) string {
	s := sha256.Sum256([]byte(body))
	return hex.EncodeToString(s[:])
}

// TestADeliveryBecomesASealedEvent, with all that is known of it signed.
func TestADeliveryBecomesASealedEvent(t *testing.T) {
	w := newWorld(t, "github")
	w.start()
	const body = `{"repository":{"full_name":"a/b"},"zen":"x","n":12.50}`
	r := github(body, "application/json; charset=utf-8", "X-GitHub-Event", "push", "X-GitHub-Delivery", "d-1")
	w.receive(r, 200, 1)
	ev := w.events[0].Event
	got := fmt.Sprintf("%s %s %s %s %s %s", ev.ID(), ev.Source(), ev.Type(), ev.Subject(),
		ev.DataContentType(), ev.Data())
	want := sum(body) + " " + source + ` webhook.github.push a/b application/json; charset=utf-8 ` +
		`{"n":12.5,"repository":{"full_name":"a/b"},"zen":"x"}`
	if got != want {
		t.Errorf("the event is\n%s, want\n%s", got, want)
	}
	for name, value := range map[string]string{"webhookprovider": "github", "webhookkeyid": "k1",
		"webhookverifiedat": w.org.Now().Format(time.RFC3339), "webhookbodysha256": sum(body),
		"webhookid": "d-1", "webhooksignature": sum(r.Header[0].Value), "webhookunsigned": "type"} {
		if got := fmt.Sprint(ev.Extensions()[name]); got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
		if !slices.Contains(w.events[0].SignedAttributes, name) {
			t.Errorf("%s is not signed", name)
		}
	}
	w.receive(r, 200, 1) // a duplicate
}

// The caller of a delivery is in its event, signed. Without a caller nothing is published, and the sender is
// to send again.
func TestCallersAreSigned(t *testing.T) {
	w := newWorld(t, "github")
	w.opts.Callers = true
	w.start()
	r := github(`{"a":1}`, "application/json", "X-GitHub-Event", "push")
	if resp := w.receive(r, 503, 0); !errors.Is(resp.Err, authcontext.ErrNoCaller) {
		t.Errorf("without a caller: %v", resp.Err)
	}
	want := authcontext.Context{Type: authcontext.ServiceAccount, ID: "x", Claims: `{"tenant":"acme"}`}
	resp := w.receiver.Receive(authcontext.With(t.Context(), want), r, time.Time{})
	if resp.Status != 200 || len(w.events) != 1 {
		t.Fatalf("%d, %v", resp.Status, resp.Err)
	}
	if got, err := authcontext.Of(w.events[0]); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, name := range []string{"authtype", "authid", "authclaims"} {
		if !slices.Contains(w.events[0].SignedAttributes, name) {
			t.Errorf("%s is not signed", name)
		}
	}
}

// TestASignedIDIsTheEventsID, and the signed time its time.
func TestASignedIDIsTheEventsID(t *testing.T) {
	w := newWorld(t, "standardwebhooks")
	w.opts.TypePrefix = "com.example.hook."
	w.start()
	at := w.org.Now().Add(-time.Minute)
	w.receive(standard(t, "msg_1", at, `{"type":"invoice.paid"}`), 200, 1)
	ev := w.events[0].Event
	if ev.ID() != "msg_1" || !ev.Time().Equal(at) || !strings.HasPrefix(ev.Type(), "com.example.hook.") {
		t.Errorf("id %q, time %v, type %q", ev.ID(), ev.Time(), ev.Type())
	}
	for _, name := range []string{"webhookid", "webhookunsigned"} {
		if value := ev.Extensions()[name]; value != nil {
			t.Errorf("%s is %v", name, value)
		}
	}
}

// TestARetryWithANewSignatureIsADuplicate for consumers: the first one reached the bus, and its claim was
// lost.
func TestARetryWithANewSignatureIsADuplicate(t *testing.T) {
	w := newWorld(t, "standardwebhooks")
	w.start()
	w.receive(standard(t, "msg_1", w.org.Now(), `{"a":1}`), 200, 1)
	w.org.Advance(10 * time.Minute)
	next, err := ingest.New(keys.SignWith(w.org.Signer()), w.bus, source, &ingest.Options{Producer: &w.popts})
	if err != nil {
		t.Fatal(err)
	}
	scheme, err := webhook.Provider("standardwebhooks")
	if err != nil {
		t.Fatal(err)
	}
	v, err := webhook.New(scheme, "billing", []webhook.Secret{{ID: "rotated", Text: secret}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := replay.NewMemory(&replay.MemoryOptions{Now: w.org.Now}) // the claims are gone
	if w.receiver, err = webhook.NewReceiver(v, lost, next,
		&webhook.ReceiverOptions{Now: w.org.Now}); err != nil {
		t.Fatal(err)
	}
	w.receive(standard(t, "msg_1", w.org.Now(), `{"a":1}`), 200, 1)
	if want := []consumer.Outcome{consumer.Handled, consumer.Duplicate}; !slices.Equal(w.outcomes, want) {
		t.Errorf("the outcomes are %v (%v), want %v", w.outcomes, w.reasons, want)
	}
}

// failingBus is a bus with an error.
type failingBus struct {
	producer.Bus
	err *error
}

func (b failingBus) Send(ctx context.Context, events []*envelope.Sealed) []producer.Result {
	if *b.err == nil {
		return b.Bus.Send(ctx, events)
	}
	return slices.Repeat([]producer.Result{{Err: *b.err}}, len(events))
}

// TestFailuresMakeTheProviderRetry: only an event that is too large for the bus is permanent. Once the cause
// is gone, the same delivery is handled.
func TestFailuresMakeTheProviderRetry(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"bus down":    {errors.New("down"), 503},
		"no answer":   {producer.ErrNoAnswer, 503},
		"too large":   {fmt.Errorf("bus: %w", envelope.ErrTooLarge), 413},
		"trust error": {&producer.TrustError{}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "github")
			fails := c.err
			w.wrap = func(bus producer.Bus) producer.Bus { return failingBus{bus, &fails} }
			w.start()
			r := github("{}", "application/json")
			w.receive(r, c.status, 0)
			fails = nil
			w.receive(r, 200, 1)
		})
	}
}

// noTrust has no bundle.
type noTrust struct{}

func (noTrust) Bundle(context.Context) (*trust.Bundle, error) { return nil, trust.ErrUnavailable }

// TestWithoutTrustTheProviderRetries.
func TestWithoutTrustTheProviderRetries(t *testing.T) {
	w := newWorld(t, "github")
	w.popts.Trust, w.popts.RequireTrust = noTrust{}, true
	w.start()
	resp := w.receive(github("{}", "application/json"), 503, 0)
	if _, ok := errors.AsType[*producer.TrustError](resp.Err); !ok {
		t.Errorf("the error is %v", resp.Err)
	}
}

// TestTooLargeOnceSealed: bodies near the limit of an event. Binary takes a third more.
func TestTooLargeOnceSealed(t *testing.T) {
	w := newWorld(t, "github")
	w.start()
	w.receive(github(`"`+strings.Repeat("x", 1_000_000)+`"`, "application/json"), 200, 1)
	w.receive(github(strings.Repeat("\xff", 700_000), "image/png"), 200, 2)
	for _, r := range []webhook.Request{
		github(`"`+strings.Repeat("x", 1<<20-10)+`"`, "application/json"),
		github(`"`+strings.Repeat("x", 1<<20+10)+`"`, "application/json"),
		github(strings.Repeat("\xff", 800_000), "image/png"),
	} {
		if resp := w.receive(r, 413, 2); resp.Reason != envelope.ReasonTooLarge {
			t.Errorf("the Reason is %q", resp.Reason)
		}
	}
}

// TestTextThatDoesNotFit: attributes that no event can hold are left out, and the delivery is not lost.
func TestTextThatDoesNotFit(t *testing.T) {
	long := strings.Repeat("x", 250)
	for name, c := range map[string]struct{ event, id, repository, typ, subject string }{
		"long type":    {long, "1", "a/b", "webhook.github.delivery", "a/b"},
		"no type":      {"", "1", "a/b", "webhook.github.delivery", "a/b"},
		"long subject": {"push", "1", strings.Repeat("y", 5000), "webhook.github.push", ""},
		"control":      {"push", "1", `a\u0000b`, "webhook.github.push", ""},
	} {
		w := newWorld(t, "github")
		w.start()
		header := []string{"X-GitHub-Delivery", c.id}
		if c.event != "" {
			header = append(header, "X-GitHub-Event", c.event)
		}
		w.receive(github(`{"repository":{"full_name":"`+c.repository+`"}}`, "application/json", header...),
			200, 1)
		if ev := w.events[0].Event; ev.Type() != c.typ || ev.Subject() != c.subject {
			t.Errorf("%s: type %q, subject %q", name, ev.Type(), ev.Subject())
		}
	}
}

// TestEncryptedFields: a body that lacks one, or that is sealed byte for byte, is encrypted as a whole.
func TestEncryptedFields(t *testing.T) {
	w := newWorld(t, "github")
	var wires [][]byte
	w.busOpts.Rewrite = func(delivery []byte) []byte { wires = append(wires, delivery); return delivery }
	w.popts.Encrypt, w.popts.EncryptFields = w.org.Encrypter(), []string{"/secret"}
	w.policy.RequireEncrypted = false
	w.start()
	for i, body := range []string{`{"a":"visible","secret":"hidden"}`, `{"a":"hidden"}`, `"hidden"`, "hidden",
		`{"n":12345678901234567890,"secret":"hidden"}`} {
		w.receive(github(body, "application/json"), 200, i+1)
		if ev := w.events[i].Event; !bytes.Equal(ev.Data(), []byte(body)) {
			t.Errorf("%s: opened as %s", body, ev.Data())
		}
		wire := string(wires[i])
		if strings.Contains(wire, "hidden") || strings.Contains(wire, "visible") != (i == 0) ||
			strings.Contains(wire, "12345678901234567890") {
			t.Errorf("%s: on the wire as %s", body, wire)
		}
	}
}

// TestExactKeepsEveryByte, also of JSON that has a canonical form.
func TestExactKeepsEveryByte(t *testing.T) {
	w := newWorld(t, "github")
	w.popts.Exact = true
	w.start()
	for i, body := range []string{`{"b": 1, "a": 2}`, "x", "[1.0]"} {
		w.receive(github(body, "application/json"), 200, i+1)
		if got := string(w.events[i].Event.Data()); got != body {
			t.Errorf("%q arrived as %q", body, got)
		}
	}
}

// relay is a bus that reads each detail as JavaScript does and writes it anew.
func relay(delivery []byte) []byte {
	var v any
	if json.Unmarshal(delivery, &v) != nil {
		return nil
	}
	out, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return out
}

// TestAnyBodyArrives: any bytes with any content type are at the consumer, unchanged or in the canonical form
// of the same JSON, even if a relay writes all numbers anew; and webhookbodysha256 is that of the body as it
// came.
func TestAnyBodyArrives(t *testing.T) {
	w := newWorld(t, "github")
	w.busOpts.Rewrite = relay
	w.start()
	bodies := slices.Clone(someBodies)
	random := rand.New(rand.NewPCG(1, 2))
	for range cases.Of(2000) {
		bodies = append(bodies, randomBody(random))
	}
	canonical, seen := 0, map[string]bool{}
	for i, body := range bodies {
		if seen[body] {
			continue
		}
		seen[body] = true
		media := someMedia[i%len(someMedia)]
		w.receive(github(body, media, "X-GitHub-Delivery", fmt.Sprint(i)), 200, len(seen))
		ev := w.events[len(seen)-1].Event
		if got := ev.Extensions()["webhookbodysha256"]; got != sum(body) {
			t.Errorf("%q: webhookbodysha256 is %v", body, got)
		}
		if string(ev.Data()) == body {
			continue
		}
		canonical++
		form, err := jsontext.AppendCanonical(nil, []byte(body))
		if err != nil || !bytes.Equal(form, ev.Data()) {
			t.Errorf("%q (%q) arrived as %q (%v)", body, media, ev.Data(), err)
		}
	}
	if canonical == 0 {
		t.Error("nothing was sealed in its canonical form: the test is blind")
	}
}

var someMedia = []string{
	"application/json",
	"",
	"application/vnd.x+json; charset=utf-8",
	"text/plain",
	"text/plain; charset=UTF-8",
	"application/x-www-form-urlencoded",
	"application/octet-stream",
	"APPLICATION/JSON",
	strings.Repeat("x", 300),
	"image/png",
	"nonsense",
	"größe",
}

var someBodies = []string{
	"",
	" ",
	"{}",
	" {\n} ",
	"null",
	"true",
	"1",
	"1.0",
	"9007199254740993",
	"1e400",
	"1e-400",
	"-0",
	"0.10000000000000001",
	"12345678901234567890123",
	`{"a":1,"a":2}`,
	`{"b":1,"a":[1.50,2e2]}`,
	`"\ud800"`,
	`"\uffff"`,
	"\"\ufffe\"",
	"\xff\xfe",
	"a=b&c=%20",
	"\ufeff{}",
	strings.Repeat("[", 64) + strings.Repeat("]", 64),
	strings.Repeat("[", 65) + strings.Repeat(
		"]",
		65,
	),
	`{"data":1,"specversion":"1.0","cloudevent":{}}`,
	"{",
	"\x00",
	"<&>",
	`{"n":0.30000000000000004}`,
	`{"é":"\u00e9","<":"&\u2028"}`,
}

// randomBody is a text of pieces that are JSON together now and then.
func randomBody(random *rand.Rand) string {
	pieces := []string{
		`{"a":`,
		`{`,
		`}`,
		`[`,
		`]`,
		`,`,
		`:`,
		`"x"`,
		`"é"`,
		`1`,
		`0.5`,
		`1e21`,
		`9007199254740993`,
		`null`,
		`true`,
		" ",
		"\n",
		"\xff",
		"\x00",
		`\u0000`,
		`"a"`,
		`"b":`,
	}
	if random.IntN(3) > 0 {
		return randomJSON(random, 4)
	}
	var b strings.Builder
	for range random.IntN(8) {
		b.WriteString(pieces[random.IntN(len(pieces))])
	}
	return b.String()
}

func randomJSON(random *rand.Rand, depth int) string {
	n := random.IntN(9)
	if depth == 0 {
		n = 2 + random.IntN(7)
	}
	switch n {
	case 0, 1:
		open, end := "[", "]"
		if n == 1 {
			open, end = "{", "}"
		}
		var parts []string
		for range random.IntN(4) {
			part := randomJSON(random, depth-1)
			if n == 1 {
				part = fmt.Sprintf(`"%c%d": `, 'a'+rune(random.IntN(3)), random.IntN(20)) + part
			}
			parts = append(parts, part)
		}
		return open + strings.Join(parts, " ,") + end
	case 2:
		return fmt.Sprint(random.Int64())
	case 3:
		return fmt.Sprint(random.NormFloat64())
	case 4:
		return fmt.Sprint(random.IntN(1000))
	case 5:
		return fmt.Sprintf("%d.%03dE%d", random.IntN(10), random.IntN(1000), random.IntN(30)-15)
	}
	return []string{"true", "null", `"größe \u0041\/"`}[n-6]
}

// TestNewRefusesWhatTheBusWouldRefuse.
func TestNewRefusesWhatTheBusWouldRefuse(t *testing.T) {
	w := newWorld(t, "github")
	ring, bus := keys.SignWith(w.org.Signer()), producer.NewLocalBus(nil)
	for name, c := range map[string]struct {
		ring   keys.SignerSource
		bus    producer.Bus
		source string
		opts   *ingest.Options
	}{
		"no source":     {ring, bus, "", nil},
		"reserved":      {ring, bus, "aws.events", nil},
		"long source":   {ring, bus, "https://x.example/" + strings.Repeat("x", 250), nil},
		"no ring":       {nil, bus, source, nil},
		"no bus":        {ring, nil, source, nil},
		"nil bus":       {ring, (*producer.LocalBus)(nil), source, nil},
		"long prefix":   {ring, bus, source, &ingest.Options{TypePrefix: strings.Repeat("x", 65)}},
		"broken prefix": {ring, bus, source, &ingest.Options{TypePrefix: "a\n"}},
		"options":       {ring, bus, source, &ingest.Options{Producer: &producer.Options{Expires: -1}}},
	} {
		if next, err := ingest.New(c.ring, c.bus, c.source, c.opts); err == nil || next != nil {
			t.Errorf("%s: it was made", name)
		}
	}
}

// teller is a caller who may speak for one source and one type, and whose data is "good".
type teller struct{ source, typ string }

func (c teller) Check(source, typ string) error {
	switch {
	case source != c.source:
		return &envelope.Error{Reason: envelope.ReasonSourceNotAllowed}
	case typ != c.typ:
		return &envelope.Error{Reason: envelope.ReasonTypeNotAllowed}
	}
	return nil
}

func (c teller) Validate(d envelope.Document) error {
	if d.Type != c.typ || string(d.Data) != `{"a":"good"}` {
		return &envelope.SchemaError{Cause: "it is not good"}
	}
	return nil
}

// A caller is asked about the event as it would be published: its source, its type and its data. A refused
// delivery can come again.
func TestCallerIsAskedBeforePublishing(t *testing.T) {
	const typ = "webhook.github.push"
	w := newWorld(t, "github")
	w.start()
	good := github(`{"a":"good"}`, "application/json", "X-GitHub-Event", "push")
	for _, c := range []struct {
		name   string
		caller teller
		body   string
		reason envelope.Reason
	}{
		{"another source", teller{"https://hooks.example/", typ}, "good", envelope.ReasonSourceNotAllowed},
		{"another type", teller{source, "push"}, "good", envelope.ReasonTypeNotAllowed},
		{"other data", teller{source, typ}, "bad", envelope.ReasonSchemaInvalid},
		{"all is well", teller{source, typ}, "good", ""},
		{"once more", teller{source, typ}, "good", envelope.ReasonReplayed},
	} {
		r := good
		if c.body != "good" {
			r = github(`{"a":"`+c.body+`"}`, "application/json", "X-GitHub-Event", "push")
		}
		resp := w.receiver.Receive(webhook.WithCaller(t.Context(), c.caller), r, time.Time{})
		if resp.Reason != c.reason {
			t.Errorf("%s: %d %s %v", c.name, resp.Status, resp.Reason, resp.Err)
		}
	}
	if len(w.events) != 1 {
		t.Errorf("%d events", len(w.events))
	}
}

// Data that does not follow a schema of the producer is the sender's fault.
func TestProducersSchemas(t *testing.T) {
	w := newWorld(t, "github")
	w.popts.Schemas = teller{typ: "webhook.github.push"}
	w.start()
	w.receive(github(`{"a":"bad"}`, "application/json", "X-GitHub-Event", "push"), 400, 0)
	w.receive(github(`{"a":"good"}`, "application/json", "X-GitHub-Event", "push"), 200, 1)
}
