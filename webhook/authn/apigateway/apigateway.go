package apigateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/webhook/authn"
)

// maxRoutes bounds Options.Routes. A policy has at most 8,192 bytes, which is checked, too.
const maxRoutes = 100

// The longest policy, and the longest resource in it, that API Gateway takes, in bytes
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html,
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-lambda-authorizer-output.html).
const (
	maxPolicy   = 8192
	maxResource = 512
)

// ErrUnauthorized has API Gateway answer 401. Its text is the one that API Gateway looks for.
var ErrUnauthorized = errors.New("Unauthorized")

// Route is a route of the API, and what its callers need.
type Route struct {
	Method string // "GET"; "*" = every method
	Path   string // as API Gateway writes it: "/news/{id}", "/files/{proxy+}"
	Need   *authn.Need
}

// Options are optional settings.
type Options struct {
	// Routes are all routes of the API before which the authorizer stands. nil = every route, by callers with
	// a good token. List those that need more, too: in a policy, a {parameter} covers the paths below it, and
	// New can refuse an overlap only between routes that it knows.
	Routes []Route
	// Simple answers an HTTP API in the format 2.0 by isAuthorized. false = by a policy.
	Simple bool
	// UsageIdentifier is the API key of a caller, for the usage plans of a REST API; nil = none is given.
	UsageIdentifier func(*authn.Identity) string
	// Refused is told why a caller is refused, for logs and metrics; nil = nothing is told.
	Refused func(context.Context, error)
}

// Authorizer answers API Gateway. It is safe for concurrent use.
type Authorizer struct {
	verifier *authn.Verifier
	opts     Options
}

// New makes an Authorizer. Options.Source of the verifier is the identity source of the authorizer.
func New(v *authn.Verifier, opts *Options) (*Authorizer, error) {
	if v == nil {
		return nil, errors.New("apigateway: no verifier: authn.New makes one")
	}
	if opts == nil {
		opts = &Options{}
	}
	o := *opts
	o.Routes = slices.Clone(o.Routes)
	if o.Routes == nil {
		o.Routes = []Route{{"*", "/{proxy+}", &authn.Need{}}}
	}
	if len(o.Routes) == 0 || len(o.Routes) > maxRoutes {
		return nil, fmt.Errorf("apigateway: %d routes: give 1 to %d, or nil for all", len(o.Routes), maxRoutes)
	}
	for i, r := range o.Routes {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("apigateway: the route %.80q: %w", r.Method+" "+r.Path, err)
		}
		for _, other := range o.Routes[:i] {
			if !sameNeed(r.Need, other.Need) && r.overlaps(&other) {
				return nil, fmt.Errorf("apigateway: the routes %.80q and %.80q overlap in a policy, whose * also "+
					"stands for /, and their needs differ: give both the same need, or other paths",
					other.Method+" "+other.Path, r.Method+" "+r.Path)
			}
		}
	}
	return &Authorizer{v, o}, nil
}

func (r *Route) check() error {
	switch {
	case r.Need == nil:
		return errors.New("it has no Need: &authn.Need{} lets every caller with a good token in")
	case slices.Contains(r.Need.Scopes, "") || slices.Contains(r.Need.Groups, ""):
		return errors.New("a scope or a group is empty")
	case r.Method == "ANY":
		return errors.New("its method is ANY: write *")
	case r.Method != "*" && (r.Method == "" || strings.Trim(r.Method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
		return errors.New("its method is not one, such as GET, or *")
	case !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "*?$\"\\ "):
		return errors.New("its path does not begin with /, or has one of * ? $ \" \\ and space")
	}
	for segment := range strings.SplitSeq(r.Path[1:], "/") {
		inside := strings.TrimSuffix(strings.TrimPrefix(segment, "{"), "}")
		if strings.ContainsAny(inside, "{}") || strings.HasPrefix(segment, "{") != strings.HasSuffix(segment, "}") {
			return errors.New("a part of its path is neither a text nor a {parameter}")
		}
	}
	return nil
}

// isAll reports whether the route stands for every route.
func (r *Route) isAll() bool { return r.Method == "*" && r.Path == "/{proxy+}" }

// patterns are the ends of the ARNs of the route, such as "DELETE/news/*". Methods are spelled out, because a
// "*" in their place would also stand for the first parts of a path.
func (r *Route) patterns() []string {
	if r.isAll() {
		return []string{"*/*"}
	}
	parts := strings.Split(r.Path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = "*"
		}
	}
	methods := []string{r.Method}
	if r.Method == "*" {
		methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	}
	for i := range methods {
		methods[i] += strings.Join(parts, "/")
	}
	return methods
}

