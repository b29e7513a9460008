package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
	"github.com/sealbus/sealbus/webhook/authcontext"
)

// claims are those of an access token of a reader, with changes in pairs.
func claims(pairs ...string) map[string]string {
	c := map[string]string{"iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_news", "sub": "u-1",
		"client_id": website, "token_use": "access", "scope": newsroom.UserScope, "exp": "1796040000"}
	for i := 0; i < len(pairs); i += 2 {
		c[pairs[i]] = pairs[i+1]
		if pairs[i+1] == "" {
			delete(c, pairs[i])
		}
	}
	return c
}

// TestDesk: behind both APIs, anyone reads, and of those whom API Gateway lets through only the group admin
// deletes. Each deletion is one sealed event.
func TestDesk(t *testing.T) {
	s := newStack(t)
	desk, role := s.function(deskProgram, "Desk")
	const get, del = "/news", "/news/{id}"
	put := 0
	for _, c := range []struct {
		what string
		route
		want string
	}{
		{"anyone reads", route{"GET", get, "", nil}, "200"},
		{"no authorizer", route{"DELETE", del, "1", nil}, "401 unsigned"},
		{"no claims", route{"DELETE", del, "1", map[string]string{}}, "401 unsigned"},
		{"in no group", route{"DELETE", del, "1", claims()}, "403 forbidden"},
		{"in another group", route{"DELETE", del, "1", claims("cognito:groups", "administrators")},
			"403 forbidden"},
		{"an id token", route{"DELETE", del, "1", claims("cognito:groups", "admin", "token_use", "id",
			"client_id", "", "scope", "", "aud", website)}, "401 unsigned"},
		{"without the scope", route{"DELETE", del, "1", claims("cognito:groups", "admin", "scope", "")},
			"403 forbidden"},
		{"an admin", route{"DELETE", del, "1", claims("cognito:groups", "admin")}, "202"},
		{"no such news", route{"DELETE", del, "9", claims("cognito:groups", "admin")}, "404"},
		{"another route", route{"POST", get, "", claims("cognito:groups", "admin")}, "404"},
	} {
		for format, event := range map[string]any{"2.0": c.http2(), "1.0": c.rest1()} {
			if got := s.answerOf(desk, event); got != c.want {
				t.Errorf("%s, %s: %s, not %s\n%s", c.what, format, got, c.want, desk.Log())
			}
			if c.want == "202" {
				put++
			}
		}
	}
	opened := s.opened()
	if put != 2 || len(opened) != put {
		t.Fatalf("%d events of %d deletions", len(opened), put)
	}
	callers, err := authcontext.NewKey([]byte(callerSecret))
	s.must(err)
	want := authcontext.Context{Type: authcontext.AppUser, ID: callers.ID(claims()["iss"], "u-1")}
	for _, o := range opened {
		if who, err := authcontext.Of(o); err != nil || who != want {
			t.Errorf("%+v, %v, not %+v", who, err, want)
		}
		if o.Event.Type() != newsroom.Deleted || o.Event.Subject() != "1" ||
			string(o.Event.Data()) != `{"id":"1"}` {
			t.Errorf("%s", o.JSON())
		}
	}
	admin := route{"DELETE", del, "1", claims("cognito:groups", "admin")}
	role.Without(func(statement string) {
		if strings.Contains(statement, "events:PutEvents") {
			if got := s.answerOf(desk, admin.http2()); got != "503 handler_failed" {
				t.Errorf("without its bus: %s", got)
			}
		}
	})
	if n := len(s.opened()); n != put {
		t.Errorf("%d events", n)
	}
}

// authorization is an event for the authorizer: of a REST API, or of an HTTP API in the format 2.0.
func authorization(format, token string) any {
	if format == "2.0" {
		return events.APIGatewayV2CustomAuthorizerV2Request{Version: "2.0", Type: "REQUEST",
			RouteArn: "arn:aws:execute-api" + arn + "http1/$default/POST/news", RouteKey: "POST /news",
			IdentitySource: []string{token}, RawPath: "/news",
			Headers: map[string]string{"authorization": token}}
	}
	return events.APIGatewayCustomAuthorizerRequestTypeRequest{Type: "REQUEST",
		MethodArn: "arn:aws:execute-api" + arn + "rest1/v1/POST/news", Resource: "/news", Path: "/news",
		HTTPMethod: "POST", Headers: map[string]string{"Authorization": token},
		MultiValueHeaders: map[string][]string{"Authorization": {token}}}
}

