package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/dialguard"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/sender"
)

// The words of the field sign.
const (
	signStandard = "standard"
	signHTTP     = "http-signature"
	signSealed   = "sealed"
)

// outConfig is an endpoint to which events are sent.
type outConfig struct {
	name string
	at   place

	url, sign      placed
	secrets        []secretConfig
	sources, types []string
	timeout        time.Duration
	concurrency    int
	rate           float64 // attempts a second; 0 = no limit
	burst          int
	ordered        bool
}

func (r *reader) out(n *yaml.Node, at place) (list []outConfig) {
	r.mapping(n, at.field, func(name string) reading {
		return func(n *yaml.Node, at place) {
			if len(list) == maxEndpoints {
				r.fail(at, "there are more than %d endpoints", maxEndpoints)
				return
			}
			list = append(list, r.outEndpoint(n, at, name))
		}
	})
	return list
}

func (r *reader) outEndpoint(n *yaml.Node, at place, name string) outConfig {
	e := outConfig{name: name, at: at}
	r.endpointName(name, at)
	before := len(r.errs)
	r.mapping(n, at.field, func(field string) reading {
		return map[string]reading{
			"url": r.placed(&e.url, nil), "sign": r.placed(&e.sign, checkSign),
			"secrets": func(n *yaml.Node, at place) { e.secrets = r.secrets(n, at) },
			"sources": r.patterns(&e.sources, keys.CheckSourcePattern),
			"types":   r.patterns(&e.types, keys.CheckTypePattern),
			"timeout": r.duration(&e.timeout), "concurrency": r.whole(&e.concurrency, maxRate),
			"rate": r.number(&e.rate, 1/maxRate, maxRate), "burst": r.whole(&e.burst, maxRate),
			"ordered": r.flag(&e.ordered),
		}[field]
	})
	if len(r.errs) > before {
		return e
	}
	standard := e.sign.value == "" || e.sign.value == signStandard
	if err := keys.CheckScope(e.sources, e.types); err != nil { // each pattern is sound: there are too many
		r.fail(at, "%w", err)
	}
	switch {
	case e.url.value == "":
		r.fail(at, "it has no url")
	case len(e.sources) == 0:
		r.fail(at, "it has no sources: whose events it gets, such as [https://orders.example/*]")
	case standard && len(e.secrets) == 0:
		r.fail(at, "it has no secrets: references to whsec_... or whsk_..., such as [env:NAME]")
	case !standard && len(e.secrets) > 0:
		r.fail(at, "it has secrets, and only sign: %s uses them", signStandard)
	}
	return e
}

func checkSign(word string) error {
	switch word {
	case signStandard, signHTTP, signSealed:
		return nil
	}
	return fmt.Errorf("%s, %s or %s is needed here", signStandard, signHTTP, signSealed)
}

// patterns reads a list of patterns, each with its place.
func (r *reader) patterns(to *[]string, check func(string) error) reading {
	return func(n *yaml.Node, at place) {
		before := len(r.errs)
		if r.texts(to)(n, at); len(r.errs) > before {
			return
		}
		for i, pattern := range *to {
			if err := check(pattern); err != nil {
				r.fail(place{n.Content[i].Line, fmt.Sprintf("%s.%d", at.field, i)}, "%w", err)
			}
		}
	}
}

// outlets are the endpoints of one configuration to which events are sent.
type outlets struct {
	list []*outlet
	byID map[string]*outlet
}

type outlet struct {
	sender.Endpoint
	sources, types []string // nil types = all
	sealed         bool     // it gets the sealed event as it is
}

// openOut makes the endpoints. All that is wrong is in the errors.
func (g *Gateway) openOut(ctx context.Context, list []outConfig) (outlets, []error) {
	all := outlets{byID: map[string]*outlet{}}
	var problems []error
	for i := range list {
		o, err := g.openOutlet(ctx, &list[i])
		if err != nil {
			problems = append(problems, err)
			continue
		}
		all.list = append(all.list, o)
		all.byID[o.ID] = o
	}
	return all, problems
}

func (g *Gateway) openOutlet(ctx context.Context, e *outConfig) (*outlet, error) {
	if g.sender == nil {
		return nil, e.at.fail("it needs a store for what is pending: --queue with --redis (Options.Pending)")
	}
	signing, err := g.signing(ctx, e)
	if err != nil {
		return nil, err
	}
	o := &outlet{sources: e.sources, types: e.types, sealed: e.sign.value == signSealed,
		Endpoint: sender.Endpoint{ID: e.name, URL: e.url.value, Signing: signing, Timeout: e.timeout,
			Concurrency: e.concurrency, Rate: e.rate, Burst: e.burst, Ordered: e.ordered}}
	err = g.sender.Check(&o.Endpoint)
	if refused, ok := errors.AsType[*dialguard.RefusedError](err); ok {
		return nil, e.url.fail("%w", refused)
	} else if err != nil {
		return nil, e.at.fail("%w", err)
	}
	return o, nil
}

