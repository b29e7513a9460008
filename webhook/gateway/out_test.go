package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/gateway"
	"github.com/sealbus/sealbus/webhook/httpsig"
	"github.com/sealbus/sealbus/webhook/sender"
)

const acmeSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

const oneOut = `
out:
  acme:
    url: https://acme.example/hooks
    secrets: [env:ACME_SECRET]
    sources: ["https://orders.example/*"]
`

// partners are servers of partners, and a gateway that sends to them.
type partners struct {
	*gateway.Gateway
	t     *testing.T
	org   *envelopetest.Org
	store sender.BackEnd
	url   string

	mu  sync.Mutex
	got map[string]webhook.Request // by path
	all sync.WaitGroup             // the requests that are expected
}

// newPartners makes a gateway of a configuration, in which URL stands for the partners' server. The store is
// nil for one in memory.
func newPartners(t *testing.T, config string, store sender.BackEnd) *partners {
	t.Helper()
	t.Setenv("ACME_SECRET", acmeSecret)
	p := &partners{t: t, org: envelopetest.NewOrg(t, "orders", "https://orders.example/*"),
		store: store, got: map[string]webhook.Request{}}
	if store == nil {
		p.store = sender.NewMemory(nil)
	}
	server := httptest.NewTLSServer(p)
	t.Cleanup(server.Close)
	p.url = server.URL
	port, err := strconv.ParseUint(server.URL[strings.LastIndexByte(server.URL, ':')+1:], 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	opts := options()
	opts.Pending, opts.Network = p.store, &sender.Network{Ports: []uint16{443, uint16(port)},
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Roots: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	p.Gateway, err = gateway.New(t.Context(), []byte(strings.ReplaceAll(config, "URL", p.url)), ring(t), nil,
		nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *partners) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	p.mu.Lock()
	p.got[r.URL.Path] = webhook.FromHTTP(r, body)
	p.mu.Unlock()
	p.all.Done()
}

// take takes a message as a consumer that has handled nothing yet.
func (p *partners) take(m consumer.Message) (consumer.Result, error) {
	p.t.Helper()
	c, err := consumer.New("gateway", p.org.Trust(), replay.NewMemory(nil), p.org.Policy(),
		&consumer.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.Take(p.t.Context(), c, m)
}

// run sends until so many requests have come, and the metrics have the line.
func (p *partners) run(requests int, line string) {
	p.t.Helper()
	p.all.Add(requests)
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	p.all.Wait()
	for !strings.Contains(p.admin("/metrics"), line) {
		runtime.Gosched()
	}
	cancel()
	if err := <-ended; err != nil {
		p.t.Error(err)
	}
}

func (p *partners) admin(path string) string {
	answer := httptest.NewRecorder()
	p.Admin().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
	return answer.Body.String()
}

// pending is how many deliveries are due.
func (p *partners) pending() int {
	p.t.Helper()
	list, err := p.store.Take(p.t.Context(), sender.Want{Most: 100, Lease: time.Minute})
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

// Each endpoint that wants an event gets it, signed as its field says, and no other one does.
func TestOutSigns(t *testing.T) {
	p := newPartners(t, `
out:
  standard:
    url: URL/standard
    secrets: [env:ACME_SECRET]
    sources: ["https://orders.example/*"]
  http:
    url: URL/http
    sign: http-signature
    sources: ["https://orders.example/*"]
    types: [com.example.order.*]
  sealed:
    url: URL/sealed
    sign: sealed
    sources: ["https://orders.example/*"]
  other-type:
    url: URL/other-type
    secrets: [env:ACME_SECRET]
    sources: ["https://orders.example/*"]
    types: [com.example.cart]
  other-source:
    url: URL/other-source
    secrets: [env:ACME_SECRET]
    sources: ["https://shop.example/*"]
`, nil)
	event := p.org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	r, err := p.take(consumer.Message{Body: event.JSON()})
	if r.Outcome != consumer.Handled || err != nil {
		t.Fatalf("%v, %v, want handled", r.Outcome, err)
	}
	p.run(3, `sealbus_gateway_attempts_total{endpoint="http",state="delivered",cause=""} 1`)
	if len(p.got) != 3 {
		t.Errorf("requests to %v", p.got)
	}
	verify := func(path string, s webhook.Scheme, secret webhook.Secret) {
		t.Helper()
		v, err := webhook.New(s, "partner", []webhook.Secret{secret},
			&webhook.Options{Scheme: webhook.SchemeOptions{BaseURL: p.url}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := v.Verify(t.Context(), p.got[path], now)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if id, signed := d.ID(); !signed || !strings.HasPrefix(id, "msg_") ||
			!bytes.Contains(d.Body, []byte(`"total":7`)) || bytes.Contains(d.Body, []byte("dssematerial")) {
			t.Errorf("%s: ID %q, signed %t, body %s", path, id, signed, d.Body)
		}
	}
	standard, err := webhook.Provider("standardwebhooks")
	if err != nil {
		t.Fatal(err)
	}
	verify("/standard", standard, webhook.Secret{ID: "1", Text: acmeSecret})
	verify("/http", httpsig.Scheme(&httpsig.Profile{ID: "webhook-id", Components: []string{"@method",
		"@target-uri", "content-digest", "webhook-id"}, Optional: []string{"content-type"}}),
		webhook.Secret{Text: string(keystest.Signer(t, keys.Ed25519, "hooks", "gateway").Verifier().JWK())})
	if got := p.got["/sealed"].Body; !bytes.Equal(got, event.JSON()) {
		t.Errorf("the sealed event came as %s", got)
	}
	text := p.admin("/metrics")
	for _, line := range []string{`sealbus_gateway_events_total{outcome="handled"} 1`,
		`sealbus_gateway_out{state="pending"} 0`, `sealbus_gateway_out{state="dead"} 0`} {
		if !strings.Contains(text, line) {
			t.Errorf("the metrics have no %s:\n%s", line, text)
		}
	}
}

// A forged event goes nowhere, nor does one whose data was encrypted. A sealed event inside a wrapper cannot
// be relayed.
func TestOutTakesNothingElse(t *testing.T) {
	p := newPartners(t, oneOut, nil)
	broken := p.org.Broken(t, envelope.ReasonBadSignature)
	if r, err := p.take(consumer.Message{Body: broken.JSON}); r.Reason() != envelope.ReasonBadSignature ||
		r.Outcome != consumer.Retry || err == nil {
		t.Errorf("forged: %v %q, %v", r.Outcome, r.Reason(), err)
	}
	secret := p.org.EncryptedEvent(t, "com.example.order.placed", map[string]int{"total": 7})
	if r, err := p.take(consumer.Message{Body: secret.JSON()}); r.Outcome != consumer.Retry || err == nil {
		t.Errorf("encrypted: %v, %v", r.Outcome, err)
	}
	if n := p.pending(); n != 0 {
		t.Errorf("%d deliveries are pending", n)
	}
	sealed := newPartners(t, strings.Replace(oneOut, "secrets: [env:ACME_SECRET]", "sign: sealed", 1), nil)
	event := sealed.org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	wrapped := `{"source":"https://orders.example/test","detail-type":"com.example.order.placed",` +
		`"account":"111122223333","detail":` + string(event.JSON()) + `}`
	r, err := sealed.take(consumer.Message{Body: []byte(wrapped), Format: consumer.EventBridge})
	if r.Outcome != consumer.Retry || r.Reason() != envelope.ReasonHandlerFailed || err == nil {
		t.Errorf("wrapped: %v %q, %v", r.Outcome, r.Reason(), err)
	}
}

// Without an endpoint under out nothing is handled, so nothing is lost.
func TestTakeWithoutOut(t *testing.T) {
	w := newWorld(t, oneEndpoint, nil)
	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
	store := replay.NewMemory(nil)
	c, err := consumer.New("gateway", org.Trust(), store, org.Policy(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := consumer.Message{Body: org.Event(t, "com.example.order.placed", nil).JSON()}
	if r, err := w.Take(t.Context(), c, m); r.Outcome != consumer.Retry || err == nil {
		t.Errorf("%v, %v, want retry", r.Outcome, err)
	}
	if err := w.Run(t.Context()); err == nil {
		t.Error("a gateway without Pending runs")
	}
	handled := false
	_, err = c.Handle(t.Context(), m, func(context.Context, consumer.Delivery[[]byte]) error {
		handled = true
		return nil
	})
	if !handled || err != nil {
		t.Errorf("the event was claimed: %v", err)
	}
}

// A delivery that is pending for an endpoint which a reload removes ends in the dead list.
func TestReloadRemovesAnOutlet(t *testing.T) {
	p := newPartners(t, strings.Replace(oneOut, "https://acme.example", "URL", 1), nil)
	event := p.org.Event(t, "com.example.order.placed", map[string]int{"total": 7})
	if r, err := p.take(consumer.Message{Body: event.JSON()}); r.Outcome != consumer.Handled {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	other := strings.NewReplacer("acme:", "other:", "https://acme.example", p.url).Replace(oneOut)
	if err := p.Reload(t.Context(), []byte(other)); err != nil {
		t.Fatal(err)
	}
	if r, err := p.take(consumer.Message{Body: event.JSON()}); r.Outcome != consumer.Handled {
		t.Fatalf("%v, %v", r.Outcome, err)
	}
	p.run(1, `sealbus_gateway_attempts_total{endpoint="acme",state="dead",cause="no_endpoint"} 1`)
	list, err := p.store.Dead(t.Context(), sender.Key{}, 10)
	if err != nil || len(list) != 1 || list[0].Endpoint != "acme" {
		t.Errorf("dead: %v, %v", list, err)
	}
}

// Each thing that is wrong with an endpoint under out has its line and field.
func TestOutConfigErrors(t *testing.T) {
	t.Setenv("ACME_SECRET", acmeSecret)
	t.Setenv("GITHUB_SECRET", "first")
	change := func(from, into string) string { return strings.Replace(oneOut, from, into, 1) }
	for name, c := range map[string]struct {
		config string
		line   int
		field  string
	}{
		"none":          {"out: {}\n", 1, "endpoints"},
		"unknown field": {oneOut + "    speed: 1\n", 7, "out.acme.speed"},
		"name":          {change("acme:", "Acme:"), 3, "out.Acme"},
		"no url":        {change("url: https://acme.example/hooks", "rate: 1"), 3, "out.acme"},
		"no sources":    {change("sources: [\"https://orders.example/*\"]", "rate: 1"), 3, "out.acme"},
		"no secrets":    {change("secrets: [env:ACME_SECRET]", "rate: 1"), 3, "out.acme"},
		"secrets of another kind": {change("secrets:", "sign: sealed\n    secrets:"), 3,
			"out.acme"},
		"no reference":  {change("env:ACME_SECRET", "whsec_canary"), 5, "out.acme.secrets.0"},
		"no such env":   {change("env:ACME_SECRET", "env:NONE"), 5, "out.acme.secrets.0"},
		"wrong secret":  {change("env:ACME_SECRET", "env:GITHUB_SECRET"), 5, "out.acme.secrets.0"},
		"sign":          {change("secrets:", "sign: hmac\n    secrets:"), 5, "out.acme.sign"},
		"source":        {change("orders.example/*", "*.example/*"), 6, "out.acme.sources.0"},
		"type":          {oneOut + "    types: [a.*, \"*.b\"]\n", 7, "out.acme.types.1"},
		"http":          {change("https://acme", "http://acme"), 4, "out.acme.url"},
		"metadata":      {change("acme.example", "169.254.169.254"), 4, "out.acme.url"},
		"loopback":      {change("acme.example", "127.0.0.1"), 4, "out.acme.url"},
		"port":          {change("acme.example", "acme.example:8443"), 4, "out.acme.url"},
		"no URL":        {change("https://acme.example/hooks", "acme"), 3, "out.acme"},
		"long timeout":  {oneOut + "    timeout: 2m\n", 3, "out.acme"},
		"concurrency":   {oneOut + "    concurrency: 1000\n", 3, "out.acme"},
		"burst alone":   {oneOut + "    burst: 5\n", 3, "out.acme"},
		"negative rate": {oneOut + "    rate: -1\n", 7, "out.acme.rate"},
		"not a flag":    {oneOut + "    ordered: 1\n", 7, "out.acme.ordered"},
		"twice":         {oneOut + "  acme:\n    url: https://b.example\n", 7, "out.acme"},
		"no bus":        {oneOut + strings.TrimPrefix(oneEndpoint, "\n"), 8, "endpoints.github"},
	} {
		opts := options()
		opts.Pending = sender.NewMemory(nil)
		g, err := gateway.New(t.Context(), []byte(c.config), nil, nil, nil, opts)
		e, ok := errors.AsType[*gateway.ConfigError](err)
		if !ok || g != nil || e.Line != c.line || e.Field != c.field {
			t.Errorf("%s: %v; want line %d, field %q", name, err, c.line, c.field)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error has the secret: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		config string
		opts   *gateway.Options
	}{
		"no store": {oneOut, options()},
		"no keys": {change("secrets: [env:ACME_SECRET]", "sign: http-signature"),
			&gateway.Options{Pending: sender.NewMemory(nil)}},
	} {
		_, err := gateway.New(t.Context(), []byte(c.config), nil, nil, nil, c.opts)
		if _, ok := errors.AsType[*gateway.ConfigError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDocumentShowsAConfigurationThatLoads: the YAML of "Webhooks out" in docs/webhooks.md.
func TestDocumentShowsAConfigurationThatLoads(t *testing.T) {
	doc, err := os.ReadFile("../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n## Send events to partners\n")
	_, config, hasCode := strings.Cut(section, "```yaml\n")
	config, _, ends := strings.Cut(config, "```\n")
	if !found || !hasCode || !ends {
		t.Fatal("docs/webhooks.md has no such example")
	}
	for _, name := range []string{"ACME_SECRET", "ACME_NEXT_SECRET"} {
		t.Setenv(name, acmeSecret)
	}
	opts := options()
	opts.Pending = sender.NewMemory(nil)
	if _, err := gateway.New(t.Context(), []byte(config), ring(t), nil, nil, opts); err != nil {
		t.Error(err)
	}
}
