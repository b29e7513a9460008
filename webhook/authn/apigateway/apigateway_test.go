package apigateway_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
)

const (
	issuer = "https://issuer.example/pool"
	api    = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/prod/"
)

var at = time.Unix(1789993800, 0)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var testKey = sync.OnceValue(func() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return must(key, err)
})

// token is a token with that scope and that group.
func token(scope, group string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"kid":"d","alg":"EdDSA"}`)) + "." + b64([]byte(`{"iss":"`+issuer+`","sub":"u1",`+
		`"client_id":"c1","token_use":"access","exp":1789995600,"scope":"`+scope+`","cognito:groups":["`+group+
		`"]}`))
	return input + "." + b64(ed25519.Sign(testKey(), []byte(input)))
}

func verifier(opts authn.Options) *authn.Verifier {
	jwk := string(must(jose.JSONWebKey{Key: testKey().Public(), KeyID: "d", Algorithm: "EdDSA"}.MarshalJSON()))
	opts.ClientIDs, opts.Now = []string{"c1"}, func() time.Time { return at }
	return must(authn.New(issuer, must(authn.ParseKeys([]byte(`{"keys":[`+jwk+`]}`))), &opts))
}

var routes = []apigateway.Route{
	{Method: "GET", Path: "/news", Need: &authn.Need{}},
	{Method: "DELETE", Path: "/news/{id}", Need: &authn.Need{Groups: []string{"admin"}}},
	{Method: "*", Path: "/drafts/{proxy+}", Need: &authn.Need{Scopes: []string{"drafts"}}},
}

func quote(s string) string { return string(must(json.Marshal(s))) }

// frontEnds make the event of each front end for a request with that value of Authorization.
var frontEnds = map[string]struct {
	simple bool
	event  func(value, method, path, routeKey string) string
}{
	"TOKEN": {false, func(value, method, path, _ string) string {
		return `{"type":"TOKEN","authorizationToken":` + quote(value) + `,"methodArn":"` + api + method + path +
			`"}`
	}},
	"REQUEST": {false, func(value, method, path, _ string) string {
		return `{"type":"REQUEST","methodArn":"` + api + method + path + `","headers":{"authorization":` +
			quote(value) + `},"multiValueHeaders":{"authorization":[` + quote(value) + `]},"body":null}`
	}},
	"HTTP 1.0": {false, func(value, method, path, _ string) string {
		return `{"version":"1.0","type":"REQUEST","methodArn":"` + api + method + path + `","identitySource":` +
			quote(value) + `,"headers":{"Authorization":` + quote(value) + `}}`
	}},
	"HTTP 2.0 IAM":    {false, http2},
	"HTTP 2.0 simple": {true, http2},
}

func http2(value, method, path, routeKey string) string {
	return `{"version":"2.0","type":"REQUEST","routeArn":"` + api + method + path + `","routeKey":` +
		quote(routeKey) + `,"identitySource":[` + quote(value) + `,` + quote(routeKey) +
		`],"headers":{"authorization":` + quote(value) + `}}`
}

// answer is what an authorizer answers.
type answer struct {
	IsAuthorized   *bool
	PrincipalID    string `json:"principalId"`
	PolicyDocument struct {
		Statement []struct {
			Action, Effect string
			Resource       []string
		}
	}
	Context            map[string]string
	UsageIdentifierKey string
}

// allows judges a request as API Gateway does: "*" of IAM also stands for "/", and a request that no
// statement allows is denied.
func (a *answer) allows(method, requested string) bool {
	if a.IsAuthorized != nil {
		return *a.IsAuthorized
	}
	arn := strings.ReplaceAll(api+method+requested, "/", "\x00")
	allowed := false
	for _, s := range a.PolicyDocument.Statement {
		for _, r := range s.Resource {
			if ok := must(path.Match(strings.ReplaceAll(r, "/", "\x00"), arn)); ok {
				if s.Effect == "Deny" {
					return false
				}
				allowed = true
			}
		}
	}
	return allowed
}

