package apigateway_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
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

// request is one to the API, as the front ends see it.
type request struct{ method, path, key string }

// gateway is API Gateway before an authorizer. It keeps answers for the values of the identity source, as
// long as the test.
type gateway struct {
	authorizer *apigateway.Authorizer
	simple     bool
	event      func(value, method, path, routeKey string) string
	kept       map[string]answer
	asked      int
}

// status is the HTTP status of a request. There is no challenge: API Gateway writes the answer.
func (g *gateway) status(t *testing.T, value string, r request) (status int, challenge string) {
	if value == "" { // the authorizer is not asked
		return http.StatusUnauthorized, ""
	}
	identity := value
	if g.simple {
		identity += " " + r.key
	}
	kept, ok := g.kept[identity]
	if !ok {
		g.asked++
		got, err := g.authorizer.Handle(t.Context(), json.RawMessage(g.event(value, r.method, r.path, r.key)))
		if err != nil && err.Error() == "Unauthorized" {
			return http.StatusUnauthorized, ""
		}
		if err != nil || json.Unmarshal(got, &kept) != nil {
			return http.StatusInternalServerError, ""
		}
		g.kept[identity] = kept
	}
	if kept.allows(r.method, r.path) {
		return http.StatusOK, ""
	}
	return http.StatusForbidden, ""
}

// served is the status of a request to the routes behind net/http.
func served(t *testing.T, value string, r request) (status int, challenge string) {
	v := verifier(authn.Options{})
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux := http.NewServeMux()
	for _, r := range routes {
		pattern := strings.ReplaceAll(strings.TrimPrefix(r.Method+" "+r.Path, "* "), "{proxy+}", "{proxy...}")
		mux.Handle(pattern, must(authn.Guard(v, r.Need, ok)))
	}
	req := httptest.NewRequest(r.method, r.path, nil)
	if value != "" {
		req.Header.Set("Authorization", value)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, req)
	return w.Code, w.Header().Get("WWW-Authenticate")
}

// TestFrontEnds: each caller may call the same routes behind each front end, whichever of them it calls
// first. API Gateway asks once for all routes, or once for each route if the answers are simple.
func TestFrontEnds(t *testing.T) {
	const missing, invalid = `Bearer`, `Bearer error="invalid_token"`
	const lacks = `Bearer error="insufficient_scope"`
	requests := []request{{"GET", "/news", "GET /news"}, {"DELETE", "/news/7", "DELETE /news/{id}"},
		{"PUT", "/drafts/a/b", "ANY /drafts/{proxy+}"}, {"POST", "/nothing", "POST /nothing"}}
	for caller, c := range map[string]struct {
		value     string
		statuses  []int  // of each of the requests
		challenge string // of net/http, with the first status that is not 200
	}{
		"reader": {"Bearer " + token("x", "readers"), []int{200, 403, 403, 403}, lacks},
		"admin":  {"Bearer " + token("x", "admin"), []int{200, 200, 403, 403}, lacks + `, scope="drafts"`},
		"editor": {token("x drafts", "Admin"), []int{200, 403, 200, 403}, lacks},
		"none":   {"", []int{401, 401, 401, 401}, missing},
		"forger": {"Bearer " + token("x", "admin") + "A", []int{401, 401, 401, 401}, invalid},
		"twice": {"Bearer " + token("x", "admin") + ",Bearer " + token("x", "admin"),
			[]int{401, 401, 401, 401}, invalid},
		"the other": {"Basic dTpw", []int{401, 401, 401, 401}, missing},
	} {
		for name, front := range frontEnds {
			a := must(apigateway.New(verifier(authn.Options{}),
				&apigateway.Options{Routes: routes, Simple: front.simple}))
			for first := range requests {
				g := &gateway{a, front.simple, front.event, map[string]answer{}, 0}
				for i := range requests {
					i = (first + i) % len(requests)
					if got, _ := g.status(t, c.value, requests[i]); got != c.statuses[i] {
						t.Errorf("%s, %s, %s after %s: %d", name, caller, requests[i].key, requests[first].key, got)
					}
				}
				want := map[bool]int{false: 1, true: len(requests)}[front.simple]
				if c.statuses[0] == http.StatusOK && g.asked != want {
					t.Errorf("%s, %s: the authorizer was asked %d times", name, caller, g.asked)
				}
			}
		}
		challenge := ""
		for i, r := range requests[:3] { // the fourth is no route of net/http, which answers 404
			got, said := served(t, c.value, r)
			if challenge = cmp.Or(challenge, said); got != c.statuses[i] || (said == "") != (got == 200) {
				t.Errorf("net/http, %s, %s: %d %s", caller, r.key, got, said)
			}
		}
		if challenge != c.challenge {
			t.Errorf("net/http, %s: %s", caller, challenge)
		}
	}
}

