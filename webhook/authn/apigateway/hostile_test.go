package apigateway_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
)

// TestKeptForOthers: API Gateway keeps an answer under the values of the identity sources. If the token is
// not among them, the answer would let other callers in, and is not given.
func TestKeptForOthers(t *testing.T) {
	value := "Bearer " + token("x", "admin")
	bare := token("x", "admin")
	for sources, ok := range map[string]bool{
		quote(value): true, `[` + quote(value) + `]`: true, `["k",` + quote(value) + `]`: true,
		quote("k," + value): true, `null`: true, `[]`: true, // nothing is kept without a value
		`["k"]`: false, `"k"`: false, `["GET /news"]`: false, `[""]`: false, `[null,"k"]`: false,
		`["Bearer"]`: false, `["Bearer "]`: false, quote(bare[1:]): false, quote(value + "x"): false,
		quote("x" + bare): false, `[` + quote("Bearer "+token("x", "other")) + `]`: false,
	} {
		for _, version := range []string{"1.0", "2.0"} {
			for _, simple := range []bool{false, true} {
				if simple && version == "1.0" {
					continue
				}
				a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Simple: simple}))
				got, err := a.Handle(t.Context(), json.RawMessage(`{"version":"`+version+
					`","type":"REQUEST","routeArn":"`+api+`GET/news","routeKey":"GET /news","identitySource":`+
					sources+`,"headers":{"authorization":`+quote(value)+`}}`))
				if (err == nil) != ok || errors.Is(err, apigateway.ErrUnauthorized) {
					t.Errorf("%s, sources %.60s: %.60s %v", version, sources, got, err)
				}
			}
		}
	}
}

// TestGroupsOfPayload10: the JWT authorizer of an HTTP API with the payload format 1.0 leaves its claims
// where the Cognito authorizer of a REST API does, and writes groups in its own way. No group becomes
// another one.
func TestGroupsOfPayload10(t *testing.T) {
	const claims = `"iss":"i","sub":"s","client_id":"c","token_use":"access","cognito:groups":`
	for groups, want := range map[string][]string{"[admin]": {"admin"}, "[a b]": {"a", "b"},
		"[x,admin,y]": {"x,admin,y"}, "[[admin]]": {"[admin]"}, "[]": nil} {
		event := `{"version":"1.0","requestContext":{"authorizer":{"claims":{` + claims + quote(groups) +
			`},"scopes":null}}}`
		id, err := apigateway.IdentityOf(json.RawMessage(event), nil)
		if err != nil || !slices.Equal(id.Groups, want) {
			t.Errorf("%s: %+v %v", groups, id, err)
		}
	}
}

// TestPoliciesLetNoMoreIn: for routes that New accepts, the policy of each caller lets it call each route
// whose need it meets, and no other one, whatever stands in the place of a parameter.
func TestPoliciesLetNoMoreIn(t *testing.T) {
	rnd := rand.New(rand.NewPCG(15, 1))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	callers := map[string]string{"admin": tokenOf("admin"), "editor": tokenOf("editor"), "none": tokenOf("x")}
	accepted, denied := 0, 0
	for range cases.Of(4000) {
		routes := make([]apigateway.Route, 1+rnd.IntN(4))
		for i := range routes {
			path := "/" + pick("a", "b", "ab", "{x}")
			for rnd.IntN(2) == 0 {
				path += "/" + pick("a", "b", "{y}", "{proxy+}")
			}
			need := &authn.Need{}
			if group := pick("", "admin", "editor"); group != "" {
				need.Groups = []string{group}
			}
			routes[i] = route(pick("GET", "PUT", "DELETE", "*"), path, need)
		}
		a, err := apigateway.New(verifier(authn.Options{}), &apigateway.Options{Routes: routes})
		if err != nil {
			continue
		}
		accepted++
		for caller, value := range callers {
			var got answer
			event := frontEnds["TOKEN"].event(value, "GET", "/a", "")
			if err := json.Unmarshal(must(a.Handle(t.Context(), json.RawMessage(event))), &got); err != nil {
				t.Fatal(err)
			}
			for _, r := range routes {
				may := r.Need.Groups == nil || r.Need.Groups[0] == caller
				method := strings.Replace(r.Method, "*", pick("GET", "HEAD", "OPTIONS", "DELETE"), 1)
				path := requested(r.Path, pick)
				if got.allows(method, path) != may {
					t.Errorf("%+v: %s %s by %s: %t", routes, method, path, caller, !may)
				}
				if !may {
					denied++
				}
			}
		}
	}
	if accepted < 100 || denied < 100 {
		t.Errorf("%d sets of routes and %d denials: the test is blind", accepted, denied)
	}
}