// overlaps reports whether a policy for one of the routes lets some request to the other one in.
func (r *Route) overlaps(other *Route) bool {
	for _, one := range r.patterns() {
		for _, two := range other.patterns() {
			if overlap(one, two) {
				return true
			}
		}
	}
	return false
}

func sameNeed(a, b *authn.Need) bool {
	return slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.Groups, b.Groups)
}

// overlap reports whether a text exists that both patterns match; "*" stands for any text, "/" included.
func overlap(a, b string) bool {
	// reach[j] says whether the first i bytes of a and the first j bytes of b can match one text.
	reach := make([]bool, len(b)+1)
	reach[0] = true
	for j := 1; j <= len(b); j++ {
		reach[j] = reach[j-1] && b[j-1] == '*'
	}
	for i := 1; i <= len(a); i++ {
		next := make([]bool, len(b)+1)
		next[0] = reach[0] && a[i-1] == '*'
		for j := 1; j <= len(b); j++ {
			if a[i-1] == '*' || b[j-1] == '*' {
				next[j] = reach[j] || next[j-1] || reach[j-1]
				continue
			}
			next[j] = reach[j-1] && a[i-1] == b[j-1]
		}
		reach = next
	}
	return reach[len(b)]
}

// Handle answers one event of API Gateway. An error other than ErrUnauthorized has API Gateway answer 500:
// the keys of the issuer cannot be had, or the event is none that this authorizer is for.
func (a *Authorizer) Handle(ctx context.Context, payload json.RawMessage) (json.RawMessage, error) {
	e, err := readEvent(payload)
	if err != nil {
		return nil, fmt.Errorf("apigateway: the event: %w", err)
	}
	if a.opts.Simple && e.version != "2.0" {
		return nil, errors.New("apigateway: simple answers are for HTTP APIs with the format 2.0 only")
	}
	var id *authn.Identity
	if e.kind == "TOKEN" {
		id, err = a.verifier.AuthenticateValue(ctx, e.token)
	} else {
		id, err = a.verifier.Authenticate(ctx, e.header, e.query)
	}
	if err != nil {
		a.refused(ctx, err)
		if refusal, ok := errors.AsType[*authn.Error](err); ok && refusal.Reason.Class() == envelope.Permanent {
			return nil, ErrUnauthorized
		}
		return nil, fmt.Errorf("apigateway: %w", err)
	}
	if !a.isKeptForCaller(e) {
		return nil, errors.New("apigateway: an answer that is kept would count for other callers: make the " +
			"place of the token (Options.Source of the verifier) an identity source of the authorizer")
	}
	if a.opts.Simple {
		return a.simple(ctx, e, id)
	}
	return a.policy(ctx, e, id)
}

// isKeptForCaller reports whether the token is among the values of the identity sources, under which API
// Gateway keeps the answer. Events of REST APIs do not have these values. Without any, an HTTP API keeps
// nothing.
func (a *Authorizer) isKeptForCaller(e *event) bool {
	if len(e.sources) == 0 {
		return true
	}
	token, err := a.verifier.Source().Token(e.header, e.query)
	return err == nil && slices.ContainsFunc(e.sources, func(value string) bool {
		return value == token || strings.HasSuffix(value, " "+token)
	})
}

