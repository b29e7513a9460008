package entry_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

const (
	issuer = "https://issuer.example"
	secret = "the secret of the provider"
	peer   = "192.0.2.1:4711"
)

// count is how many tenants and sources there are. The source of that number is the one that no tenant has.
const count = 5

func sourceOf(i int) string { return fmt.Sprintf("https://t%d.example/shop", i) }
func typeOf(i int) string   { return fmt.Sprintf("com.t%d.placed", i) }

// tenantsFile has the tenants t0 to t4, each with a client c0 to c4. Webhooks of GitHub are taken, too.
func tenantsFile(quota string) string {
	doc := "version: 1\nissuer: " + issuer + "\ntenants:\n"
	for i := range count {
		doc += fmt.Sprintf("  t%d:\n    clients: {c%d: {}}\n    sources: [\"https://t%d.example/*\"]\n"+
			"    types: [com.t%d.*, webhook.github.*]\n    scopes: [events/write]\n    quota: %s\n", i, i, i, i, quota)
	}
	return doc
}

// world has callers with tokens, providers and producers, and all entries of sealbus.
type world struct {
	testing.TB
	org     *envelopetest.Org // its key speaks for every source
	now     func() time.Time
	issuer  ed25519.PrivateKey
	options entry.Options
	store   replay.Store
	next    func(ctx context.Context, v *webhook.Verified) error
	handler consumer.Handler
	events  *consumer.Options
	handled int
	ids     int
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t testing.TB, quota string) *world {
	sources := make([]string, 0, count+1)
	for i := range count + 1 {
		sources = append(sources, sourceOf(i))
	}
	w := &world{TB: t, org: envelopetest.NewOrg(t, "all", sources...)}
	w.now = w.org.Now
	w.issuer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	w.store = replay.NewMemory(&replay.MemoryOptions{Now: w.now})
	w.options = entry.Options{Now: w.now, Tokens: w.verifier(),
		Tenants:   must(tenants.Parse([]byte(tenantsFile(quota)), nil)),
		Limiter:   must(throttle.NewMemory(&throttle.MemoryOptions{Now: w.now})),
		Addresses: must(throttle.NewAddresses(100, 100_000, w.now())), TrustedHops: 1}
	w.next = func(context.Context, *webhook.Verified) error { w.handled++; return nil }
	w.handler = func(context.Context, consumer.Delivery[[]byte]) error { w.handled++; return nil }
	w.events = &consumer.Options{Logger: slog.New(slog.DiscardHandler)}
	return w
}

func (w *world) jwks() string {
	x := base64.RawURLEncoding.EncodeToString(w.issuer.Public().(ed25519.PublicKey))
	return `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","use":"sig","alg":"EdDSA","x":"` + x + `"}]}`
}

func (w *world) verifier() *authn.Verifier {
	return must(authn.New(issuer, must(authn.ParseKeys([]byte(w.jwks()))),
		&authn.Options{Audiences: []string{"hooks"}, Now: w.now}))
}

// token is a good one of that client, with further claims.
func (w *world) token(client, claims string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	text := b64([]byte(`{"alg":"EdDSA","typ":"at+jwt","kid":"k"}`)) + "." + b64([]byte(fmt.Sprintf(
		`{"iss":%q,"aud":"hooks","sub":%q,"client_id":%q,"iat":%d,"exp":%d,"jti":"1"%s}`, issuer, client, client,
		w.now().Unix()-10, w.now().Unix()+600, claims)))
	return text + "." + b64(ed25519.Sign(w.issuer, []byte(text)))
}

// writer is the token of the client of a tenant, with its scope.
func (w *world) writer(i int) string {
	return w.token(fmt.Sprintf("c%d", i), `,"scope":"events/write"`)
}

// request is a POST with that token; "" = without one.
func (w *world) request(target, token string, body []byte, header ...webhook.Field) webhook.Request {
	r := webhook.Request{Method: "POST", Target: target, Body: body, Peer: peer, Header: append(header,
		webhook.Field{Name: "X-Forwarded-For", Value: "198.51.100.1"})}
	if token != "" {
		r.Header = append(r.Header, webhook.Field{Name: "Authorization", Value: "Bearer " + token})
	}
	return r
}

// delivery is a webhook of GitHub that was not sent before.
func (w *world) delivery(target, token string) webhook.Request {
	w.ids++
	body := fmt.Appendf(nil, `{"n":%d}`, w.ids)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return w.request(target, token, body, webhook.Field{Name: "X-Hub-Signature-256",
		Value: "sha256=" + hex.EncodeToString(mac.Sum(nil))}, webhook.Field{Name: "X-GitHub-Event", Value: "push"},
		webhook.Field{Name: "Content-Type", Value: "application/json"})
}

