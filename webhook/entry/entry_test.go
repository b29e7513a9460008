package entry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/ingest"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// away is a limiter that cannot be reached.
type away struct{}

func (away) Take(context.Context, []throttle.Limit) (throttle.Verdict, error) {
	return throttle.Verdict{}, throttle.ErrUnavailable
}

// Each step refuses before the next one is asked: the request is wrong for all later ones, too.
func TestOrder(t *testing.T) {
	w := newWorld(t, "{rate: 1, burst: 1}")
	w.options.Addresses = must(throttle.NewAddresses(0.5, 4, w.now()))
	to := w.receiver(sourceOf(1))
	send := func(what string, r webhook.Request, status int, reason envelope.Reason, header string) {
		t.Helper()
		if a := overHTTP(w, to, r); a.status != status || a.reason != reason || !strings.Contains(
			fmt.Sprint(a.header), header) {
			t.Errorf("%s: %+v, want %d %s with %s", what, a, status, reason, header)
		}
	}
	large := w.delivery("/", "")
	large.Body = make([]byte, webhook.DefaultMaxBody+1)
	wide := w.delivery("/", "")
	for range webhook.MaxHeaders {
		wide.Header = append(wide.Header, webhook.Field{Name: "X", Value: "y"})
	}
	past := w.delivery("/", "")
	past.Header = past.Header[:3] // without X-Forwarded-For
	for range 5 {                 // none of them counts for the address
		send("too large", large, 413, envelope.ReasonTooLarge, "")
		send("too many lines", wide, 413, envelope.ReasonTooLarge, "")
		send("past the proxy", past, 400, envelope.ReasonMalformed, "")
	}
	send("no token", w.delivery("/", ""), 401, envelope.ReasonUnsigned, "Www-Authenticate:Bearer]")
	send("no tenant", w.delivery("/", w.token("c9", "")), 403, envelope.ReasonForbidden,
		`Www-Authenticate:Bearer error="insufficient_scope"`)
	send("a foreign source", w.delivery("/", w.writer(0)), 403, envelope.ReasonSourceNotAllowed, "")
	send("over the limit", w.delivery("/", w.writer(0)), 429, "",
		`Ratelimit-Policy:"tenant";q=1;w=1 Retry-After:1]`)
	send("over the rate", w.delivery("/", "x"), 429, "", "Retry-After:3]")
	if w.handled != 0 {
		t.Errorf("%d were handled", w.handled)
	}
}

// A limiter that cannot tell lets nothing pass, and the sender is to send again.
func TestLimiterIsAway(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	w.options.Limiter = away{}
	a := overHTTP(w, w.receiver(sourceOf(0)), w.delivery("/", w.writer(0)))
	if a.status != 503 || a.reason != envelope.ReasonStoreUnavailable || a.header["Retry-After"] != "5" ||
		w.handled != 0 {
		t.Errorf("%+v, %d handled", a, w.handled)
	}
}

// The one who may send an event is not told that it was handled, whatever others did with it before.
func TestRefusalsDoNotClaim(t *testing.T) {
	w := newWorld(t, "{rate: 1, burst: 3}")
	to := w.eventReceiver()
	body := w.sealed(sourceOf(0), typeOf(0)).JSON()
	as := func(token string) *answer {
		return overHTTP(w, to, w.request("/", token, body,
			webhook.Field{Name: "Content-Type", Value: "application/cloudevents+json"}))
	}
	for i, want := range []int{403, 403, 403, 429} { // the fourth is over the limit of the tenant t1
		if a := as(w.writer(1)); a.status != want {
			t.Errorf("foreign caller %d: %+v", i, a)
		}
	}
	if a := as(w.writer(0)); a.status != 204 || w.handled != 1 {
		t.Errorf("its own: %+v, %d handled", a, w.handled)
	}
	delivery, foreign := w.delivery("/", w.writer(0)), w.delivery("/", w.writer(0))
	hooks := w.receiver(sourceOf(0))
	fits := false
	w.next = func(ctx context.Context, _ *webhook.Verified) error {
		if fits {
			w.handled++
			return nil
		}
		return &webhook.Error{Reason: webhook.ReasonOf(webhook.CallerOf(ctx).Check(sourceOf(0), typeOf(1)))}
	}
	if a := overHTTP(w, hooks, delivery); a.status != 403 || a.reason != envelope.ReasonTypeNotAllowed {
		t.Errorf("a foreign type: %+v", a)
	}
	foreign.Header[len(foreign.Header)-1].Value = "Bearer " + w.writer(2)
	foreign.Header[0], foreign.Body = delivery.Header[0], delivery.Body
	if a := overHTTP(w, hooks, foreign); a.status != 403 || a.reason != envelope.ReasonSourceNotAllowed {
		t.Errorf("a copy of another tenant: %+v", a)
	}
	fits = true
	if a := overHTTP(w, hooks, delivery); a.status != 200 || a.reason != "" || w.handled != 2 {
		t.Errorf("sent again: %+v, %d handled", a, w.handled)
	}
}