// TestAuthorizer: a partner with the scope may POST /news and nothing else, under its own API key. API
// Gateway gets 401, 403 or 500 for the others.
func TestAuthorizer(t *testing.T) {
	s := newStack(t)
	env := append(s.Environment("Authorizer"), s.userPool()...) // the later ISSUER counts
	f := s.Start(authorizerProgram, env)
	token := func(pairs ...string) string {
		all := map[string]any{"token_use": "access", "client_id": partner, "sub": partner, "scope": "news/submit"}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return "Bearer " + s.pool.issue(all)
	}
	good := token()
	for _, c := range []struct{ what, token, want string }{
		{"a partner", good, "Allow POST/news " + partner},
		{"without the scope", token("scope", "news/read"), "Deny * "},
		{"no token", "", "Unauthorized"},
		{"a reader", token("client_id", website), "Unauthorized"},
		{"an id token", token("token_use", "id"), "Unauthorized"},
		{"forged", good[:len(good)-8] + "AAAAAAAA", "Unauthorized"},
	} {
		for _, format := range []string{"2.0", "1.0"} {
			payload, err := json.Marshal(authorization(format, c.token))
			s.must(err)
			out, err := f.Invoke(t.Context(), payload)
			if got := verdict(s, out, err); got != c.want {
				t.Errorf("%s, %s: %s, not %s\n%s", c.what, format, got, c.want, f.Log())
			}
		}
	}
	s.down.Store(true)
	fresh := s.Start(authorizerProgram, env)
	payload, err := json.Marshal(authorization("1.0", good))
	s.must(err)
	if got := errOf(fresh.Invoke(t.Context(), payload)); !strings.Contains(got, "trust_unavailable") {
		t.Errorf("without the user pool: %q", got)
	}
}

// verdict is the effect, the resources behind the stage, and the API key of an answer; or its error.
func verdict(s *stack, out []byte, err error) string {
	s.Helper()
	if err != nil {
		_, text, _ := strings.Cut(err.Error(), ": ")
		return text
	}
	var answer struct {
		PolicyDocument struct {
			Statement []struct {
				Effect   string
				Resource []string
			}
		}
		Context            map[string]string
		UsageIdentifierKey string
	}
	s.must(json.Unmarshal(out, &answer))
	if len(answer.PolicyDocument.Statement) != 1 {
		return string(out)
	}
	statement := answer.PolicyDocument.Statement[0]
	if statement.Effect == "Allow" && answer.Context["client_id"] != partner {
		s.Errorf("the client is not in the context, and the inbox names it: %s", out)
	}
	var resources []string
	for _, r := range statement.Resource {
		parts := strings.SplitN(r, "/", 3)
		resources = append(resources, parts[len(parts)-1])
	}
	return fmt.Sprint(statement.Effect, " ", strings.Join(resources, ","), " ", answer.UsageIdentifierKey)
}

// escape is how a mapping template of API Gateway puts a text into JSON.
var escape = regexp.MustCompile(`\$util\.escapeJavaScript\((\$[\w.]+(?:\('\$'\))?)\)` +
	`(\.replaceAll\("\\\\'", "'"\))?`)

