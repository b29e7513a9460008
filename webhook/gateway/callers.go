package gateway

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/schema"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// maxJWKS bounds a file with the keys of an issuer, in bytes.
const maxJWKS = 1 << 20

// callersConfig says who may call: the same for all endpoints.
type callersConfig struct {
	trustedHops                         int
	hopsAt, addressesAt, tokensAt       place // line 0 = the field is not there
	rate                                float64
	burst                               int
	issuer, jwks, tokenSource           placed
	audiences, clients                  []string
	leeway                              time.Duration
	tenantsFile, schemasFile, authIDKey placed
}

// callers reads a field at the top of the file; nil = it is not known.
func (r *reader) callers(c *callersConfig, name string) reading {
	switch name {
	case "trusted_hops":
		return func(n *yaml.Node, at place) {
			c.hopsAt = at
			r.whole(&c.trustedHops, throttle.MaxTrustedHops)(n, at)
		}
	case "addresses":
		return func(n *yaml.Node, at place) {
			c.addressesAt = at
			r.mapping(n, at.field, func(field string) reading {
				return map[string]reading{"rate": r.number(&c.rate, 1.0/86400, 1000),
					"burst": r.whole(&c.burst, 1e6)}[field]
			})
		}
	case "tokens":
		return func(n *yaml.Node, at place) {
			c.tokensAt = at
			r.mapping(n, at.field, func(field string) reading {
				return map[string]reading{"issuer": r.placed(&c.issuer, nil), "jwks": r.placed(&c.jwks, nil),
					"audiences": r.texts(&c.audiences), "clients": r.texts(&c.clients),
					"leeway": r.duration(&c.leeway), "source": r.placed(&c.tokenSource, nil)}[field]
			})
		}
	case "tenants":
		return r.placed(&c.tenantsFile, nil)
	case "schemas":
		return r.placed(&c.schemasFile, nil)
	case "authid_key":
		return r.placed(&c.authIDKey, checkReference)
	}
	return nil
}

// checkCallers refuses fields that need others.
func (r *reader) checkCallers(c *config) {
	if len(r.errs) > 0 {
		return
	}
	o := &c.callers
	hasTokens, hasTenants := o.tokensAt.line > 0, o.tenantsFile.line > 0
	for _, fault := range []struct {
		is   bool
		at   place
		text string
	}{
		{o.addressesAt.line > 0 && (o.rate == 0 || o.burst == 0), o.addressesAt,
			"it needs rate, in requests a second of one network, and burst"},
		{o.hopsAt.line > 0 && o.addressesAt.line == 0, o.hopsAt,
			"it is for addresses, which is not there: add addresses, or drop it"},
		{hasTokens && (o.issuer.value == "" || o.jwks.value == ""), o.tokensAt,
			"it needs issuer, and jwks: the URL or the file of the issuer's keys"},
		{hasTokens && !hasTenants && len(o.audiences)+len(o.clients) == 0, o.tokensAt,
			"it needs audiences, clients or a tenants file: else every token of the issuer is good"},
		{hasTenants && !hasTokens, o.tenantsFile.place, "it needs tokens, which say which client calls"},
		{hasTenants && o.authIDKey.value == "", o.tenantsFile.place, "it needs authid_key: a reference to 32 " +
			"random bytes or more, such as env:AUTHID_KEY, under which callers stand in events"},
		{o.authIDKey.line > 0 && !hasTenants, o.authIDKey.place,
			"it is for tenants, which is not there: add tenants, or drop it"},
	} {
		if fault.is {
			r.fail(fault.at, "%s", fault.text)
		}
	}
	for i := range c.endpoints {
		if e := &c.endpoints[i]; e.unsafeNoToken && !hasTokens {
			r.fail(e.at, "it has unsafe_no_token, and no endpoint needs a token: drop it")
		}
	}
}

// callers is who may call, opened.
type callers struct {
	options entry.Options      // of an endpoint, but for its source and its limits
	schemas envelope.Validator // nil = none
	table   *table             // of the addresses; nil = they are not limited
}

// table is the addresses that were seen, which a reload keeps.
type table struct {
	rate  float64
	burst int
	*throttle.Addresses
}