func tokenOf(group string) string { return "Bearer " + token("x", group) }

// requested is a path that API Gateway takes to a route: with anything in the place of its parameters.
func requested(path string, pick func(...string) string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") {
			parts[i] = pick("a", "b", "7", "A", "a%2Fb", "..", ".", "*", "%2A", "a;b", "%00", "ü", "a b")
		}
		for part == "{proxy+}" && pick("more", "end") == "more" {
			parts[i] += "/" + pick("a", "b", "..", "")
		}
	}
	return strings.Join(parts, "/")
}

// TestStages: a policy is for the stage of the request, and for no other one, API or account.
func TestStages(t *testing.T) {
	a := must(apigateway.New(verifier(authn.Options{}), nil))
	event := func(arn string) json.RawMessage {
		return json.RawMessage(`{"type":"TOKEN","authorizationToken":` + quote(tokenOf("x")) + `,"methodArn":` +
			quote(arn) + `}`)
	}
	const here = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/"
	for arn, want := range map[string]string{here + "prod/GET/a/b": here + "prod/*/*",
		here + "$default/GET/":                         here + "$default/*/*",
		here + "test-invoke-stage/PUT/":                here + "test-invoke-stage/*/*",
		"arn:aws-cn:execute-api:cn-north-1:1:a/s/GET/": "arn:aws-cn:execute-api:cn-north-1:1:a/s/*/*",
		here + "prod/GET/*/*":                          here + "prod/*/*"} {
		var got answer
		err := json.Unmarshal(must(a.Handle(t.Context(), event(arn))), &got)
		if err != nil || len(got.PolicyDocument.Statement) != 1 ||
			!slices.Equal(got.PolicyDocument.Statement[0].Resource, []string{want}) {
			t.Errorf("%s: %+v %v", arn, got, err)
		}
	}
	for _, arn := range []string{here + "*/GET/a", here + "prod", here + "prod/", here + "/GET/a", here, "*",
		"arn:aws:execute-api:eu-west-1:123456789012:*/prod/GET/a", "arn:aws:execute-api:*:1:a?/prod/GET/a",
		"arn:aws:lambda:eu-west-1:1:a/prod/GET/a", `arn:aws:execute-api:eu-west-1:1:a"/prod/GET/a`} {
		got, err := a.Handle(t.Context(), event(arn))
		if err == nil || errors.Is(err, apigateway.ErrUnauthorized) {
			t.Errorf("%s: %s %v", arn, got, err)
		}
	}
}

// TestDefaultRoute: the route $default gets a simple answer only where all routes need the same.
func TestDefaultRoute(t *testing.T) {
	event := json.RawMessage(http2(tokenOf("admin"), "GET", "/x", "$default"))
	for name, c := range map[string]struct {
		routes []apigateway.Route
		want   string
	}{"all": {nil, `{"isAuthorized":true`}, "listed": {routes, `{"isAuthorized":false`}} {
		a := must(apigateway.New(verifier(authn.Options{}), &apigateway.Options{Routes: c.routes, Simple: true}))
		if got, err := a.Handle(t.Context(), event); err != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
}
