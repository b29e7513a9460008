package webhook_test

import (
	"context"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/webhook"
)

func asks(fields ...string) webhook.Request {
	r := webhook.Request{Method: http.MethodOptions, Target: "/events"}
	for i := 0; i < len(fields); i += 2 {
		r.Header = append(r.Header, webhook.Field{Name: fields[i], Value: fields[i+1]})
	}
	return r
}

func fromOrigin(origin string, r webhook.Request) webhook.Request {
	r.Header = append(r.Header, webhook.Field{Name: "webhook-request-origin", Value: origin})
	return r
}

// The handshake permits exactly the configured origins, at the configured rate. Everything else gets no word
// of permission.
func TestHandshake(t *testing.T) {
	w := newEventWorld(t)
	w.opts.Origins = []webhook.Origin{{Name: "orders.example", Rate: 120}, {Name: "any.example"}}
	const origin, rate = "WebHook-Request-Origin", "WebHook-Request-Rate"
	const callback = "WebHook-Request-Callback"
	for name, c := range map[string]struct {
		r      webhook.Request
		status int
		rate   string
	}{
		"exact":            {asks(origin, "orders.example"), 204, "120"},
		"lower rate":       {asks(origin, "orders.example", rate, "1"), 204, "120"},
		"higher rate":      {asks(origin, "orders.example", rate, "5000"), 204, "120"},
		"no limit":         {asks(origin, "any.example", rate, "5000"), 204, "*"},
		"callback ignored": {asks(origin, "any.example", callback, "https://any.example/"), 204, "*"},
		"prefix":           {asks(origin, "orders.example.evil.example"), 403, ""},
		"suffix":           {asks(origin, "evil.orders.example"), 403, ""},
		"shorter":          {asks(origin, "orders"), 403, ""},
		"other case":       {asks(origin, "Orders.example"), 403, ""},
		"any":              {asks(origin, "*"), 403, ""},
		"none":             {asks(), 400, ""},
		"empty":            {asks(origin, ""), 400, ""},
		"two":              {asks(origin, "orders.example", origin, "any.example"), 400, ""},
		"only an Origin":   {asks("Origin", "orders.example"), 400, ""},
		"rate 0":           {asks(origin, "orders.example", rate, "0"), 400, ""},
		"rate +1":          {asks(origin, "orders.example", rate, "+1"), 400, ""},
		"rate *":           {asks(origin, "orders.example", rate, "*"), 400, ""},
		"rate 1.5":         {asks(origin, "orders.example", rate, "1.5"), 400, ""},
		"two rates":        {asks(origin, "orders.example", rate, "1", rate, "2"), 400, ""},
	} {
		resp := w.receive(c.r)
		wantOrigin := ""
		if c.rate != "" {
			wantOrigin = c.r.Header[0].Value
		}
		if resp.Status != c.status || answerHeader(resp, "WebHook-Allowed-Rate") != c.rate ||
			answerHeader(resp, "WebHook-Allowed-Origin") != wantOrigin ||
			c.status == 204 && answerHeader(resp, "Allow") != "OPTIONS, POST" {
			t.Errorf("%s: %d %q %s", name, resp.Status, resp.Header, resp.Body)
		}
	}
}

// With origins, only they may send.
func TestEventsComeFromAPermittedOrigin(t *testing.T) {
	w := newEventWorld(t)
	w.opts.Origins = []webhook.Origin{{Name: "orders.example"}}
	event := w.event()
	w.check("none", w.receive(structured(event)), 403, "")
	w.check("prefix", w.receive(fromOrigin("orders.example.evil", structured(event))), 403, "")
	w.check("two", w.receive(fromOrigin("orders.example", fromOrigin("orders.example", structured(event)))),
		403, "")
	w.check("exact", w.receive(fromOrigin("orders.example", binary(event))), 204, "")
	if len(w.handled) != 1 {
		t.Errorf("handled %q", w.handled)
	}
}

