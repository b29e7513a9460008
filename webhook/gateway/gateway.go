// Package gateway receives the webhooks of several providers, and brings each delivery onto the bus as a
// sealed event. It also sends events of the bus to endpoints of partners, as signed webhooks. Its endpoints
// stand in a file:
//
//	base_url: https://hooks.example            # as providers call it; for those that sign the URL
//	endpoints:
//	  github:                                  # the endpoint's name, which is in its replay keys
//	    path: /hooks/github
//	    provider: github                       # or recipe: acme.json
//	    secrets: [env:GITHUB_SECRET]           # or file:, secretsmanager:, ssm:
//	    source: https://hooks.example/github   # of the events; each endpoint has one of its own
//	out:
//	  acme:                                    # for ever of this one endpoint
//	    url: https://acme.example/hooks
//	    secrets: [env:ACME_SECRET]             # two during a rotation: both sign
//	    sources: [https://shop.example/*]      # whose events it gets
//
// docs/webhooks.md lists all fields. The file has references to secrets and no secret.
//
//	g, err := gateway.New(ctx, doc, ring, bus, store, nil)
//	err = http.ListenAndServe("127.0.0.1:8080", g)
//
// A Gateway is also a Receiver of package webhook/awslambda: awslambda.Handler(g, awslambda.FunctionURL) is
// the same gateway as a Lambda function. The path of an endpoint is the one that the provider calls, with the
// stage of an API Gateway.
//
// Take has a consumer verify a message of a queue, and keeps what the endpoints under out are to get in
// Options.Pending; Run sends that (package webhook/sender).
//
// Reload takes another file, all of it or nothing. Deliveries in flight are finished by the configuration
// under which they came, and none is refused in between.
//
// Threats: those of package webhook; an attacker who calls a path of another provider (each endpoint has
// secrets of its own, and its name is in the replay key); a flood (all endpoints share one Budget of memory,
// and each has a rate); an operator's mistake (a field that is not known, a secret in the place of its
// reference and two endpoints with one source are refused, with their line). Forgeries and copies do not use
// up the rate of an endpoint. Not stopped: a flood that fills the Budget, during which all senders are
// answered 503; bound senders by their address in front.
//
// Events leave only after they were verified, and only to addresses that Options.Network allows.
//
// Stable: New, Gateway, Options, ConfigError, the fields of the file and the names of the metrics.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/gcra"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/ingest"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// defaultBudget is small, and more bodies wait for room: a gateway, with all that it links and with what
// sealing makes of a body, then fits into 64 MiB.
const defaultBudget = 4 << 20

// refusedTimeout is how long the body of a request may take that no endpoint takes. It is that of package
// entry: otherwise a slow body would tell whether an endpoint of another tenant has the path.
const refusedTimeout = time.Second

// Options adjust New.
type Options struct {
	// Secrets fetch secrets by name for references such as ssm:/hooks/github: the key is the word before the
	// colon. env and file are always there. nil = no others.
	Secrets map[string]SecretFetch
	// Dir is where relative names of files in the configuration begin; "" = the working directory.
	Dir string
	// Budget bounds the bodies in flight of all endpoints; nil = one of 4 MiB. Sealing takes as much again.
	Budget *webhook.Budget
	// CheckSource refuses the source of an endpoint, such as one for which the keys do not speak; nil = none
	// is refused.
	CheckSource func(source string) error
	// Producer says how events are sealed and published; nil = the zero producer.Options.
	Producer *producer.Options
	// Pending keeps what the endpoints under out are to get, until they have it: a store in Redis (package
	// webhook/sender/redis), or sender.NewMemory, which loses it with the process. nil = there is no out.
	Pending sender.BackEnd
	// Limiter counts the requests of tenants: webhook/throttle/redis, for several gateways. nil = this
	// gateway counts alone, and its end forgets the quotas.
	Limiter throttle.Limiter
	Network *sender.Network  // which addresses out may lead to; nil = https at public addresses
	Logger  *slog.Logger     // nil = slog.Default()
	Now     func() time.Time // the wall clock; nil = time.Now
}

