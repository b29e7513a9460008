// Package tenants says which client may speak for which tenant: for which sources and types of events, with
// which scopes, and how often. It is one YAML file beside the trust policy, which a person reviews:
//
//	version: 1
//	issuer: https://issuer.example              # of the tokens, whose client IDs these are
//	tenants:
//	  acme:
//	    clients:
//	      4f9c2d: {}                              # the client ID, as the issuer of tokens writes it
//	      77ab01: {rate: 5, daily: 1000}          # with a quota of its own
//	    sources: ["https://acme.example/*"]       # no source belongs to two tenants
//	    types: [com.acme.*]
//	    scopes: [events/write]                    # all of them are needed
//	    groups: []                                # or any one of these
//	    quota: {rate: 50, burst: 100, daily: 100000}  # of all clients together
//	    schemas: acme/set.json                    # of the data, by type: package schema
//
// Package webhook/entry does all of this at an HTTP entry. A program of its own verifies a token, and then
// asks:
//
//	tenant, err := all.Find(tenants.Caller{Issuer: iss, ClientID: id, Scopes: scopes}) // else 403
//	v, err := limiter.Take(ctx, tenant.Limits())                                // 429 if v.Wait is above 0
//	err = tenant.Check(source, typ)                                             // 403, with its Reason
//	err = tenant.AuthContext(key).Set(&ev)
//
// The client IDs of a file are those of one issuer, because two issuers could give one ID to two clients.
//
// # Foreign IDs
//
// Sources, types and names of other tenants are answered as those that do not exist, with the same status,
// Reason and text. Keep what belongs to a tenant under Tenant.Key: then a foreign ID finds nothing.
//
// Threats: a client that writes events of another tenant (sources of tenants do not overlap, and the
// producer's key is bound to its sources, too); a client that uses up the IDs of another tenant (an event is
// named by source and id together); a client that asks what others have (see above); a reviewer who misreads
// the file (anchors, tags, escapes, invisible characters and unknown fields are refused, with their line).
// Not stopped: a tenant that reads events of another one on a bus that both may read. That takes encryption.
//
// Stable: all of it, but for the texts of errors.
package tenants

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// Errors of Find. To the caller they are the same: an unknown client, and one without a scope or a group. The
// text is for the operator.
var (
	errIssuer = forbidden("the token is of another issuer than the tenants")
	errClient = forbidden("no tenant has this client")
	errScope  = forbidden("the token lacks a scope of the tenant")
	errGroup  = forbidden("the caller is in no group of the tenant")
)

func forbidden(cause string) error {
	return &webhook.Error{Reason: envelope.ReasonForbidden, Provider: "tenants", Err: errors.New(cause)}
}

// Errors of Check. They do not say whether another tenant has the source or the type.
var (
	errSource = &envelope.Error{Reason: envelope.ReasonSourceNotAllowed, Cause: "the tenant has no such source"}
	errType   = &envelope.Error{Reason: envelope.ReasonTypeNotAllowed, Cause: "the tenant has no such type"}
)

// Caller is who called, of a token that was verified.
type Caller struct {
	Issuer   string // iss
	ClientID string
	Subject  string   // the user on whose behalf the client called; "" = none, it called for itself
	Scopes   []string // of the token
	Groups   []string // of the user
}

// Tenants are those of one file. They do not change, and are safe for concurrent use.
type Tenants struct {
	issuer   string
	byClient map[string]*client
	names    []string // of the tenants, sorted
}

// client is a client of a tenant.
type client struct {
	id   string
	of   *tenant
	plan throttle.Plan // of its own; zero = it has that of the tenant alone
}

// tenant is one as the file has it.
type tenant struct {
	name                           string
	sources, types, scopes, groups []string
	plan                           throttle.Plan
	schemas                        envelope.Validator // nil = none
	clients                        []*client
}

// Names are those of the tenants, sorted.
func (t *Tenants) Names() []string { return slices.Clone(t.names) }

// Issuer is that of the tokens whose client IDs are meant.
func (t *Tenants) Issuer() string { return t.issuer }

