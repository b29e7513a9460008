package entry_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// way is one entry of sealbus, and the request by which a caller says something about the source j there.
type way struct {
	to      func(j int) entry.Receiver
	request func(j int, token string) webhook.Request
	passes  int // the status
}

// ways are all entries.
func ways(w *world) map[string]way {
	events := w.eventReceiver()
	toEvents := func(int) entry.Receiver { return events }
	posted := func(content string, body []byte, token string) webhook.Request {
		return w.request("/events", token, body, webhook.Field{Name: "Content-Type", Value: content})
	}
	hooks := w.gateway()
	return map[string]way{
		"receiver": {func(j int) entry.Receiver { return w.receiver(sourceOf(j)) },
			func(_ int, token string) webhook.Request { return w.delivery("/hooks", token) }, 200},
		"events, structured": {toEvents, func(j int, token string) webhook.Request {
			return posted("application/cloudevents+json", w.sealed(sourceOf(j), typeOf(j)).JSON(), token)
		}, 204},
		"events, batch": {toEvents, func(j int, token string) webhook.Request {
			return posted("application/cloudevents-batch+json",
				fmt.Appendf(nil, "[%s]", w.sealed(sourceOf(j), typeOf(j)).JSON()), token)
		}, 200},
		"events, binary": {toEvents, func(j int, token string) webhook.Request {
			header, body, err := w.sealed(sourceOf(j), typeOf(j)).HTTP()
			if err != nil {
				w.Fatal(err)
			}
			r := w.request("/events", token, body)
			for name, values := range header {
				r.Header = append(r.Header, webhook.Field{Name: name, Value: values[0]})
			}
			return r
		}, 204},
		"gateway": {func(int) entry.Receiver { return hooks },
			func(j int, token string) webhook.Request { return w.delivery(fmt.Sprintf("/t%d", j), token) }, 200},
	}
}

// localBus is a bus that takes everything.
type localBus struct{ sent [][]byte }

func (b *localBus) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	for _, e := range events {
		b.sent = append(b.sent, e.JSON())
	}
	return make([]producer.Result, len(events))
}

// gateway has an endpoint for each tenant. That of number count is not there.
func (w *world) gateway() entry.Receiver {
	dir := w.TempDir()
	w.Setenv("HOOK_SECRET", secret)
	w.Setenv("AUTHID_KEY", "0123456789abcdef0123456789abcdef")
	for name, text := range map[string]string{"jwks.json": w.jwks(), "tenants.yaml": tenantsFile("{rate: 1000}")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
	}
	config := "trusted_hops: 1\naddresses: {rate: 100, burst: 100000}\n" +
		"tokens: {issuer: " + issuer + ", audiences: [hooks], jwks: jwks.json}\n" +
		"tenants: tenants.yaml\nauthid_key: env:AUTHID_KEY\nendpoints:\n"
	for j := range count {
		config += fmt.Sprintf("  e%d: {path: /t%d, provider: github, secrets: [env:HOOK_SECRET], source: %q}\n", j, j,
			sourceOf(j))
	}
	return must(gateway.New(w.Context(), []byte(config),
		keys.SignWith(keystest.Signer(w, keys.Ed25519, "hooks", "gateway")),
		&localBus{}, w.store, &gateway.Options{Dir: dir, Now: w.now, Logger: slog.New(slog.DiscardHandler)}))
}

// Five tenants, five sources, every entry behind every front end: the diagonal passes. Everything else is
// refused, in the same bytes as a source that does not exist.
func TestMatrix(t *testing.T) {
	w := newWorld(t, "{rate: 1000, burst: 100000}")
	for front, send := range fronts {
		for name, way := range ways(w) {
			missing := send(w, way.to(count), way.request(count, w.writer(0)))
			if missing.status != 403 || missing.reasonIn(name) != envelope.ReasonSourceNotAllowed {
				t.Errorf("%s, %s: a source that does not exist: %+v", front, name, missing)
			}
			for i := range count {
				for j := range count {
					got := send(w, way.to(j), way.request(j, w.writer(i)))
					if i == j && (got.status != way.passes || got.reason != "") {
						t.Errorf("%s, %s: tenant %d, its own source: %+v", front, name, i, got)
					}
					if i != j && (got.status != 403 || got.body != missing.body) {
						t.Errorf("%s, %s: tenant %d, source %d: %+v, and one that does not exist: %+v", front, name, i, j,
							got, missing)
					}
				}
			}
		}
	}
	// The fifth way is that of the gateway, behind which is a bus.
	if want := len(fronts) * 4 * count; w.handled != want {
		t.Errorf("%d were handled, want %d", w.handled, want)
	}
}

// reasonIn is the Reason of the answer, or in a batch that of its event.
func (a *answer) reasonIn(way string) envelope.Reason {
	if way == "events, batch" {
		const begin = `{"status":403,"title":"Forbidden","events":[{"status":403,"reason":"`
		if len(a.body) > len(begin) && a.body[:len(begin)] == begin {
			return envelope.Reason(a.body[len(begin) : len(a.body)-len(`"}]}`)])
		}
	}
	return a.reason
}

// Without a token, with a bad one, and with one that speaks for no tenant, every entry refuses, whatever the
// source is.
func TestStrangers(t *testing.T) {
	w := newWorld(t, "{rate: 1000, burst: 100000}")
	for front, send := range fronts {
		for name, way := range ways(w) {
			for what, c := range map[string]struct {
				token  string
				status int
				reason envelope.Reason
			}{
				"no token":       {"", 401, envelope.ReasonUnsigned},
				"no JWT":         {"x", 401, envelope.ReasonMalformed},
				"a forged token": {w.writer(0)[:len(w.writer(0))-4] + "AAAA", 401, envelope.ReasonBadSignature},
				"no such client": {w.token("c9", `,"scope":"events/write"`), 403, envelope.ReasonForbidden},
				"no scope":       {w.token("c0", ""), 403, envelope.ReasonForbidden},
			} {
				for _, j := range []int{0, 1, count} {
					got := send(w, way.to(j), way.request(j, c.token))
					if got.status != c.status || got.reason != c.reason {
						t.Errorf("%s, %s, %s, source %d: %+v", front, name, what, j, got)
					}
				}
			}
		}
	}
	if w.handled != 0 {
		t.Errorf("%d were handled", w.handled)
	}
}