// TestUnauthorized: an empty token is refused, too, though API Gateway does not ask about one.
func TestUnauthorized(t *testing.T) {
	for name, front := range frontEnds {
		a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Simple: front.simple}))
		for _, value := range []string{"", " ", "Bearer", "Bearer ", "null", "undefined"} {
			got, err := a.Handle(t.Context(), json.RawMessage(front.event(value, "GET", "/news", "GET /news")))
			if got != nil || !errors.Is(err, apigateway.ErrUnauthorized) || err.Error() != "Unauthorized" {
				t.Errorf("%s, %q: %s %v", name, value, got, err)
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

// TestSimpleIsOfHTTP20: a simple answer, which other formats do not know, is not given to them.
func TestSimpleIsOfHTTP20(t *testing.T) {
	a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Simple: true}))
	for name, front := range frontEnds {
		event := front.event("Bearer "+token("x", "admin"), "GET", "/news", "GET /news")
		got, err := a.Handle(t.Context(), json.RawMessage(event))
		if is20 := strings.HasPrefix(name, "HTTP 2.0"); (err == nil) != is20 ||
			errors.Is(err, apigateway.ErrUnauthorized) {
			t.Errorf("%s: %s %v", name, got, err)
		}
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
			id, err := apigateway.IdentityOf(behind(form), nil)
			if err != nil || !slices.Equal(id.Groups, []string{group}) ||
				!slices.Equal(id.Scopes, []string{"x", "y"}) ||
				id.Subject != "u1" || id.ClientID != "c1" || id.Issuer != issuer || id.Expires.Unix() != 1789995600 {
				t.Errorf("%s: %+v %v", form, id, err)
			}
		}
	}
	for _, form := range []string{`null`, `{}`, `{"lambda":{}}`, `{"iss":"i","sub":"s","groups":"admin"}`,
		`{"iss":"i","groups":"[]"}`, `{"lambda":{"iss":"i","sub":"s"}}`, `"x"`, `[]`,
		`{"claims":{"iss":"i","sub":"s","client_id":"c"},"lambda":{"iss":"i","sub":"t","groups":"[]"}}`} {
		if id, err := apigateway.IdentityOf(behind(form), nil); err == nil {
			t.Errorf("%s: %+v", form, id)
		}
	}
}