// escapeJavaScript is the function of that name in mapping templates. It escapes apostrophes, which JSON
// takes only as they are.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
func escapeJavaScript(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		switch {
		case strings.ContainsRune(`'"\/`, rune(unit)):
			b.WriteString(`\` + string(rune(unit)))
		case unit < ' ' || unit > '~':
			fmt.Fprintf(&b, `\u%04X`, unit)
		default:
			b.WriteRune(rune(unit))
		}
	}
	return b.String()
}

// submit is the EventBridge integration: it puts on the inbox what the request template makes of a body, as
// API Gateway does.
func (s *stack) submit(client, body string) {
	s.Helper()
	integration := cfntest.Get(s.Resources["RestPostNews"].Properties, "Integration")
	template, _ := s.Resolve(cfntest.Get(integration, "RequestTemplates", "application/json")).(string)
	text := escape.ReplaceAllStringFunc(template, func(found string) string {
		m := escape.FindStringSubmatch(found)
		value := map[string]string{"$context.authorizer.client_id": client, "$input.json('$')": body}[m[1]]
		value = escapeJavaScript(value)
		if m[2] != "" {
			value = strings.ReplaceAll(value, `\'`, `'`)
		}
		return value
	})
	var in struct{ Entries []types.PutEventsRequestEntry }
	err := json.Unmarshal([]byte(text), &in)
	if err != nil || len(in.Entries) != 1 || strings.Contains(text, "$util") {
		s.Fatalf("%s: %v", text, err)
	}
	out, err := s.EventBridge().PutEvents(s.Context(), &eventbridge.PutEventsInput{Entries: in.Entries})
	if s.must(err); out.FailedEntryCount > 0 {
		s.Fatalf("%+v", out.Entries)
	}
}

// TestIntake: a submission is one sealed event, which has the client that the authorizer named, and no other.
func TestIntake(t *testing.T) {
	s := newStack(t)
	f, _ := s.function(intakeProgram, "Intake")
	s.intake.Store(f)
	const title = `"It's raining" \' </script> \ ü 🌧`
	body, err := json.Marshal(map[string]string{"title": title, "client": "another"})
	s.must(err)
	s.submit(partner, string(body))
	opened := s.opened()
	if len(opened) != 1 {
		t.Fatalf("%d events, not one\n%s", len(opened), f.Log())
	}
	var data struct{ Title, Client string }
	s.must(json.Unmarshal(opened[0].Event.Data(), &data))
	if data.Title != title || data.Client != partner || opened[0].Event.Type() != newsroom.Submitted {
		t.Errorf("%s", opened[0].JSON())
	}
	genuine := events.EventBridgeEvent{ID: "e-1", Source: "https://news.example/inbox",
		DetailType: "news.submitted", Detail: json.RawMessage(`{"title":"a"}`), Resources: []string{partner}}
	for what, change := range map[string]func(e *events.EventBridgeEvent){
		"no title":    func(e *events.EventBridgeEvent) { e.Detail = json.RawMessage(`{}`) },
		"a number":    func(e *events.EventBridgeEvent) { e.Detail = json.RawMessage(`{"title":1}`) },
		"no client":   func(e *events.EventBridgeEvent) { e.Resources = nil },
		"two clients": func(e *events.EventBridgeEvent) { e.Resources = []string{partner, "another"} },
		"no name":     func(e *events.EventBridgeEvent) { e.Resources = []string{""} },
	} {
		e := genuine
		change(&e)
		payload, err := json.Marshal(e)
		s.must(err)
		if errOf(f.Invoke(t.Context(), payload)) == "" {
			t.Errorf("%s: it is sealed", what)
		}
	}
	payload, err := json.Marshal(genuine)
	s.must(err)
	for range 2 { // EventBridge delivers at least once
		if text := errOf(f.Invoke(t.Context(), payload)); text != "" {
			t.Error(text)
		}
	}
	if n := len(s.opened()); n != 2 {
		t.Errorf("a consumer handles %d events, not 2", n)
	}
}

// TestRoles: without any one of its statements a function does not start, or does not do its work.
func TestRoles(t *testing.T) {
	s := newStack(t)
	admin := route{"DELETE", "/news/{id}", "1", claims("cognito:groups", "admin")}
	submission, err := json.Marshal(events.EventBridgeEvent{ID: "e-1", Detail: json.RawMessage(`{"title":"a"}`),
		Resources: []string{partner}})
	s.must(err)
	for _, c := range []struct {
		name, program string
		statements    int
		works         func(f *orderstest.Function) bool
	}{
		{"Desk", deskProgram, 3, func(f *orderstest.Function) bool { return s.answerOf(f, admin.rest1()) == "202" }},
		{"Intake", intakeProgram, 2, func(f *orderstest.Function) bool {
			return errOf(f.Invoke(t.Context(), submission)) == ""
		}},
	} {
		role, statements := s.RoleOf(c.name+"Role"), 0
		works := func() bool {
			f, err := s.TryStart(c.program, append(s.Guarded(role), s.Environment(c.name)...))
			return err == nil && c.works(f)
		}
		if !works() {
			t.Errorf("%s does not work with its whole role", c.name)
		}
		role.Without(func(statement string) {
			statements++
			if works() {
				t.Errorf("%s works without %s: it is allowed, and never needed", c.name, statement)
			}
		})
		if statements != c.statements {
			t.Errorf("%s has %d statements", c.name, statements)
		}
	}
}

// TestNoStartWithout: without a variable a function does not start.
func TestNoStartWithout(t *testing.T) {
	s := newStack(t)
	for name, program := range map[string]string{"Desk": deskProgram, "Authorizer": authorizerProgram} {
		guarded, whole := s.Guarded(s.RoleOf(name+"Role")), s.Environment(name)
		for i, lacking := range whole {
			variable, _, _ := strings.Cut(lacking, "=")
			env := slices.Concat(guarded, whole[:i], whole[i+1:])
			if _, err := s.TryStart(program, env); err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("%s without %s: %v", name, variable, err)
			}
		}
	}
}