// The agreed rate is enforced, for each origin alone. Forgeries do not use it up, because anyone can write
// the name of an origin.
func TestEventsKeepTheAgreedRate(t *testing.T) {
	w := newEventWorld(t)
	w.opts.Origins = []webhook.Origin{{Name: "orders.example", Rate: 6}, {Name: "other.example", Rate: 6}}
	e := w.receiver()
	send := func(what, origin string, r webhook.Request, status, wait int) {
		t.Helper()
		resp := e.Receive(t.Context(), fromOrigin(origin, r), time.Time{})
		retry := ""
		if wait > 0 {
			retry = strconv.Itoa(wait)
		}
		if got := answerHeader(resp, "Retry-After"); resp.Status != status || got != retry {
			t.Errorf("%s: %d, Retry-After %q, want %d, %q", what, resp.Status, got, status, retry)
		}
	}
	for range 20 {
		send("forged", "orders.example", structured(w.forged()), 401, 0)
		send("no event", "orders.example", postedAs(batchType, []byte("[")), 400, 0)
		send("too large", "orders.example", structured(make([]byte, 2<<20)), 413, 0)
	}
	for range 6 {
		send("in the rate", "orders.example", structured(w.event()), 204, 0)
	}
	send("over the rate", "orders.example", structured(w.event()), 429, 10)
	send("forged, over the rate", "orders.example", structured(w.forged()), 429, 10)
	send("another origin", "other.example", structured(w.event()), 204, 0)
	w.org.Advance(9*time.Second + 500*time.Millisecond)
	send("too early", "orders.example", structured(w.event()), 429, 1)
	w.org.Advance(500 * time.Millisecond)
	send("on time", "orders.example", batch(w.event(), w.forged(), w.event()), 401, 0) // one request
	send("the next", "orders.example", structured(w.event()), 429, 10)
	w.org.Advance(time.Hour)
	for range 6 {
		send("after a pause", "orders.example", binary(w.event()), 204, 0)
	}
	send("no more than that", "orders.example", structured(w.event()), 429, 10)
}

// hookedTrust calls a function before it gives the bundle: while an event is judged.
type hookedTrust struct {
	trust.Source
	hook func()
}

func (h *hookedTrust) Bundle(ctx context.Context) (*trust.Bundle, error) {
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook()
	}
	return h.Source.Bundle(ctx)
}

// Of two requests that were both admitted, only one is within the rate. The events of the other are not
// handled and not lost. Duplicates count.
func TestEventsKeepTheAgreedRateAtTheSameTime(t *testing.T) {
	w := newEventWorld(t)
	w.opts.Origins = []webhook.Origin{{Name: "orders.example", Rate: 1}}
	hooked := &hookedTrust{Source: w.trust}
	w.trust = hooked
	e := w.receiver()
	send := func(r webhook.Request) webhook.Response {
		return e.Receive(t.Context(), fromOrigin("orders.example", r), time.Time{})
	}
	first, second := w.event(), w.event()
	for _, r := range []webhook.Request{structured(first), batch(first, first)} {
		overtaking := w.event()
		hooked.hook = func() { w.check("overtakes", send(structured(overtaking)), 204, "") }
		resp := send(r)
		if resp.Status != 429 || answerHeader(resp, "Retry-After") != "60" || len(w.handled) != 1 ||
			w.handled[0] != idOf(overtaking) {
			t.Errorf("overtaken: %d %s, handled %q", resp.Status, resp.Body, w.handled)
		}
		w.handled = nil
		w.org.Advance(time.Minute)
	}
	w.check("first", send(structured(first)), 204, "")
	if resp := send(structured(second)); resp.Status != 429 {
		t.Errorf("second: %d", resp.Status)
	}
	w.org.Advance(time.Minute)
	w.check("duplicate", send(binary(first)), 204, "")
	if resp := send(structured(second)); resp.Status != 429 {
		t.Errorf("a duplicate did not count: %d", resp.Status)
	}
	if len(w.handled) != 1 || w.handled[0] != idOf(first) {
		t.Errorf("handled %q", w.handled)
	}
}