// SecretFetch fetches the secret of that name. The error must not have the secret.
type SecretFetch func(ctx context.Context, name string) (string, error)

// Gateway receives webhooks. It is safe for concurrent use.
type Gateway struct {
	ring  keys.SignerSource
	bus   producer.Bus
	store replay.Store
	opts  Options

	work     *work
	sender   *sender.Sender         // nil = there is no out
	reload   sync.Mutex             // one Reload at a time; it guards table and issuers
	table    *table                 // nil = addresses are not limited
	issuers  map[string]*authn.Keys // that are followed, by URL
	routes   atomic.Pointer[routes]
	draining atomic.Bool
	metrics  metrics
}

var (
	_ http.Handler       = (*Gateway)(nil)
	_ awslambda.Receiver = (*Gateway)(nil)
)

// routes are the endpoints of one configuration, by their path, and those to which events are sent.
type routes struct {
	byPath  map[string]entry.Receiver
	only    entry.Receiver // the only one; nil = there are several, or none
	nowhere entry.Receiver // of requests that no endpoint takes
	out     outlets
}

// New makes a Gateway of a configuration in YAML. The keys of ring sign the events, bus takes them, and store
// remembers deliveries: replay.NewMemory serves one process. A configuration that has only out needs no bus
// and no store, and a ring only to sign by RFC 9421: give nil. Each thing that is wrong in the configuration
// is a *ConfigError inside the error.
func New(ctx context.Context, config []byte, ring keys.SignerSource, bus producer.Bus, store replay.Store,
	opts *Options) (*Gateway, error) {
	g := &Gateway{ring: ring, bus: bus, store: store, work: newWork()}
	if opts != nil {
		g.opts = *opts
	}
	err := errors.Join(nilcheck.Typed("the keys to sign with", ring), nilcheck.Typed("the bus", bus),
		nilcheck.Typed("the replay store", store), nilcheck.Typed("Pending", g.opts.Pending),
		nilcheck.Typed("Limiter", g.opts.Limiter), nilcheck.Logger("Logger", g.opts.Logger))
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.opts.Budget == nil {
		if g.opts.Budget, err = webhook.NewBudget(defaultBudget); err != nil {
			return nil, err
		}
	}
	if g.opts.Logger == nil {
		g.opts.Logger = slog.Default()
	}
	if g.opts.Now == nil {
		g.opts.Now = time.Now
	}
	if g.opts.Limiter == nil {
		if g.opts.Limiter, err = throttle.NewMemory(&throttle.MemoryOptions{Now: g.opts.Now}); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	g.metrics.deliveries, g.metrics.attempts = map[delivery]uint64{}, map[attempt]uint64{}
	g.metrics.events = map[consumer.Outcome]uint64{}
	if g.opts.Pending != nil {
		g.sender, err = sender.New(g.opts.Pending, current{g}, &sender.Options{Observer: &g.metrics,
			Logger: g.opts.Logger, Network: g.opts.Network, Now: g.opts.Now})
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	if err := g.load(ctx, config); err != nil {
		return nil, err
	}
	return g, nil
}

// Reload replaces the configuration. Secrets are fetched anew. If anything is wrong, or a secret cannot be
// fetched, the old configuration stays. A rate begins anew.
func (g *Gateway) Reload(ctx context.Context, config []byte) error {
	err := g.load(ctx, config)
	g.metrics.reloaded(err)
	return err
}

func (g *Gateway) load(ctx context.Context, doc []byte) error {
	g.reload.Lock()
	defer g.reload.Unlock()
	c, err := parse(doc)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	next := &routes{byPath: map[string]entry.Receiver{}}
	var problems []error
	next.out, problems = g.openOut(ctx, c.out)
	who, err := g.openCallers(ctx, &c.callers)
	if err != nil {
		return fmt.Errorf("gateway: %w", errors.Join(append(problems, err)...))
	}
	who.options.MaxBody = largestBody(c.endpoints)
	for i := range c.endpoints {
		r, err := g.open(ctx, &c.endpoints[i], who)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		next.byPath[c.endpoints[i].path.value] = r
		next.only = r
	}
	if len(problems) > 0 {
		return fmt.Errorf("gateway: %w", errors.Join(problems...))
	}
	if len(next.byPath) != 1 {
		next.only = nil
	}
	if next.nowhere, err = g.guard(who, nil, &nowhere{g, who.options.Tenants != nil}); err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	if who.table != nil { // a configuration that is refused forgets nothing
		g.table = who.table
	}
	g.routes.Store(next)
	g.metrics.loaded.Store(g.opts.Now().Unix())
	return nil
}

// largestBody is the most bytes that any endpoint takes. The entry before each path refuses larger bodies. By
// the limit of its own endpoint it would tell, without a token, which paths there are. The receiver behind it
// has that limit.
func largestBody(endpoints []endpointConfig) int {
	largest := 0
	for i := range endpoints {
		largest = max(largest, cmp.Or(endpoints[i].maxBody, webhook.DefaultMaxBody))
	}
	return largest
}

// open makes the receiver of an endpoint.
func (g *Gateway) open(ctx context.Context, e *endpointConfig, who *callers) (entry.Receiver, error) {
	err := errors.Join(nilcheck.Check("the keys to sign with", g.ring), nilcheck.Check("the bus", g.bus),
		nilcheck.Check("the replay store", g.store))
	if err != nil {
		return nil, e.at.fail("an endpoint that receives needs all of these: %w", err)
	}
	if g.opts.CheckSource != nil {
		if err := g.opts.CheckSource(e.source.value); err != nil {
			return nil, e.source.fail("%w", err)
		}
	}
	scheme, err := e.scheme(ctx, g)
	if err != nil {
		return nil, err
	}
	secrets, err := e.openSecrets(ctx, g, scheme.Name())
	if err != nil {
		return nil, err
	}
	v, err := webhook.New(scheme, e.name, secrets, &webhook.Options{
		Tolerance: e.tolerance, MaxBody: e.maxBody, Scheme: webhook.SchemeOptions{
			BaseURL: e.baseURL, Topics: e.topics, UnsafeSHA1: e.unsafeSHA1, WebhookID: e.webhookID,
		},
	})
	if err != nil {
		return nil, e.needs(scheme, err)
	}
	var po producer.Options
	if g.opts.Producer != nil {
		po = *g.opts.Producer
	}
	if po.Now == nil {
		po.Now = g.opts.Now
	}
	if who.schemas != nil {
		po.Schemas = who.schemas
	}
	publish, err := ingest.New(g.ring, g.bus, e.source.value, &ingest.Options{TypePrefix: e.typePrefix,
		Producer: &po, Callers: who.options.Key != nil && !e.unsafeNoToken})
	if err != nil {
		return nil, e.source.fail("%w", err)
	}
	next := func(ctx context.Context, v *webhook.Verified) error {
		return g.work.do(ctx, len(v.Body), func() error { return publish(ctx, v) })
	}
	var limit func(time.Time) time.Duration
	if e.rate > 0 {
		limit = gcra.NewMeter(gcra.PerSecond(e.rate, e.burst)).Take
	}
	r, err := webhook.NewReceiver(v, g.store, next, &webhook.ReceiverOptions{
		ContentTypes: e.contentTypes, Budget: g.opts.Budget, Limit: limit, Diagnose: true,
		Observe: func(_ context.Context, r *webhook.Response) { g.metrics.count(e.name, r) },
		Logger:  g.opts.Logger, Now: g.opts.Now,
	})
	if err != nil {
		return nil, e.at.fail("%w", err)
	}
	guarded, err := g.guard(who, e, &posts{r, g, e.name})
	if err != nil {
		return nil, e.at.fail("%w", err)
	}
	return guarded, nil
}

// ServeHTTP takes a delivery to the endpoint of its path.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.metrics.inFlight.Add(1)
	defer g.metrics.inFlight.Add(-1)
	g.route(webhook.FromHTTP(r, nil).Target).ServeHTTP(w, r)
}

// Receive takes a delivery that came by another front end than net/http. A zero judging time is now.
func (g *Gateway) Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response {
	g.metrics.inFlight.Add(1)
	defer g.metrics.inFlight.Add(-1)
	return g.route(r.Target).Receive(ctx, r, at)
}

// route finds the endpoint of a request: its path is compared byte by byte. Where the front end cannot tell
// the path, the only endpoint gets it.
func (g *Gateway) route(target string) entry.Receiver {
	all := g.routes.Load()
	path, _, _ := strings.Cut(target, "?")
	r := all.byPath[path]
	if target == "" {
		r = all.only
	}
	if r == nil {
		return all.nowhere
	}
	return r
}

// refused counts and logs a request that no receiver saw.
func (g *Gateway) refused(ctx context.Context, endpoint string, r *webhook.Response) {
	g.metrics.count(endpoint, r)
	level := slog.LevelInfo
	if r.Reason == "" { // a flood, or a stranger
		level = slog.LevelDebug
	}
	g.opts.Logger.Log(ctx, level, "sealbus: refused before it was received", "endpoint", endpoint,
		"status", r.Status, "reason", string(r.Reason), "error", r.Err)
}

// posts is the receiver of an endpoint, which takes POST only.
type posts struct {
	*webhook.Receiver
	g    *Gateway
	name string
}

func (p *posts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost {
		p.Receiver.ServeHTTP(w, r)
		return
	}
	resp := p.refuse(r.Context())
	unread(w, &resp)
}

func (p *posts) Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response {
	if r.Method == http.MethodPost {
		return p.Receiver.Receive(ctx, r, at)
	}
	return p.refuse(ctx)
}

func (p *posts) refuse(ctx context.Context) webhook.Response {
	resp := webhook.Refusal(http.StatusMethodNotAllowed, 0, nil)
	resp.Header = append(resp.Header, webhook.Field{Name: "Allow", Value: http.MethodPost})
	p.g.refused(ctx, p.name, &resp)
	return resp
}

// nowhere answers requests that no endpoint takes.
type nowhere struct {
	g *Gateway
	// hides true: callers are those of tenants. The answer is then that of an endpoint of another tenant.
	hides bool
}

func (p *nowhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp := p.Receive(r.Context(), webhook.FromHTTP(r, nil), time.Time{})
	unread(w, &resp)
}

func (p *nowhere) Receive(ctx context.Context, r webhook.Request, _ time.Time) webhook.Response {
	var resp webhook.Response
	switch {
	case r.Target == "":
		resp = webhook.Refusal(http.StatusBadRequest, 0, errors.New(
			"gateway: the front end does not tell the path: use one without escapes and query"))
	case p.hides:
		resp = webhook.Refusal(0, 0, &webhook.Error{Reason: envelope.ReasonSourceNotAllowed, Provider: "gateway",
			Err: errors.New("no endpoint has this path")})
	default:
		resp = webhook.Refusal(http.StatusNotFound, 0, nil)
	}
	p.g.refused(ctx, "", &resp)
	return resp
}

// unread answers a request whose body was not read: before it answers, net/http waits for it.
func unread(w http.ResponseWriter, resp *webhook.Response) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedTimeout))
	resp.Write(w)
}

// Drain makes the readiness check fail from now on, so that load balancers send no more. Deliveries that come
// all the same are taken.
func (g *Gateway) Drain() { g.draining.Store(true) }