// TestBuiltIn: the claims that the authorizers of API Gateway leave are read with their types. An id token in
// the place of an access token is refused, and the other way round.
func TestBuiltIn(t *testing.T) {
	const access = `"iss":"i","sub":"s","client_id":"c","token_use":"access","scope":"x y",`
	const idToken = `"iss":"i","sub":"s","aud":"c","token_use":"id",`
	for _, c := range []struct {
		form    string
		groups  []string
		id      bool // of an id token
		expires int64
	}{
		{`{"jwt":{"claims":{` + access + `"cognito:groups":"[a b]","exp":"1789995600"},"scopes":null}}`,
			[]string{"a", "b"}, false, 1789995600},
		{`{"claims":{` + access + `"cognito:groups":"a,b","exp":"Mon Sep 21 13:00:00 UTC 2026"}}`,
			[]string{"a", "b"}, false, 1789995600},
		{`{"jwt":{"claims":{` + access + `"cognito:groups":"[a]","exp":1789995600},"scopes":["x"]}}`,
			[]string{"a"}, false, 1789995600},
		{`{"jwt":{"claims":{"iss":"i","sub":"s","client_id":"c","scope":"x y","exp":"1"}}}`, nil, false, 1},
		{`{"claims":{` + idToken + `"cognito:groups":"a","exp":"1"}}`, []string{"a"}, true, 1},
		{`{"jwt":{"claims":{` + idToken + `"exp":"1"}}}`, nil, true, 1},
		{`{"jwt":{"claims":{"iss":"i","sub":"s","aud":"c","exp":"1"}}}`, nil, true, 1},
	} {
		for _, idTokens := range []bool{false, true} {
			id, err := apigateway.IdentityOf(behind(c.form), &apigateway.ReadOptions{IDTokens: idTokens})
			if idTokens != c.id {
				if err == nil {
					t.Errorf("%s, as the other token: %+v", c.form, id)
				}
				continue
			}
			if err != nil || id.Subject != "s" || id.ClientID != "c" || !slices.Equal(id.Groups, c.groups) ||
				id.Expires.Unix() != c.expires || !idTokens && !slices.Equal(id.Scopes, []string{"x", "y"}) {
				t.Errorf("%s: %+v %v", c.form, id, err)
			}
		}
	}
	for _, form := range []string{`{"claims":{"iss":"i","sub":"s","client_id":"c","token_use":"Access"}}`,
		`{"claims":{"iss":"i","sub":"s","client_id":"c","token_use":"refresh"}}`,
		`{"claims":{"sub":"s","client_id":"c","token_use":"access"}}`} {
		for _, opts := range []*apigateway.ReadOptions{nil, {IDTokens: true}} {
			if id, err := apigateway.IdentityOf(behind(form), opts); err == nil {
				t.Errorf("%s: %+v", form, id)
			}
		}
	}
}

// TestClaims: "false" is not true, and what is neither is no answer.
func TestClaims(t *testing.T) {
	form := `{"claims":{"iss":"i","sub":"s","client_id":"c","email_verified":"false",` +
		`"phone_number_verified":"true",` +
		`"x":"True","y":"1","z":"","b":true,"n":null}}`
	claims, err := apigateway.ClaimsOf(behind(form), nil)
	if err != nil || claims["sub"] != "s" {
		t.Fatal(claims, err)
	}
	for name, want := range map[string]string{"email_verified": "false", "phone_number_verified": "true",
		"b": "true", "x": "no", "y": "no", "z": "no", "n": "no", "absent": "no"} {
		value, err := claims.Bool(name)
		got := strconv.FormatBool(value)
		if err != nil && !value {
			got = "no"
		}
		if got != want {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	if claims, err := apigateway.ClaimsOf(behind(form), &apigateway.ReadOptions{IDTokens: true}); err == nil {
		t.Errorf("of an id token: %v", claims)
	}
	if claims, err := apigateway.ClaimsOf(behind(`{"claims":{"client_id":"c","x":"true"}}`), nil); err == nil {
		t.Errorf("of no caller: %v", claims)
	}
}

// TestPolicyIsBounded: a policy, or a resource in it, that API Gateway would not take is an error.
func TestPolicyIsBounded(t *testing.T) {
	long := strings.Repeat("x", 512)
	many := make([]apigateway.Route, 100)
	for i := range many {
		many[i] = route("GET", "/"+long[:60]+strconv.Itoa(i), &authn.Need{})
	}
	for name, routes := range map[string][]apigateway.Route{"long": list(route("GET", "/"+long, &authn.Need{})),
		"many": many} {
		a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Routes: routes}))
		if got, err := a.Handle(t.Context(), tokenEvent("x", "y")); err == nil {
			t.Errorf("%s: %.200s", name, got)
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
		id, err := apigateway.IdentityOf(event, nil)
		if err == nil && (id.Issuer == "" || id.Subject+id.ClientID == "") {
			t.Fatalf("%+v", id)
		}
	})
}