// signing is how the requests to the endpoint are signed.
func (g *Gateway) signing(ctx context.Context, e *outConfig) (sender.Signing, error) {
	switch e.sign.value {
	case signSealed:
		return sender.Unsigned(), nil
	case signHTTP:
		if g.ring == nil {
			return nil, e.sign.fail("there are no keys to sign with: --keyring FILE has them")
		}
		return ringSigning{g.ring}, nil
	}
	var secrets []webhook.Secret
	for _, s := range e.secrets {
		text, err := g.secret(ctx, s.reference.value)
		if err != nil {
			return nil, s.reference.fail("%w", err)
		}
		one := webhook.Secret{ID: s.id, Text: text, NotBefore: s.notBefore, NotAfter: s.notAfter}
		if _, err := sender.StandardWebhooks([]webhook.Secret{one}); err != nil {
			return nil, s.reference.fail("%w", err)
		}
		secrets = append(secrets, one)
	}
	return sender.StandardWebhooks(secrets)
}

// ringSigning signs with the key of the ring that signs at the time of the attempt.
type ringSigning struct{ ring keys.SignerSource }

// Sign is the method of sender.Signing.
func (s ringSigning) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	list, err := s.ring.Signers(at)
	if err != nil {
		return err
	}
	for _, signer := range list {
		if alg := signer.Verifier().Algorithm(); alg != keys.Ed25519 && alg != keys.ES256 {
			continue
		}
		signing, err := sender.HTTPSignature(signer, nil)
		if err != nil {
			return err
		}
		return signing.Sign(ctx, req, body, at)
	}
	return errors.New("gateway: RFC 9421 needs an Ed25519 or ES256 key, and none signs now")
}

// current gives the sender the endpoints of the newest configuration.
type current struct{ g *Gateway }

// Endpoint is the method of sender.Endpoints.
func (c current) Endpoint(_ context.Context, id string) (*sender.Endpoint, error) {
	if o := c.g.routes.Load().out.byID[id]; o != nil {
		return &o.Endpoint, nil
	}
	return nil, sender.ErrNoEndpoint
}

// want names the endpoints that get an event, in the order of the file.
func (o *outlets) want(source, typ string) (signed, sealed []string) {
	for _, e := range o.list {
		switch {
		case !keys.MatchSource(e.sources, source) || e.types != nil && !keys.MatchType(e.types, typ):
		case e.sealed:
			sealed = append(sealed, e.ID)
		default:
			signed = append(signed, e.ID)
		}
	}
	return signed, sealed
}

// Take has the consumer handle a message of a queue, and keeps a copy of the verified event for each endpoint
// under out that wants it; an event that no endpoint wants is handled by that. It returns what Handle
// returns: delete the message unless the outcome is Retry. Events whose data was encrypted, and that an
// endpoint wants which is signed for, fail: they are not sent on in the clear. While the configuration has no
// endpoint under out, nothing is handled.
func (g *Gateway) Take(ctx context.Context, c *consumer.Consumer, m consumer.Message,
) (consumer.Result, error) {
	all := g.routes.Load().out
	if g.sender == nil || len(all.list) == 0 {
		err := errors.New("gateway: there is no endpoint under out: nothing is handled")
		return consumer.Result{Outcome: consumer.Retry, Err: err}, err
	}
	forward := func(ctx context.Context, d consumer.Delivery[[]byte]) (sealed []string, err error) {
		signed, sealed := all.want(d.Event.Source(), d.Event.Type())
		if len(signed) > 0 {
			to := func(context.Context, consumer.Delivery[[]byte]) ([]string, error) { return signed, nil }
			err = g.sender.Forward(to)(ctx, d)
		}
		return sealed, err
	}
	var result consumer.Result
	var err error
	if m.Format == consumer.CloudEvent {
		result, err = g.sender.Relay(ctx, c, m, forward)
	} else {
		result, err = c.Handle(ctx, m, func(ctx context.Context, d consumer.Delivery[[]byte]) error {
			sealed, err := forward(ctx, d)
			if err == nil && len(sealed) > 0 {
				err = consumer.SafeText(errors.New("gateway: the message is not the sealed event itself, " +
					"which sign: sealed needs: have the rule pass $.detail"))
			}
			return err
		})
	}
	g.metrics.event(result.Outcome)
	return result, err
}

// Run sends to the endpoints under out what is due, until ctx ends. Then it begins no more attempts, finishes
// those that are under way, and returns nil. The others stay in the store.
func (g *Gateway) Run(ctx context.Context) error {
	if g.sender == nil {
		return errors.New("gateway: there is nothing to run without Options.Pending")
	}
	return g.sender.Run(ctx)
}
