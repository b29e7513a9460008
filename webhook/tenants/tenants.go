// Package tenants says which client may speak for which tenant: for which sources and types of events, with
// which scopes, and how often. It is one YAML file beside the trust policy, which a person reviews:
//
//	version: 1
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
//	    schemas: {com.acme.order: order.json}     # of the data, by type
//
// A program verifies a token, and then asks:
//
//	tenant, err := all.Find(tenants.Caller{ClientID: id, Scopes: scopes}) // 403 if it is ErrForbidden
//	v, err := limiter.Take(ctx, tenant.Limits())                          // 429 if v.Wait is above 0
//	err = tenant.Check(source, typ)                                       // 403, with its Reason
//	err = tenant.AuthContext(key).Set(&ev)
//
// The client IDs of a file are those of one issuer. Two issuers could give one ID to two clients: use a file
// for each.
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
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// ErrForbidden says that a caller speaks for no tenant: answer 403. To the caller, an unknown client and one
// without a scope or a group are the same. The text is for the operator.
var ErrForbidden = errors.New("tenants: the caller is not allowed")

var (
	errNoClient = fmt.Errorf("%w: no tenant has this client", ErrForbidden)
	errNoScope  = fmt.Errorf("%w: the token lacks a scope of the tenant", ErrForbidden)
	errNoGroup  = fmt.Errorf("%w: the caller is in no group of the tenant", ErrForbidden)
)

// Errors of Check. They do not say whether another tenant has the source or the type.
var (
	errSource = &webhook.Error{Reason: envelope.ReasonSourceNotAllowed, Provider: "tenants",
		Err: errors.New("the tenant has no such source")}
	errType = &webhook.Error{Reason: envelope.ReasonTypeNotAllowed, Provider: "tenants",
		Err: errors.New("the tenant has no such type")}
)

// Caller is who called, of a token that was verified.
type Caller struct {
	ClientID string
	Subject  string   // the user on whose behalf the client called; "" = none, it called for itself
	Scopes   []string // of the token
	Groups   []string // of the user
}

// Tenants are those of one file. They do not change, and are safe for concurrent use.
type Tenants struct {
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
	schemas                        map[string]string
	clients                        []*client
}

// Names are those of the tenants, sorted.
func (t *Tenants) Names() []string { return slices.Clone(t.names) }

// Find is the tenant for which a caller speaks. Any error is ErrForbidden.
func (t *Tenants) Find(c Caller) (*Tenant, error) {
	found := t.byClient[c.ClientID]
	if found == nil {
		return nil, errNoClient
	}
	for _, scope := range found.of.scopes {
		if !slices.Contains(c.Scopes, scope) {
			return nil, errNoScope
		}
	}
	groups := common(found.of.groups, c.Groups)
	if len(found.of.groups) > 0 && len(groups) == 0 {
		return nil, errNoGroup
	}
	return &Tenant{client: found, subject: c.Subject, groups: groups}, nil
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
	subject string
	groups  []string // of the tenant's, those that the caller is in
}

// Name is that of the tenant.
func (t *Tenant) Name() string { return t.client.of.name }

// Key is the name under which what has this ID is kept for the tenant. No other tenant has the same Key, so
// the ID of a foreign thing finds nothing.
func (t *Tenant) Key(id string) string { return t.client.of.name + "/" + id }

// Check refuses an event for which the tenant may not speak. The error is a *webhook.Error of the Reason
// source_not_allowed or type_not_allowed.
func (t *Tenant) Check(source, typ string) error {
	switch {
	case !keys.MatchSource(t.client.of.sources, source):
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

// Schema is the file of the JSON Schema for data of that type; "" = there is none.
func (t *Tenant) Schema(typ string) string { return t.client.of.schemas[typ] }

// AuthContext is the caller as it stands in events: the ID is that of tenant, client and user under the key.
// The claims are the tenant, and those scopes and groups of the caller that the file names.
func (t *Tenant) AuthContext(key *authcontext.Key) authcontext.Context {
	of := t.client.of
	c := authcontext.Context{Type: authcontext.ServiceAccount, ID: key.ID(of.name, t.client.id, t.subject)}
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