// ClientIDs are those of all tenants, sorted.
func (t *Tenants) ClientIDs() []string { return slices.Sorted(maps.Keys(t.byClient)) }

// Find is the tenant for which a caller speaks. Any error is a *webhook.Error of the Reason forbidden: 403.
func (t *Tenants) Find(c Caller) (*Tenant, error) {
	found := t.byClient[c.ClientID]
	switch {
	case c.Issuer != t.issuer:
		return nil, errIssuer
	case found == nil:
		return nil, errClient
	}
	for _, scope := range found.of.scopes {
		if !slices.Contains(c.Scopes, scope) {
			return nil, errScope
		}
	}
	groups := common(found.of.groups, c.Groups)
	if len(found.of.groups) > 0 && len(groups) == 0 {
		return nil, errGroup
	}
	return &Tenant{client: found, issuer: t.issuer, subject: c.Subject, groups: groups}, nil
}

// common are the texts of a that b has, too.
func common(a, b []string) []string {
	var out []string
	for _, text := range a {
		if slices.Contains(b, text) {
			out = append(out, text)
		}
	}
	return out
}

// Tenant is a tenant as one caller speaks for it.
type Tenant struct {
	client  *client
	issuer  string
	subject string
	groups  []string // of the tenant's, those that the caller is in
}

var _ consumer.Caller = (*Tenant)(nil)

// From is the tenant for which the caller of a request speaks, behind package webhook/entry; nil = none.
func From(ctx context.Context) *Tenant {
	t, _ := webhook.CallerOf(ctx).(*Tenant)
	return t
}

// Name is that of the tenant.
func (t *Tenant) Name() string { return t.client.of.name }

// Key is the name under which what has this ID is kept for the tenant. No other tenant has the same Key, so
// the ID of a foreign thing finds nothing.
func (t *Tenant) Key(id string) string { return t.client.of.name + "/" + id }

// Speaks reports whether the tenant has the source.
func (t *Tenant) Speaks(source string) bool { return keys.MatchSource(t.client.of.sources, source) }

// Check refuses an event for which the tenant may not speak. The error is an *envelope.Error of the
// Reason source_not_allowed or type_not_allowed.
func (t *Tenant) Check(source, typ string) error {
	switch {
	case !t.Speaks(source):
		return errSource
	case !keys.MatchType(t.client.of.types, typ):
		return errType
	}
	return nil
}

// Limits are those of the client, if it has a quota of its own, and of the tenant.
func (t *Tenant) Limits() []throttle.Limit {
	of := t.client.of
	limits := make([]throttle.Limit, 0, 2)
	if t.client.plan != (throttle.Plan{}) {
		limits = append(limits, throttle.Limit{Policy: "client", Key: t.client.id, Plan: t.client.plan})
	}
	return append(limits, throttle.Limit{Policy: "tenant", Key: of.name, Plan: of.plan})
}

// Validate judges data by the schemas of the tenant, if the file names any.
func (t *Tenant) Validate(d envelope.Document) error {
	if t.client.of.schemas == nil {
		return nil
	}
	return t.client.of.schemas.Validate(d)
}

// AuthContext is the caller as it stands in events: the ID is that of issuer, tenant, client and user under
// the key.
// The claims are the tenant, and those scopes and groups of the caller that the file names.
func (t *Tenant) AuthContext(key *authcontext.Key) authcontext.Context {
	of := t.client.of
	c := authcontext.Context{Type: authcontext.ServiceAccount,
		ID: key.ID(t.issuer, of.name, t.client.id, t.subject)}
	if t.subject != "" {
		c.Type = authcontext.AppUser
	}
	claims := jsontext.AppendQuote([]byte(`{"tenant":`), of.name)
	claims = appendStrings(claims, "scopes", of.scopes)
	claims = appendStrings(claims, "groups", t.groups)
	c.Claims = string(append(claims, '}'))
	return c
}

func appendStrings(dst []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(jsontext.AppendQuote(append(dst, ','), name), ":["...)
	for i, text := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsontext.AppendQuote(dst, text)
	}
	return append(dst, ']')
}