// TestFrontEnds: each caller may call the same routes behind each front end. An answer is kept, as API
// Gateway does, and judges each route; simple answers are kept for each route.
func TestFrontEnds(t *testing.T) {
	requests := []struct{ method, path, key string }{{"GET", "/news", "GET /news"},
		{"DELETE", "/news/7", "DELETE /news/{id}"}, {"PUT", "/drafts/a/b", "ANY /drafts/{proxy+}"},
		{"POST", "/news", "POST /news"}}
	for name, front := range frontEnds {
		a := must(apigateway.New(verifier(authn.Options{}),
			&apigateway.Options{Routes: routes, Simple: front.simple}))
		for caller, c := range map[string]struct {
			value string
			may   []bool // each of the requests; nil = Unauthorized
		}{
			"reader":    {"Bearer " + token("x", "readers"), []bool{true, false, false, false}},
			"admin":     {"Bearer " + token("x", "admin"), []bool{true, true, false, false}},
			"editor":    {token("x drafts", "Admin"), []bool{true, false, true, false}},
			"none":      {"", nil},
			"forger":    {"Bearer " + token("x", "admin") + "A", nil},
			"twice":     {"Bearer " + token("x", "admin") + ",Bearer " + token("x", "admin"), nil},
			"the other": {"Basic dTpw", nil},
		} {
			for i, r := range requests {
				got, err := a.Handle(t.Context(), json.RawMessage(front.event(c.value, r.method, r.path, r.key)))
				if c.may == nil {
					if got != nil || !errors.Is(err, apigateway.ErrUnauthorized) || err.Error() != "Unauthorized" {
						t.Errorf("%s, %s: %s %v", name, caller, got, err)
					}
					continue
				}
				var parsed answer
				if err != nil || json.Unmarshal(got, &parsed) != nil {
					t.Errorf("%s, %s: %s %v", name, caller, got, err)
					continue
				}
				for j, later := range requests { // of the kept answer
					if front.simple && i != j {
						continue
					}
					if parsed.allows(later.method, later.path) != c.may[j] {
						t.Errorf("%s, %s, %s %s after %s: %s", name, caller, later.method, later.path, r.path, got)
					}
				}
			}
		}
	}
}

// TestKeptSimpleAnswer: a simple answer that API Gateway would use for another route is not given.
func TestKeptSimpleAnswer(t *testing.T) {
	a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Routes: routes, Simple: true}))
	value := "Bearer " + token("x", "admin")
	event := strings.Replace(http2(value, "GET", "/news", "GET /news"), `,"GET /news"]`, `]`, 1)
	if got, err := a.Handle(t.Context(), json.RawMessage(event)); err == nil {
		t.Errorf("%s", got)
	}
	all := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Simple: true}))
	if got, err := all.Handle(t.Context(), json.RawMessage(event)); err != nil ||
		!strings.HasPrefix(string(got), `{"isAuthorized":true`) {
		t.Errorf("%s %v", got, err)
	}
}

// TestTransient: while the keys cannot be had, API Gateway gets neither Unauthorized nor a policy, which it
// would keep.
func TestTransient(t *testing.T) {
	keys := must(authn.FetchKeys(issuer, &authn.KeyOptions{Client: &http.Client{Transport: failing{}}}))
	v := must(authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"c1"}}))
	var told []envelope.Reason
	a := must(apigateway.New(v, &apigateway.Options{Refused: func(_ context.Context, err error) {
		var e *authn.Error
		if errors.As(err, &e) {
			told = append(told, e.Reason)
		}
	}}))
	got, err := a.Handle(t.Context(), tokenEvent("x", "y"))
	if got != nil || err == nil || errors.Is(err, apigateway.ErrUnauthorized) ||
		!slices.Equal(told, []envelope.Reason{envelope.ReasonTrustUnavailable}) {
		t.Errorf("%s %v %v", got, err, told)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no network") }

// TestUsageIdentifier: the API key is given to callers who may call, and to no others.
func TestUsageIdentifier(t *testing.T) {
	a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{
		Routes:          list(route("GET", "/", &authn.Need{Groups: []string{"admin"}})),
		UsageIdentifier: func(id *authn.Identity) string { return "key of " + id.ClientID }}))
	for group, want := range map[string]string{"admin": "key of c1", "other": ""} {
		var parsed answer
		got := must(a.Handle(t.Context(), tokenEvent("x", group)))
		if err := json.Unmarshal(got, &parsed); err != nil || parsed.UsageIdentifierKey != want {
			t.Errorf("%s: %s", group, got)
		}
	}
}

func list(routes ...apigateway.Route) []apigateway.Route { return routes }

// tokenEvent is the event of a TOKEN authorizer for a token with that scope and that group.
func tokenEvent(scope, group string) json.RawMessage {
	return json.RawMessage(frontEnds["TOKEN"].event("Bearer "+token(scope, group), "GET", "/", ""))
}

func route(method, path string, need *authn.Need) apigateway.Route {
	return apigateway.Route{Method: method, Path: path, Need: need}
}