func (a *Authorizer) refused(ctx context.Context, err error) {
	if a.opts.Refused != nil {
		a.opts.Refused(ctx, err)
	}
}

// policy answers by a policy for all routes of the caller.
func (a *Authorizer) policy(ctx context.Context, e *event, id *authn.Identity) (json.RawMessage, error) {
	stage, err := e.stage()
	if err != nil {
		return nil, fmt.Errorf("apigateway: the event: %w", err)
	}
	effect, last := "Deny", error(nil)
	resources := []string{stage + "*"}
	for i := range a.opts.Routes {
		r := &a.opts.Routes[i]
		if last = id.Check(r.Need); last != nil {
			continue
		}
		if effect == "Deny" {
			effect, resources = "Allow", nil
		}
		for _, pattern := range r.patterns() {
			if resources = append(resources, stage+pattern); len(stage)+len(pattern) > maxResource {
				return nil, fmt.Errorf("apigateway: the resource %.80q in the policy has more than %d bytes",
					pattern, maxResource)
			}
		}
	}
	if effect == "Deny" {
		a.refused(ctx, last)
	}
	out := append([]byte(`{"principalId":`), jsontext.AppendQuote(nil, principal(id))...)
	out = append(out, `,"policyDocument":`...)
	start := len(out)
	out = append(out, `{"Version":"2012-10-17","Statement":[{"Action":"execute-api:Invoke","Effect":"`...)
	out = append(append(out, effect...), `","Resource":`...)
	out = append(jsontext.AppendStrings(out, resources), `}]}`...)
	if len(out)-start > maxPolicy {
		return nil, fmt.Errorf("apigateway: the policy has more than %d bytes: name fewer routes", maxPolicy)
	}
	out = appendContext(append(out, `,"context":`...), id)
	if a.opts.UsageIdentifier != nil && effect == "Allow" {
		if key := a.opts.UsageIdentifier(id); key != "" {
			out = jsontext.AppendQuote(append(out, `,"usageIdentifierKey":`...), key)
		}
	}
	return append(out, '}'), nil
}

// simple answers for one route. Where routes differ, API Gateway must keep one answer for each.
func (a *Authorizer) simple(ctx context.Context, e *event, id *authn.Identity) (json.RawMessage, error) {
	differ := slices.ContainsFunc(a.opts.Routes, func(r Route) bool {
		return !sameNeed(r.Need, a.opts.Routes[0].Need)
	}) || !a.opts.Routes[0].isAll()
	if differ && (e.routeKey == "" || !slices.Contains(e.sources, e.routeKey)) {
		return nil, errors.New("apigateway: an answer that is kept would count for all routes: " +
			"add $context.routeKey to the identity sources of the authorizer")
	}
	err := error(&authn.Error{Reason: envelope.ReasonForbidden, Rule: "route",
		Err: fmt.Errorf("the route %.80q is not among those of the authorizer", e.routeKey)})
	for i := range a.opts.Routes {
		r := &a.opts.Routes[i]
		if r.isAll() || r.hasKey(e.routeKey) {
			err = id.Check(r.Need)
			break
		}
	}
	if err != nil {
		a.refused(ctx, err)
	}
	out := append([]byte(`{"isAuthorized":`), strconv.FormatBool(err == nil)...)
	return append(appendContext(append(out, `,"context":`...), id), '}'), nil
}

// hasKey reports whether that is the route key of the route: "DELETE /news/{id}", with the same parameters.
func (r *Route) hasKey(key string) bool {
	method, path, ok := strings.Cut(key, " ")
	return ok && path == r.Path && (r.Method == method || r.Method == "*")
}

// principal is who calls, for the log of API Gateway, which refuses an empty one.
func principal(id *authn.Identity) string {
	for _, s := range []string{id.Subject, id.ClientID} {
		if s != "" {
			return s
		}
	}
	return "unnamed"
}