// A tenant's own sources are not enough: the type must be the tenant's, too.
func TestForeignTypes(t *testing.T) {
	w := newWorld(t, "{rate: 1, burst: 100}")
	to := w.eventReceiver()
	bodies := map[string]bool{}
	for _, typ := range []string{typeOf(1), "com.none.placed"} {
		a := overHTTP(w, to, w.request("/", w.writer(0), w.sealed(sourceOf(0), typ).JSON(),
			webhook.Field{Name: "Content-Type", Value: "application/cloudevents+json"}))
		if a.status != 403 || a.reason != envelope.ReasonTypeNotAllowed {
			t.Errorf("%s: %+v", typ, a)
		}
		bodies[a.body] = true
	}
	if len(bodies) != 1 || w.handled != 0 {
		t.Errorf("%v, %d handled", bodies, w.handled)
	}
}

// An event of a delivery says who called. Without Tenants or a Key it cannot.
func TestCallerIsInTheEvent(t *testing.T) {
	w := newWorld(t, "{rate: 1, burst: 100}")
	key := must(authcontext.NewKey([]byte(strings.Repeat("k", 32))))
	w.options.Key = key
	bus := &localBus{}
	w.next = must(ingest.New(keys.SignWith(w.org.Signer()), bus, sourceOf(0), &ingest.Options{Callers: true}))
	to := w.receiver(sourceOf(0))
	user := w.token("c0", `,"scope":"events/write","groups":["staff"]`)
	if a := overHTTP(w, to, w.delivery("/", user)); a.status != 200 || len(bus.sent) != 1 {
		t.Fatalf("%+v, %d events", a, len(bus.sent))
	}
	for _, want := range []string{`"authtype":"service_account"`, `"authid":"` + key.ID(issuer, "t0", "c0", "") + `"`,
		`"authclaims":"{\"tenant\":\"t0\",\"scopes\":[\"events/write\"]}"`} {
		if !strings.Contains(string(bus.sent[0]), want) {
			t.Errorf("no %s in %s", want, bus.sent[0])
		}
	}
	w.options.Key = nil
	if a := overHTTP(w, w.receiver(sourceOf(0)), w.delivery("/", user)); a.status != 503 || len(bus.sent) != 1 {
		t.Errorf("without a key: %+v, %d events", a, len(bus.sent))
	}
}

// The receiver finds the tenant.
func TestFrom(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	name := ""
	w.handler = func(ctx context.Context, _ consumer.Delivery[[]byte]) error {
		name = tenants.From(ctx).Name()
		return nil
	}
	a := overHTTP(w, w.eventReceiver(), w.request("/", w.writer(3), w.sealed(sourceOf(3), typeOf(3)).JSON(),
		webhook.Field{Name: "Content-Type", Value: "application/cloudevents+json"}))
	if a.status != 204 || name != "t3" || tenants.From(t.Context()) != nil {
		t.Errorf("%+v, %s", a, name)
	}
}

// The handshake of CloudEvents comes without a token, where it is expected.
func TestHandshake(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	r := webhook.Request{Method: "OPTIONS", Target: "/", Header: []webhook.Field{
		{Name: "X-Forwarded-For", Value: "198.51.100.1"}, {Name: "WebHook-Request-Origin", Value: "sender.example"}}}
	if a := overHTTP(w, w.eventReceiver(), r); a.status != 401 {
		t.Errorf("OPTIONS is let through: %+v", a)
	}
	w.options.Handshake = true
	if a := overHTTP(w, w.eventReceiver(), r); a.status != 405 { // there are no Origins
		t.Errorf("the handshake does not reach the receiver: %+v", a)
	}
	r.Method = "POST"
	if a := overHTTP(w, w.eventReceiver(), r); a.status != 401 {
		t.Errorf("POST is let through: %+v", a)
	}
}