// sealed is an event that was not sent before.
func (w *world) sealed(source, typ string) *envelope.Sealed {
	w.Helper()
	w.ids++
	ev := event.New()
	ev.SetID(fmt.Sprint(w.ids))
	ev.SetSource(source)
	ev.SetType(typ)
	if err := ev.SetData("application/json", json.RawMessage(`{"amount":1}`)); err != nil {
		w.Fatal(err)
	}
	return must(envelope.Seal(w.Context(), ev, w.org.Signer(), &envelope.SealOptions{
		Audience: envelopetest.Audience, Now: w.now}))
}

// receiver is that of webhooks of GitHub, for one source.
func (w *world) receiver(source string) entry.Receiver {
	v := must(webhook.New(must(webhook.Provider("github")), "github", []webhook.Secret{{Text: secret}}, nil))
	r := must(webhook.NewReceiver(v, w.store, func(ctx context.Context, v *webhook.Verified) error {
		return w.next(ctx, v)
	}, &webhook.ReceiverOptions{Now: w.now, Logger: slog.New(slog.DiscardHandler)}))
	o := w.options
	o.Source = source
	return must(entry.New(r, &o))
}

// eventReceiver is that of sealed events.
func (w *world) eventReceiver() entry.Receiver {
	c := must(consumer.New("test", w.org.Trust(), w.store, w.org.Policy(), w.events))
	r := must(webhook.Events(c, func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		return w.handler(ctx, d)
	}, &webhook.EventOptions{Now: w.now, Logger: slog.New(slog.DiscardHandler)}))
	return must(entry.New(r, &w.options))
}

// answer is that to one request.
type answer struct {
	status int
	reason envelope.Reason
	body   string
	header map[string]string
}

func (a *answer) read() *answer {
	var problem struct{ Reason envelope.Reason }
	_ = json.Unmarshal([]byte(a.body), &problem) // 200 and 204 have no body
	a.reason = problem.Reason
	return a
}

// overHTTP sends a request as net/http has it.
func overHTTP(w *world, to entry.Receiver, r webhook.Request) *answer {
	req := httptest.NewRequestWithContext(w.Context(), r.Method, r.Target, bytes.NewReader(r.Body))
	req.RemoteAddr = r.Peer
	for _, f := range r.Header {
		req.Header.Add(f.Name, f.Value)
	}
	rec := httptest.NewRecorder()
	to.ServeHTTP(rec, req)
	a := &answer{status: rec.Code, body: rec.Body.String(), header: map[string]string{}}
	for name := range rec.Header() {
		a.header[name] = rec.Header().Get(name)
	}
	return a.read()
}

// fronts are all ways by which a request can come.
var fronts = map[string]func(w *world, to entry.Receiver, r webhook.Request) *answer{
	"net/http": overHTTP, "FunctionURL": behind(awslambda.FunctionURL), "HTTPAPI": behind(awslambda.HTTPAPI),
	"RESTAPI": behind(awslambda.RESTAPI), "ALB": behind(awslambda.ALB),
	"ALBMultiValue": behind(awslambda.ALBMultiValue),
}

// behind sends a request as that front end hands it on.
func behind(front awslambda.FrontEnd) func(w *world, to entry.Receiver, r webhook.Request) *answer {
	return func(w *world, to entry.Receiver, r webhook.Request) *answer {
		w.Helper()
		one, all := map[string]string{}, map[string][]string{}
		for _, f := range r.Header {
			one[strings.ToLower(f.Name)], all[f.Name] = f.Value, []string{f.Value}
		}
		ip, _, _ := strings.Cut(r.Peer, ":")
		p := map[string]any{"body": string(r.Body), "httpMethod": r.Method, "path": r.Target}
		switch front {
		case awslambda.FunctionURL, awslambda.HTTPAPI:
			p = map[string]any{"version": "2.0", "rawPath": r.Target, "rawQueryString": "", "headers": one,
				"body": string(r.Body), "requestContext": map[string]any{
					"http": map[string]any{"method": r.Method, "sourceIp": ip}}}
		case awslambda.RESTAPI:
			p["headers"], p["multiValueHeaders"] = one, all
			p["requestContext"] = map[string]any{"path": r.Target, "identity": map[string]any{"sourceIp": ip}}
		case awslambda.ALB:
			p["headers"], p["requestContext"] = one, map[string]any{"elb": map[string]any{}}
		default:
			p["multiValueHeaders"], p["requestContext"] = all, map[string]any{"elb": map[string]any{}}
		}
		resp, err := awslambda.Handler(to, front)(w.Context(), must(json.Marshal(p)))
		if err != nil {
			w.Fatal(front, err)
		}
		if resp.Headers == nil {
			resp.Headers = map[string]string{}
		}
		for name, list := range resp.MultiValueHeaders {
			resp.Headers[name] = list[0]
		}
		return (&answer{status: resp.StatusCode, body: resp.Body, header: resp.Headers}).read()
	}
}