// openCallers opens what the configuration says about callers. It keeps addresses and keys of the
// configuration before.
func (g *Gateway) openCallers(ctx context.Context, c *callersConfig) (*callers, error) {
	out := &callers{options: entry.Options{TrustedHops: c.trustedHops, Now: g.opts.Now}}
	if c.addressesAt.line > 0 {
		out.table = g.table
		if out.table == nil || out.table.rate != c.rate || out.table.burst != c.burst {
			addresses, err := throttle.NewAddresses(c.rate, c.burst, g.opts.Now())
			if err != nil {
				return nil, c.addressesAt.fail("%w", err)
			}
			out.table = &table{c.rate, c.burst, addresses}
		}
		out.options.Addresses = out.table.Addresses
	}
	if c.schemasFile.value != "" {
		file := g.path(c.schemasFile.value)
		set, err := schema.ReadSet(os.DirFS(filepath.Dir(file)), filepath.Base(file))
		if err != nil {
			return nil, c.schemasFile.fail("%w", err)
		}
		out.schemas = set
	}
	if c.tokensAt.line == 0 {
		return out, nil
	}
	if err := g.openTenants(ctx, c, &out.options); err != nil {
		return nil, err
	}
	keys, err := g.issuerKeys(c)
	if err != nil {
		return nil, err
	}
	o := &authn.Options{Audiences: c.audiences, ClientIDs: c.clients, Leeway: c.leeway,
		Source: c.tokenSource.value, Now: g.opts.Now}
	if all := out.options.Tenants; all != nil && len(o.Audiences)+len(o.ClientIDs) == 0 {
		o.ClientIDs = all.ClientIDs()
	}
	if out.options.Tokens, err = authn.New(c.issuer.value, keys, o); err != nil {
		return nil, c.tokensAt.fail("%w", err)
	}
	return out, nil
}

// issuerKeys are those of a URL, which are followed, or of a file.
func (g *Gateway) issuerKeys(c *callersConfig) (*authn.Keys, error) {
	name := c.jwks.value
	if keys := g.issuers[name]; keys != nil {
		return keys, nil
	}
	if !strings.Contains(name, "://") {
		doc, err := g.readFile(name, maxJWKS)
		if err != nil {
			return nil, c.jwks.fail("%.200q: %w", name, err)
		}
		keys, err := authn.ParseKeys(doc)
		if err != nil {
			return nil, c.jwks.fail("%.200q: %w", name, err)
		}
		return keys, nil // a reload reads the file again
	}
	keys, err := authn.FetchKeys(name, &authn.KeyOptions{Now: g.opts.Now})
	if err != nil {
		return nil, c.jwks.fail("%w", err)
	}
	g.issuers = map[string]*authn.Keys{name: keys}
	return keys, nil
}

// openTenants reads the file of tenants, with the schemas that it names.
func (g *Gateway) openTenants(ctx context.Context, c *callersConfig, o *entry.Options) error {
	if c.tenantsFile.value == "" {
		return nil
	}
	doc, err := g.readFile(c.tenantsFile.value, tenants.MaxFile)
	if err != nil {
		return c.tenantsFile.fail("%.200q: %w", c.tenantsFile.value, err)
	}
	dir := os.DirFS(filepath.Dir(g.path(c.tenantsFile.value)))
	all, err := tenants.Parse(doc, func(file string) (envelope.Validator, error) {
		return schema.ReadSet(dir, file)
	})
	if fault, ok := errors.AsType[*reviewed.Error](err); ok {
		err = fault
	}
	if err != nil {
		return c.tenantsFile.fail("%.200q: %w", c.tenantsFile.value, err)
	}
	if all.Issuer() != c.issuer.value {
		return c.issuer.fail("it is %.200q, and that of the tenants is %.200q: they must be the same",
			c.issuer.value, all.Issuer())
	}
	secret, err := g.secret(ctx, c.authIDKey.value)
	if err != nil {
		return c.authIDKey.fail("%w", err)
	}
	if o.Key, err = authcontext.NewKey([]byte(secret)); err != nil {
		return c.authIDKey.fail("%w", err)
	}
	o.Tenants, o.Limiter = all, g.opts.Limiter
	return nil
}

// guard puts the entry of all endpoints in front of one of them.
func (g *Gateway) guard(c *callers, e *endpointConfig, next entry.Receiver) (entry.Receiver, error) {
	o := c.options
	name := ""
	if e != nil {
		name = e.name
		if e.unsafeNoToken {
			o.Tokens, o.Tenants, o.Limiter, o.Key = nil, nil, nil, nil
		}
		if e.provider.value == "sns" { // it takes each 4xx for final
			o.TooMany = 503
		}
		if o.Tenants != nil {
			o.Source = e.source.value
		}
	}
	if o.Addresses == nil && o.Tokens == nil {
		return next, nil
	}
	o.Observe = func(ctx context.Context, r *webhook.Response) { g.refused(ctx, name, r) }
	return entry.New(next, &o)
}