// The address is that of the peer, where the front end tells it. A load balancer does not.
func TestPeers(t *testing.T) {
	for front, send := range fronts {
		w := newWorld(t, "{rate: 1}")
		w.options.TrustedHops = 0
		w.options.Addresses = must(throttle.NewAddresses(0.1, 1, w.now()))
		to := w.receiver(sourceOf(0))
		for i, want := range []int{401, 429, 401} {
			r := w.delivery("/", "")
			if i == 2 {
				r.Peer = "192.0.2.2:1"
			}
			if strings.HasPrefix(front, "ALB") {
				want = 400
			}
			if a := send(w, to, r); a.status != want {
				t.Errorf("%s, request %d: %+v, want %d", front, i, a, want)
			}
		}
	}
}

// Whatever a caller sends to another tenant's path, the answer is that of a path which is not there.
func TestForeignPathsAreSilent(t *testing.T) {
	w := newWorld(t, "{rate: 1000}")
	to := w.gateway()
	for name, change := range map[string]func(r *webhook.Request){
		"signed":        func(*webhook.Request) {},
		"not signed":    func(r *webhook.Request) { r.Header = r.Header[1:] },
		"badly signed":  func(r *webhook.Request) { r.Body = []byte("{}") },
		"GET":           func(r *webhook.Request) { r.Method = "GET" },
		"OPTIONS":       func(r *webhook.Request) { r.Method = "OPTIONS" },
		"two lines":     func(r *webhook.Request) { r.Header = append(r.Header, r.Header[0]) },
		"with a query":  func(r *webhook.Request) { r.Target += "?a=b" },
		"without token": func(r *webhook.Request) { r.Header = r.Header[:len(r.Header)-1] },
	} {
		foreign, missing := w.delivery("/t1", w.writer(0)), w.delivery("/t5", w.writer(0))
		change(&foreign)
		change(&missing)
		a, b := overHTTP(w, to, foreign), overHTTP(w, to, missing)
		want := 403
		if name == "without token" {
			want = 401
		}
		if fmt.Sprint(*a) != fmt.Sprint(*b) || a.status != want {
			t.Errorf("%s: %+v, and a path that is not there: %+v", name, a, b)
		}
	}
}

// A refused body is not read, and Amazon SNS is told to come again.
func TestRefusalIsEarly(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	w.options.TooMany = http.StatusServiceUnavailable
	w.options.Addresses = must(throttle.NewAddresses(0.1, 1, w.now()))
	seen := 0
	w.options.Observe = func(_ context.Context, r *webhook.Response) {
		if seen++; r.Err == nil {
			t.Error("a refusal without its cause")
		}
	}
	to := w.receiver(sourceOf(0))
	for _, want := range []int{401, 503} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("x"))
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		rec := httptest.NewRecorder()
		to.ServeHTTP(rec, r)
		if n, _ := r.Body.Read(make([]byte, 1)); n != 1 || rec.Code != want {
			t.Errorf("%d, want %d; the body was read: %v", rec.Code, want, n != 1)
		}
	}
	if seen != 2 {
		t.Errorf("%d refusals were observed", seen)
	}
	w.options.Addresses = nil
	to = w.receiver(sourceOf(0))
	overHTTP(w, to, w.delivery("/", w.writer(0)))
	a := overHTTP(w, to, w.delivery("/", w.writer(0)))
	if a.status != 503 || !strings.Contains(a.body, `"status":503`) || a.header["Ratelimit"] == "" {
		t.Errorf("over the limit of the tenant: %+v", a)
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, "{rate: 1}")
	behind := w.receiver(sourceOf(0))
	for name, change := range map[string]func(o *entry.Options){
		"nothing":             func(o *entry.Options) { *o = entry.Options{} },
		"tenants, no tokens":  func(o *entry.Options) { o.Tokens = nil },
		"tenants, no limiter": func(o *entry.Options) { o.Limiter = nil },
		"a nil limiter":       func(o *entry.Options) { o.Limiter = (*nilLimiter)(nil) },
		"a limiter alone":     func(o *entry.Options) { o.Tenants = nil },
		"a source alone":      func(o *entry.Options) { o.Tenants, o.Limiter, o.Source = nil, nil, "urn:a:b" },
		"no source":           func(o *entry.Options) { o.Source = "\x00" },
		"hops":                func(o *entry.Options) { o.TrustedHops = 17 },
		"a body below 0":      func(o *entry.Options) { o.MaxBody = -1 },
		"a status":            func(o *entry.Options) { o.TooMany = 200 },
	} {
		o := w.options
		if _, err := entry.New(behind, &o); err != nil {
			t.Fatal(err)
		}
		change(&o)
		if e, err := entry.New(behind, &o); err == nil || e != nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := entry.New(nil, &w.options); err == nil {
		t.Error("no receiver is taken")
	}
}

type nilLimiter struct{ away }
