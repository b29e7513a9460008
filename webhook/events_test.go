package webhook_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
)

const (
	structuredType = "application/cloudevents+json"
	batchType      = "application/cloudevents-batch+json"
)

// eventWorld is an organisation, and a consumer of its events behind HTTP.
type eventWorld struct {
	testing.TB
	org      *envelopetest.Org
	trust    trust.Source
	policy   *envelope.Policy
	store    replay.Store
	consumer consumer.Options
	opts     webhook.EventOptions
	handled  []string // IDs
	handle   func(id string) error
}

func newEventWorld(t testing.TB) *eventWorld {
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	w := &eventWorld{TB: t, org: org, trust: org.Trust(), policy: org.Policy(),
		store: replay.NewMemory(&replay.MemoryOptions{Now: org.Now})}
	w.consumer.Logger = slog.New(slog.DiscardHandler)
	w.opts.Logger, w.opts.Now = w.consumer.Logger, org.Now
	return w
}

// eventBin is a quarantine that keeps its records, or fails.
type eventBin struct {
	records []consumer.Record
	err     error
}

func (b *eventBin) Keys() consumer.QuarantineKeys { return consumer.QuarantineKeys{} }

func (b *eventBin) Put(_ context.Context, r consumer.Record) error {
	b.records = append(b.records, r)
	return b.err
}

// receiver is a new process of the consumer.
func (w *eventWorld) receiver() *webhook.EventReceiver {
	w.Helper()
	c, err := consumer.New("test", w.trust, w.store, w.policy, &w.consumer)
	if err != nil {
		w.Fatal(err)
	}
	e, err := webhook.Events(c, func(_ context.Context, d consumer.Delivery[[]byte]) error {
		if w.handle != nil {
			if err := w.handle(d.Event.ID()); err != nil {
				return err
			}
		}
		w.handled = append(w.handled, d.Event.ID())
		return nil
	}, &w.opts)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *eventWorld) event() []byte {
	w.Helper()
	return w.org.Event(w, "com.example.order.placed", json.RawMessage(`{"amount":12}`)).JSON()
}

func (w *eventWorld) forged() []byte {
	w.Helper()
	return bytes.Replace(w.event(), []byte(`"amount":12`), []byte(`"amount":99`), 1)
}

func (w *eventWorld) receive(r webhook.Request) webhook.Response {
	w.Helper()
	return w.receiver().Receive(context.Background(), r, time.Time{})
}

// idOf is the ID of an event in the JSON format.
func idOf(event []byte) string {
	var e struct{ ID string }
	if err := json.Unmarshal(event, &e); err != nil {
		panic(err)
	}
	return e.ID
}

func structured(event []byte) webhook.Request { return postedAs(structuredType, event) }

func batch(events ...[]byte) webhook.Request {
	return postedAs(batchType, []byte("["+string(bytes.Join(events, []byte(" ,\n")))+"]"))
}

func postedAs(contentType string, body []byte) webhook.Request {
	return webhook.Request{Method: http.MethodPost, Target: "/events", Body: body,
		Header: []webhook.Field{{Name: "Content-Type", Value: contentType}}}
}

// binary is the event of the JSON format in binary mode. A member that is there twice has two lines.
func binary(event []byte) webhook.Request {
	var object mint.Object
	d := json.NewDecoder(bytes.NewReader(event))
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		if name, ok := token.(string); ok {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				panic(err)
			}
			object = object.Add(name, string(raw))
		}
	}
	lines, content := mint.HTTP(object)
	r := webhook.Request{Method: http.MethodPost, Target: "/events", Body: []byte(content)}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header = append(r.Header, webhook.Field{Name: name, Value: value})
	}
	return r
}

// check expects a status, and a body with nothing but the Reason. A Retry-After is there exactly where the
// sender is to send again.
func (w *eventWorld) check(what string, resp webhook.Response, status int, reason envelope.Reason) {
	w.Helper()
	want := ""
	if status >= 400 {
		want = fmt.Sprintf(`{"title":"%s","status":%d`, http.StatusText(status), status)
		if reason != "" {
			want += fmt.Sprintf(`,"reason":"%s"`, reason)
		}
		want += "}"
	}
	retry := ""
	if status == 409 || status == 503 {
		retry = "5"
	}
	if resp.Status != status || string(resp.Body) != want || answerHeader(resp, "Retry-After") != retry {
		w.Errorf("%s: got %d %s, Retry-After %q (%v), want %d %s", what, resp.Status, resp.Body,
			answerHeader(resp, "Retry-After"), resp.Err, status, want)
	}
}