// TestRoutes: routes that one policy cannot tell apart are refused, and so are those with a mistake.
func TestRoutes(t *testing.T) {
	open, closed := &authn.Need{}, &authn.Need{Groups: []string{"admin"}}
	for name, c := range map[string]struct {
		routes []apigateway.Route
		ok     bool
	}{
		"apart":             {list(route("GET", "/a", open), route("GET", "/b/{id}", closed)), true},
		"other methods":     {list(route("GET", "/a/{id}", open), route("PUT", "/a/{id}", closed)), true},
		"below a parameter": {list(route("GET", "/a/{id}", open), route("GET", "/a/{id}/b", closed)), false},
		"the same need":     {list(route("GET", "/a/{id}", closed), route("GET", "/a/{id}/b", closed)), true},
		"a text":            {list(route("GET", "/a/{id}", open), route("GET", "/a/b", closed)), false},
		"every method":      {list(route("*", "/a", open), route("GET", "/a", closed)), false},
		"every route":       {list(route("*", "/{proxy+}", open), route("GET", "/a", closed)), false},
		"crossing":          {list(route("GET", "/{x}/b", open), route("GET", "/a/{y}", closed)), false},
		"no need":           {list(route("GET", "/a", nil)), false},
		"a star":            {list(route("GET", "/a*", open)), false},
		"half a parameter":  {list(route("GET", "/a{id}", open)), false},
		"no slash":          {list(route("GET", "a", open)), false},
		"empty list":        {[]apigateway.Route{}, false},
		"empty group":       {list(route("GET", "/a", &authn.Need{Groups: []string{""}})), false},
	} {
		_, err := apigateway.New(verifier(authn.Options{}), &apigateway.Options{Routes: c.routes})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// behind is the event of a function, with what an authorizer left.
func behind(authorizer string) json.RawMessage {
	return json.RawMessage(`{"requestContext":{"authorizer":` + authorizer + `}}`)
}

// TestIdentityOf: the caller comes back as it went in, also a group with a comma or a quote in its name, and
// from the claims of the built-in authorizers.
func TestIdentityOf(t *testing.T) {
	a := must(apigateway.New(verifier(authn.Options{}), nil))
	for _, group := range []string{"admin", "a,b", "a b", "[x]", "ü"} {
		got := must(a.Handle(t.Context(), tokenEvent("x y", group)))
		var parsed struct{ Context json.RawMessage }
		if err := json.Unmarshal(got, &parsed); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{string(parsed.Context), `{"lambda":` + string(parsed.Context) + `}`} {
			id, err := apigateway.IdentityOf(behind(form))
			if err != nil || !slices.Equal(id.Groups, []string{group}) ||
				!slices.Equal(id.Scopes, []string{"x", "y"}) ||
				id.Subject != "u1" || id.ClientID != "c1" || id.Issuer != issuer || id.Expires.Unix() != 1789995600 {
				t.Errorf("%s: %+v %v", form, id, err)
			}
		}
	}
	for form, groups := range map[string][]string{
		`{"jwt":{"claims":{"iss":"i","sub":"s","cognito:groups":"[a b]"},"scopes":null}}`: {"a", "b"},
		`{"claims":{"iss":"i","sub":"s","cognito:groups":"a,b"}}`:                         {"a", "b"},
		`{"claims":{"iss":"i","sub":"s","email_verified":"false"}}`:                       nil,
	} {
		id, err := apigateway.IdentityOf(behind(form))
		if err != nil || !slices.Equal(id.Groups, groups) {
			t.Errorf("%s: %+v %v", form, id, err)
		}
	}
	for _, form := range []string{`null`, `{}`, `{"lambda":{}}`, `{"iss":"i","sub":"s","groups":"admin"}`,
		`{"iss":"i","groups":"[]"}`,
		`{"claims":{"iss":"i","sub":"s"},"lambda":{"iss":"i","sub":"t","groups":"[]"}}`} {
		if id, err := apigateway.IdentityOf(behind(form)); err == nil {
			t.Errorf("%s: %+v", form, id)
		}
	}
}

// FuzzHandle: any event is answered without a panic, and only a good token is let in.
func FuzzHandle(f *testing.F) {
	a := must(apigateway.New(verifier(authn.Options{}), nil))
	for _, front := range frontEnds {
		f.Add([]byte(front.event("Bearer x", "GET", "/news", "GET /news")))
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		if got, err := a.Handle(t.Context(), event); err == nil {
			t.Fatalf("%s: %s", strconv.Quote(string(event)), got)
		}
		id, err := apigateway.IdentityOf(event)
		if err == nil && (id.Issuer == "" || id.Subject+id.ClientID == "") {
			t.Fatalf("%+v", id)
		}
	})
}