func answerHeader(r webhook.Response, name string) string {
	for _, f := range r.Header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// eventStatuses are the statuses of the Reasons, where there is no quarantine.
var eventStatuses = map[envelope.Reason]int{
	envelope.ReasonMalformed: 400, envelope.ReasonTooLarge: 413, envelope.ReasonUnsigned: 401,
	envelope.ReasonUnsupported: 400, envelope.ReasonUnknownKey: 401, envelope.ReasonBadSignature: 401,
	envelope.ReasonModified: 401, envelope.ReasonRevokedKey: 401, envelope.ReasonKeyNotValid: 401,
	envelope.ReasonSourceNotAllowed: 403, envelope.ReasonTypeNotAllowed: 403,
	envelope.ReasonAccountMismatch: 403, envelope.ReasonAudienceMismatch: 403, envelope.ReasonUndated: 401,
	envelope.ReasonExpired: 401, envelope.ReasonFromFuture: 401, envelope.ReasonNotEncrypted: 403,
	envelope.ReasonNotARecipient: 403, envelope.ReasonDecryptFailed: 400,
	envelope.ReasonTrustUnavailable: 503,
}

// Each Reason has its status, in each mode. With a quarantine the answer is 202, unless it is transient.
func TestEventsAnswersByReason(t *testing.T) {
	for _, reason := range envelopetest.BrokenReasons() {
		if reason == envelope.ReasonEnvelopeMismatch { // only EventBridge says of an event what is not signed
			continue
		}
		t.Run(string(reason), func(t *testing.T) {
			w := newEventWorld(t)
			broken := w.org.Broken(t, reason)
			w.trust, w.policy = broken.Trust, broken.Policy
			status := eventStatuses[reason]
			for _, put := range []bool{false, true} {
				if put {
					w.consumer.Quarantine = &eventBin{}
				}
				told, want := reason, status
				if put && status != 503 {
					told, want = "", 202
				}
				w.check("structured", w.receive(structured(broken.JSON)), want, told)
				w.check("binary", w.receive(binary(broken.JSON)), want, told)
				resp := w.receive(batch(broken.JSON))
				item := fmt.Sprintf(`{"status":%d`, want)
				if told != "" {
					item += fmt.Sprintf(`,"reason":"%s"`, told)
				}
				if overall := max(want, 200); !put && resp.Status != overall || put && status != 503 &&
					resp.Status != 200 || !strings.HasSuffix(string(resp.Body), `"events":[`+item+"}]}") {
					t.Errorf("batch: %d %s, want %s", resp.Status, resp.Body, item)
				}
			}
			if len(w.handled) > 0 {
				t.Errorf("handled %q", w.handled)
			}
			q := w.consumer.Quarantine.(*eventBin)
			if status != 503 && (len(q.records) != 3 || q.records[1].Message.Format != consumer.HTTP) {
				t.Errorf("quarantined %+v", q.records)
			}
		})
	}
}

// An event that cannot be handled now comes again, and is not lost: 503, or 409 while another worker has it.
func TestEventsAnswersTransientFailures(t *testing.T) {
	w := newEventWorld(t)
	event := w.event()
	w.handle = func(string) error { return errors.New("secret of the handler") }
	w.check("handler", w.receive(structured(event)), 503, envelope.ReasonHandlerFailed)
	w.handle = func(string) error {
		w.handle = nil
		w.check("meanwhile", w.receive(binary(event)), 409, envelope.ReasonInProgress)
		return nil
	}
	w.check("again", w.receive(structured(event)), 204, "")
	w.check("duplicate", w.receive(binary(event)), 204, "")
	if len(w.handled) != 1 {
		t.Errorf("handled %q", w.handled)
	}
	w.consumer.Quarantine = &eventBin{err: errors.New("full")}
	w.check("quarantine", w.receive(structured(w.forged())), 503, "")
	w.consumer.Quarantine = nil
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	w.check("gone", w.receiver().Receive(gone, structured(w.event()), time.Time{}), 503, "")
}

// A request that holds no event in a form that is read is refused before the body is looked at.
func TestEventsRefusesOtherRequests(t *testing.T) {
	w := newEventWorld(t)
	event := w.event()
	with := func(r webhook.Request, fields ...string) webhook.Request {
		r.Header = slices.Clone(r.Header)
		for i := 0; i < len(fields); i += 2 {
			r.Header = append(r.Header, webhook.Field{Name: fields[i], Value: fields[i+1]})
		}
		return r
	}
	method := func(m string) webhook.Request {
		r := structured(event)
		r.Method = m
		return r
	}
	const malformed, tooLarge = envelope.ReasonMalformed, envelope.ReasonTooLarge
	for name, c := range map[string]struct {
		r      webhook.Request
		status int
		reason envelope.Reason
	}{
		"GET":                   {method(http.MethodGet), 405, ""},
		"PUT":                   {method(http.MethodPut), 405, ""},
		"OPTIONS":               {method(http.MethodOptions), 405, ""},
		"plain JSON":            {postedAs("application/json", event), 415, ""},
		"Avro":                  {postedAs("application/cloudevents+avro", event), 415, ""},
		"latin1":                {postedAs(structuredType+"; charset=iso-8859-1", event), 415, ""},
		"gzip":                  {with(structured(event), "content-encoding", "gzip"), 415, ""},
		"two codings":           {with(structured(event), "Content-Encoding", "identity, br"), 415, ""},
		"second type":           {with(structured(event), "content-type", structuredType), 400, malformed},
		"empty type":            {with(postedAs("", event), "ce-specversion", "1.0"), 400, malformed},
		"no event, structured":  {structured(nil), 400, malformed},
		"no event, binary":      {with(postedAs("text/plain", nil), "ce-specversion", "1.0"), 400, malformed},
		"a batch as structured": {structured(batch(event).Body), 400, malformed},
		"too large":             {structured(append(event, make([]byte, 1<<20)...)), 413, tooLarge},
	} {
		w.check(name, w.receive(c.r), c.status, c.reason)
	}
	resp := w.receive(method(http.MethodGet))
	if answerHeader(resp, "Allow") != "POST" {
		t.Errorf("Allow %q", answerHeader(resp, "Allow"))
	}
	if len(w.handled) != 0 {
		t.Errorf("handled %q", w.handled)
	}
	w.check("identity", w.receive(with(structured(event), "Content-Encoding", "Identity")), 204, "")
}

// frontEnds are all that may be in front of the receiver.
var frontEnds = map[string]func(*webhook.EventReceiver, webhook.Request) (int, []byte){
	"net/http": func(e *webhook.EventReceiver, r webhook.Request) (int, []byte) {
		in := httptest.NewRequest(r.Method, r.Target, bytes.NewReader(r.Body))
		for _, f := range r.Header {
			in.Header.Add(f.Name, f.Value)
		}
		out := httptest.NewRecorder()
		e.ServeHTTP(out, in)
		return out.Code, out.Body.Bytes()
	},
	"FunctionURL":   onLambda(awslambda.FunctionURL),
	"HTTPAPI":       onLambda(awslambda.HTTPAPI),
	"RESTAPI":       onLambda(awslambda.RESTAPI),
	"ALB":           onLambda(awslambda.ALB),
	"ALBMultiValue": onLambda(awslambda.ALBMultiValue),
}

// onLambda is a function behind that front end.
func onLambda(front awslambda.FrontEnd) func(*webhook.EventReceiver, webhook.Request) (int, []byte) {
	return func(e *webhook.EventReceiver, r webhook.Request) (int, []byte) {
		single, multi := map[string]string{}, map[string][]string{}
		for _, f := range r.Header {
			name := strings.ToLower(f.Name)
			multi[name] = append(multi[name], f.Value)
			single[name] = strings.Join(multi[name], ",")
		}
		payload := map[string]any{"body": base64.StdEncoding.EncodeToString(r.Body), "isBase64Encoded": true}
		switch front {
		case awslambda.FunctionURL, awslambda.HTTPAPI:
			payload["version"], payload["rawPath"], payload["headers"] = "2.0", r.Target, single
			payload["requestContext"] = map[string]any{"http": map[string]any{"method": r.Method}}
		case awslambda.RESTAPI:
			payload["version"], payload["path"], payload["httpMethod"] = "1.0", r.Target, r.Method
			payload["headers"], payload["multiValueHeaders"] = single, multi
		default:
			payload["requestContext"] = map[string]any{"elb": map[string]any{}}
			payload["path"], payload["httpMethod"], payload["headers"] = r.Target, r.Method, single
			if front == awslambda.ALBMultiValue {
				delete(payload, "headers")
				payload["multiValueHeaders"] = multi
			}
		}
		doc, err := json.Marshal(payload)
		if err != nil {
			panic(err)
		}
		resp, err := awslambda.Handler(e, front)(context.Background(), doc)
		if err != nil {
			panic(err)
		}
		return resp.StatusCode, []byte(resp.Body)
	}
}

// Each front end gives the same verdict on each mode: handled, duplicate, forged; a second line is refused.
func TestEventsBehindEachFrontEnd(t *testing.T) {
	for name, send := range frontEnds {
		t.Run(name, func(t *testing.T) {
			w := newEventWorld(t)
			for mode, as := range map[string]func([]byte) webhook.Request{"structured": structured,
				"binary": binary, "batch": func(event []byte) webhook.Request { return batch(event) }} {
				event, before := w.event(), len(w.handled)
				for _, told := range []string{"", `,"reason":"replayed"`} {
					want, doc := 204, ""
					if mode == "batch" {
						want, doc = 200, `{"status":200,"events":[{"status":204`+told+`}]}`
					}
					if status, body := send(w.receiver(), as(event)); status != want || string(body) != doc {
						t.Errorf("%s: %d %s, want %d %s", mode, status, body, want, doc)
					}
				}
				if len(w.handled) != before+1 || w.handled[before] != idOf(event) {
					t.Errorf("%s: handled %q", mode, w.handled)
				}
				if status, body := send(w.receiver(), as(w.forged())); status != 401 ||
					!strings.Contains(string(body), `"reason":"modified"`) {
					t.Errorf("%s, forged: %d %s", mode, status, body)
				}
			}
			twice := binary(w.event())
			twice.Header = append(twice.Header, webhook.Field{Name: "CE-Id", Value: "other"})
			if status, body := send(w.receiver(), twice); status != 400 && status != 401 {
				t.Errorf("a second line: %d %s", status, body)
			}
			if len(w.handled) != 3 {
				t.Errorf("handled %q", w.handled)
			}
		})
	}
}

// One forged item in a batch of signed ones is not handled, and the others are. The answer has a status for
// each, and that of the whole says that the sender is not to send again.
func TestEventsForgedItemInABatch(t *testing.T) {
	w := newEventWorld(t)
	first, forged, last := w.event(), w.forged(), w.event()
	resp := w.receive(batch(first, forged, last, first))
	const want = `{"status":401,"title":"Unauthorized","events":[{"status":204},` +
		`{"status":401,"reason":"modified"},{"status":204},{"status":204,"reason":"replayed"}]}`
	if resp.Status != 401 || string(resp.Body) != want || answerHeader(resp, "Retry-After") != "" {
		t.Errorf("%d %s\nwant %s", resp.Status, resp.Body, want)
	}
	if !slices.Equal(w.handled, []string{idOf(first), idOf(last)}) {
		t.Errorf("handled %q", w.handled)
	}
	w.consumer.Quarantine = &eventBin{}
	resp = w.receive(batch(first, forged))
	if string(resp.Body) != `{"status":200,"events":[{"status":204,"reason":"replayed"},{"status":202}]}` ||
		resp.Status != 200 || answerHeader(resp, "Content-Type") != "application/json" {
		t.Errorf("with a quarantine: %d %s", resp.Status, resp.Body)
	}
}

// A batch with one event that cannot be handled now is to be sent again, also beside one that never can.
func TestEventsTransientItemInABatch(t *testing.T) {
	w := newEventWorld(t)
	first, busy := w.event(), w.event()
	w.handle = func(id string) error {
		if id == idOf(busy) {
			return errors.New("secret")
		}
		return nil
	}
	request := batch(w.forged(), first, busy)
	resp := w.receive(request)
	const want = `{"status":503,"title":"Service Unavailable","events":[{"status":401,"reason":"modified"},` +
		`{"status":204},{"status":503,"reason":"handler_failed"}]}`
	if resp.Status != 503 || string(resp.Body) != want || answerHeader(resp, "Retry-After") != "5" ||
		answerHeader(resp, "Content-Type") != "application/problem+json" {
		t.Errorf("%d %s\nwant %s", resp.Status, resp.Body, want)
	}
	w.handle = nil
	if resp = w.receive(request); resp.Status != 401 {
		t.Errorf("again: %d %s", resp.Status, resp.Body)
	}
	if !slices.Equal(w.handled, []string{idOf(first), idOf(busy)}) {
		t.Errorf("handled %q", w.handled)
	}
}

// A body that is no batch is refused before any of its events is handled.
func TestEventsRefusesBrokenBatches(t *testing.T) {
	w := newEventWorld(t)
	w.opts.MaxBatch = 3
	good := string(w.event())
	for body, want := range map[string]int{
		"": 400, "{}": 400, good: 400, "[" + good: 400, "[" + good + ",]": 400, "[" + good + "]x": 400,
		"[" + good + ",1]": 400, "[" + good + ",[" + good + "]]": 400, "[" + good + " " + good + "]": 400,
		"[" + good + strings.Repeat(","+good, 3) + "]":  413,
		"[{}" + strings.Repeat(",{}", 1000) + "]":       413,
		"[" + good + "]" + strings.Repeat(" ", 1<<20):   413,
		"[" + good + strings.Repeat(",{}", 3000) + "1]": 413,
	} {
		resp := w.receive(postedAs(batchType, []byte(body)))
		reason := envelope.ReasonMalformed
		if want == 413 {
			reason = envelope.ReasonTooLarge
		}
		w.check(fmt.Sprintf("%.20q of %d", body, len(body)), resp, want, reason)
	}
	if len(w.handled) != 0 {
		t.Errorf("handled %q", w.handled)
	}
	if resp := w.receive(postedAs(batchType, []byte(" [ ] "))); resp.Status != 200 ||
		string(resp.Body) != `{"status":200,"events":[]}` {
		t.Errorf("an empty batch: %d %s", resp.Status, resp.Body)
	}
}

// The process dies in the middle of a batch. The sender sends it again: nothing that was handled is handled
// again, the event in hand waits for its lease, and in the end each was handled once.
func TestEventsCrashInABatch(t *testing.T) {
	w := newEventWorld(t)
	var events [][]byte
	for range 4 {
		events = append(events, w.event())
	}
	reached, dead := make(chan struct{}), make(chan struct{})
	defer close(dead)
	w.handle = func(id string) error {
		if id == idOf(events[2]) {
			close(reached)
			<-dead // this process never comes back
			return errors.New("dead")
		}
		return nil
	}
	before := w.receiver()
	go before.Receive(context.Background(), batch(events...), time.Time{})
	<-reached
	handled := slices.Clone(w.handled)
	after := &eventWorld{TB: t, org: w.org, trust: w.trust, policy: w.policy, store: w.store,
		consumer: w.consumer, opts: w.opts}
	resp := after.receive(batch(events...))
	const want = `"events":[{"status":204,"reason":"replayed"},{"status":204,"reason":"replayed"},` +
		`{"status":409,"reason":"in_progress"},{"status":204}]}`
	if resp.Status != 503 || !strings.HasSuffix(string(resp.Body), want) {
		t.Errorf("%d %s, want %s", resp.Status, resp.Body, want)
	}
	w.org.Advance(consumer.DefaultLease + time.Second)
	if resp = after.receive(batch(events...)); resp.Status != 200 {
		t.Errorf("after the lease: %d %s", resp.Status, resp.Body)
	}
	got := append(handled, after.handled...)
	slices.Sort(got)
	var all []string
	for _, e := range events {
		all = append(all, idOf(e))
	}
	slices.Sort(all)
	if !slices.Equal(got, all) {
		t.Errorf("handled %q, want each of %q once", got, all)
	}
}

// Whichever mode an event comes in, the handler gets the event that was sealed: with any data, in the clear
// or encrypted.
func TestEventsAreTheSameInEachMode(t *testing.T) {
	seed := rand.Uint64()
	w := newEventWorld(t)
	var got []byte
	c, err := consumer.New("test", w.trust, w.store, w.policy, &w.consumer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := webhook.Events(c, func(_ context.Context, d consumer.Delivery[[]byte]) error {
		got = d.JSON()
		return nil
	}, &w.opts)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"", " ", "é日😀", `"\`, "\u2028", "%41", "<&>", "\x00\t\r\n"}
	for i := range cases.Of(300) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		data := map[string]any{"a": texts[r.IntN(len(texts))], "b": r.IntN(1000), "c": r.Float64()}
		for _, as := range []func([]byte) webhook.Request{structured, binary,
			func(event []byte) webhook.Request { return batch(w.forged(), event) }} {
			const typ = "com.example.order.placed"
			sealed := w.org.Event(t, typ, data)
			switch r.IntN(3) {
			case 0:
				sealed = w.org.EncryptedEvent(t, typ, data)
			case 1:
				sealed = w.org.EncryptedEvent(t, typ, data, "/a", "/c")
			}
			want, err := envelope.Open(t.Context(), sealed.JSON(), w.trust, w.policy)
			if err != nil {
				t.Fatal(err)
			}
			got = nil
			resp := e.Receive(t.Context(), as(sealed.JSON()), time.Time{})
			if !bytes.Equal(got, want.JSON()) {
				t.Fatalf("seed %d, %d: %d: got\n%s\nwant\n%s", seed, i, resp.Status, got, want.JSON())
			}
		}
	}
}

// Of any mixture of genuine, doubled, forged and failing events, sent again as long as the answer says so,
// each genuine one is handled once, and no other.
func TestEventsAnyBatch(t *testing.T) {
	seed := rand.Uint64()
	for i := range cases.Of(400) {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		w := newEventWorld(t)
		var events [][]byte
		var genuine []string
		for range r.IntN(8) {
			event := w.event()
			switch r.IntN(4) {
			case 0:
				events = append(events, w.forged())
				continue
			case 1:
				events = append(events, event)
			}
			events, genuine = append(events, event), append(genuine, idOf(event))
		}
		r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		failures := map[string]int{}
		w.handle = func(id string) error {
			if failures[id]++; failures[id] <= r.IntN(3) {
				return errors.New("not now")
			}
			return nil
		}
		resp := w.receive(batch(events...))
		for tries := 0; resp.Status == 503 && tries < 10; tries++ {
			resp = w.receive(batch(events...))
		}
		if resp.Status != 200 && resp.Status != 401 {
			t.Fatalf("seed %d, %d: %d %s", seed, i, resp.Status, resp.Body)
		}
		slices.Sort(genuine)
		if slices.Sort(w.handled); !slices.Equal(w.handled, genuine) {
			t.Fatalf("seed %d, %d: handled %q, want %q", seed, i, w.handled, genuine)
		}
	}
}

// Bodies in flight share the Budget, also those that a front end has read.
func TestEventsShareTheBudget(t *testing.T) {
	w := newEventWorld(t)
	var err error
	if w.opts.Budget, err = webhook.NewBudget(webhook.DefaultMaxBody); err != nil {
		t.Fatal(err)
	}
	event, other := w.event(), w.event()
	padded := append(bytes.Clone(other), bytes.Repeat([]byte(" "), webhook.DefaultMaxBody-len(other))...)
	w.handle = func(id string) error {
		if id == idOf(event) {
			w.check("full", w.receive(structured(padded)), 503, "")
			if status, _ := frontEnds["net/http"](w.receiver(), structured(padded)); status != 503 {
				t.Errorf("net/http: %d", status)
			}
		}
		return nil
	}
	w.check("first", w.receive(structured(event)), 204, "")
	w.check("after", w.receive(structured(padded)), 204, "")
}

// Options that cannot work are refused when the receiver is made.
func TestEventsRefusesOptions(t *testing.T) {
	w := newEventWorld(t)
	c, err := consumer.New("test", w.trust, w.store, w.policy, &w.consumer)
	if err != nil {
		t.Fatal(err)
	}
	handler := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
	small, err := webhook.NewBudget(1)
	if err != nil {
		t.Fatal(err)
	}
	origin := func(name string, rate int) []webhook.Origin {
		return []webhook.Origin{{Name: name, Rate: rate}}
	}
	for name, o := range map[string]webhook.EventOptions{
		"MaxBody":        {MaxBody: -1},
		"MaxBatch":       {MaxBatch: 1001},
		"negative batch": {MaxBatch: -1},
		"ReadTimeout":    {ReadTimeout: -1},
		"Budget":         {Budget: small},
		"callback hosts": {CallbackHosts: []string{"a.example"}},
		"no origin":      {Origins: origin("", 1)},
		"any origin":     {Origins: origin("*", 1)},
		"a list":         {Origins: origin("a.example, b.example", 1)},
		"negative rate":  {Origins: origin("a.example", -1)},
		"a huge rate":    {Origins: origin("a.example", 1_000_001)},
		"twice":          {Origins: append(origin("a.example", 1), origin("a.example", 2)...)},
	} {
		if e, err := webhook.Events(c, handler, &o); err == nil || e != nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, c := range []*consumer.Consumer{nil, {}} {
		if _, err := webhook.Events(c, handler, nil); err == nil {
			t.Error("no consumer is taken")
		}
	}
	if _, err := webhook.Events(c, nil, nil); err == nil {
		t.Error("no handler is taken")
	}
}
