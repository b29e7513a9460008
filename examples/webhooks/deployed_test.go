package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
)

// TestDeployed: the functions of template.yaml, with their environments and their roles. Each genuine
// delivery is one event on the bus, which pushes handles; of the others there is none.
func TestDeployed(t *testing.T) {
	s := newStack(t).start()
	one, two := body("main"), body("next")
	forged := bytes.Replace(one, []byte("acme"), []byte("evil"), 1)
	for _, c := range []struct {
		delivery
		change      func(r *events.LambdaFunctionURLRequest)
		want        string
		put, pushes int // so far
	}{
		{delivery{"a push", "d-1", one, sign(firstSecret, one)}, nil, "200", 1, 1},
		{delivery{"redelivered", "d-1", one, sign(firstSecret, one)}, nil, "200", 1, 1},
		{delivery{"captured, under a new ID", "d-2", one, sign(firstSecret, one)}, nil, "200", 1, 1},
		{delivery{"after the rotation", "d-3", two, sign(secondSecret, two)}, nil, "200", 2, 2},
		{delivery{"with another body", "d-4", forged, sign(firstSecret, one)}, nil, "401 bad_signature", 2, 2},
		{delivery{"with a guessed secret", "d-5", forged, sign("guess", forged)}, nil, "401 bad_signature", 2, 2},
		{delivery{"with an empty secret", "d-6", forged, sign("", forged)}, nil, "401 bad_signature", 2, 2},
		{delivery{"without a signature", "d-7", forged, ""}, func(r *events.LambdaFunctionURLRequest) {
			delete(r.Headers, "x-hub-signature-256")
		}, "401 unsigned", 2, 2},
		{delivery{"as a form", "d-8", forged, sign(firstSecret, forged)}, func(r *events.LambdaFunctionURLRequest) {
			r.Headers["content-type"] = "application/x-www-form-urlencoded"
		}, "415", 2, 2},
		{delivery{"to another path", "d-9", forged, sign(firstSecret, forged)},
			func(r *events.LambdaFunctionURLRequest) { r.RawPath = "/" }, "404", 2, 2},
		{delivery{"a GET", "d-9", nil, ""},
			func(r *events.LambdaFunctionURLRequest) { r.RequestContext.HTTP.Method = "GET" }, "405", 2, 2},
		{delivery{"a ping", "d-10", []byte(`{"zen":"Keep it logically awesome."}`),
			sign(firstSecret, []byte(`{"zen":"Keep it logically awesome."}`))},
			func(r *events.LambdaFunctionURLRequest) { r.Headers["x-github-event"] = "ping" }, "200", 3, 2},
	} {
		r := c.request()
		if c.change != nil {
			c.change(&r)
		}
		got := post(t, s.gateway, r)
		if put, pushes := s.handled(); got != c.want || put != c.put || pushes != c.pushes {
			t.Fatalf("%s: %s with %d events and %d pushes, not %s with %d and %d\n%s\n%s", c.what, got, put,
				pushes, c.want, c.put, c.pushes, s.gateway.Log(), s.pushes.Log())
		}
	}
	if !strings.Contains(s.pushes.Log(), `push to "refs/heads/main" of "acme/shop", vouched for by hooks`) {
		t.Errorf("the log of pushes:\n%s", s.pushes.Log())
	}
	for _, secret := range []string{firstSecret, secondSecret} {
		if strings.Contains(s.gateway.Log(), secret) {
			t.Errorf("a secret in the log:\n%s", s.gateway.Log())
		}
	}
	if n := len(s.Refused("pushes")); n > 0 {
		t.Errorf("%d in quarantine", n)
	}
}

// TestOutage: while the table of claims or the bus is down the answer is 503. GitHub can deliver again at
// once then, and the push is handled once.
func TestOutage(t *testing.T) {
	s := newStack(t).start()
	d := delivery{"", "d-1", body("main"), sign(firstSecret, body("main"))}
	s.Tables.SetDown(true)
	if got := post(t, s.gateway, d.request()); got != "503 store_unavailable" {
		t.Errorf("without its table: %s", got)
	}
	s.Tables.SetDown(false)
	s.role.Without(func(statement string) {
		if strings.Contains(statement, "events:PutEvents") {
			if got := post(t, s.gateway, d.request()); got != "503 handler_failed" {
				t.Errorf("without its bus: %s", got)
			}
		}
	})
	for range 2 {
		if got := post(t, s.gateway, d.request()); got != "200" {
			t.Fatalf("%s\n%s", got, s.gateway.Log())
		}
	}
	if put, pushes := s.handled(); put != 1 || pushes != 1 {
		t.Errorf("%d events and %d pushes\n%s", put, pushes, s.pushes.Log())
	}
}

// sealed has the gateway take a push, and returns what the rule then delivered to pushes.
func (s *stack) sealed() []byte {
	s.Helper()
	d := delivery{"", "d-1", body("main"), sign(firstSecret, body("main"))}
	if got := post(s.T, s.gateway, d.request()); got != "200" {
		s.Fatalf("%s\n%s", got, s.gateway.Log())
	}
	s.handled()
	return *s.last.Load()
}

// TestAttackerOnTheBus may call PutEvents there, and has the sealed event of a push.
func TestAttackerOnTheBus(t *testing.T) {
	s := newStack(t).start()
	var delivered struct{ Detail json.RawMessage }
	if err := json.Unmarshal(s.sealed(), &delivered); err != nil {
		t.Fatal(err)
	}
	genuine := string(delivered.Detail)
	modified := strings.Replace(genuine, "heads/main", "heads/evil", 1)
	for _, detail := range []string{string(body("evil")), modified, genuine} {
		out, err := s.EventBridge().PutEvents(t.Context(), &eventbridge.PutEventsInput{
			Entries: []types.PutEventsRequestEntry{{EventBusName: aws.String(s.Values["Bus"]), Detail: &detail,
				Source: aws.String(hooksSource), DetailType: aws.String("webhook.github.push")}}})
		if err != nil || out.FailedEntryCount > 0 {
			t.Fatalf("%v %+v", err, out)
		}
	}
	if put, pushes := s.handled(); put != 4 || pushes != 1 {
		t.Errorf("%d events, and %d were handled\n%s", put, pushes, s.pushes.Log())
	}
	want := map[envelope.Reason]int{envelope.ReasonUnsigned: 1, envelope.ReasonModified: 1}
	if got := s.Reasons("pushes"); !maps.Equal(got, want) {
		t.Errorf("in quarantine: %v, not %v", got, want)
	}
}

// TestRoles: without any one of its statements a function does not start, or does not do its work. With all
// of them it does. Both start anew each time.
func TestRoles(t *testing.T) {
	s := newStack(t).start()
	genuine, n := s.sealed(), 0
	forged := bytes.Replace(genuine, []byte("heads/main"), []byte("heads/evil"), 1)
	receives := func(role *orderstest.Policies) bool {
		n++
		d := delivery{"", "d", body(fmt.Sprint("branch-", n)), ""}
		d.signature = sign(firstSecret, d.body)
		f, err := s.TryStart(gatewayProgram, append(s.Guarded(role), s.Environment("Gateway")...))
		return err == nil && post(t, f, d.request()) == "200"
	}
	consumes := func(role *orderstest.Policies) bool {
		f, err := s.TryStart(pushesProgram, append(s.Guarded(role), s.Environment("Pushes")...))
		if err != nil {
			return false
		}
		_, ofGenuine := f.Invoke(t.Context(), genuine)
		_, ofForged := f.Invoke(t.Context(), forged)
		return ofGenuine == nil && ofForged == nil
	}
	for name, works := range map[string]func(*orderstest.Policies) bool{"GatewayRole": receives,
		"PushesRole": consumes} {
		role, statements := s.RoleOf(name), 0
		if !works(role) {
			t.Errorf("with its whole %s a function does not work", name)
		}
		role.Without(func(statement string) {
			statements++
			if works(role) {
				t.Errorf("without %s it works: it is allowed, and never needed", statement)
			}
		})
		if statements < 4 {
			t.Errorf("%s has %d statements", name, statements)
		}
	}
}

// TestNoStartWithout: without a variable, a secret or a good configuration the gateway does not start.
func TestNoStartWithout(t *testing.T) {
	s := newStack(t)
	refuses := func(what string, env []string) {
		t.Helper()
		if _, err := s.TryStart(gatewayProgram, env); err == nil ||
			!strings.Contains(err.Error(), what) || strings.Contains(err.Error(), firstSecret) {
			t.Errorf("%s: %v", what, err)
		}
	}
	whole := s.Environment("Gateway")
	for i, lacking := range whole {
		name, _, _ := strings.Cut(lacking, "=")
		refuses(name, slices.Delete(slices.Clone(whole), i, i+1))
	}
	s.PutSecret(s.Values["GithubSecondSecret"], "")
	refuses("the secret is empty", whole)
}

// TestSecretsAreLong: AWS makes up both secrets of GitHub, and nothing in them needs quotes.
func TestSecretsAreLong(t *testing.T) {
	template, err := cfntest.Read("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"GithubSecret", "GithubSecondSecret"} {
		made := cfntest.Get(template.Resources[id].Properties, "GenerateSecretString")
		length, _ := cfntest.Get(made, "PasswordLength").(int)
		if length < 32 || cfntest.Get(made, "ExcludePunctuation") != true ||
			cfntest.Get(made, "IncludeSpace") != nil {
			t.Errorf("%s: %v", id, made)
		}
	}
}

// TestWindow: what pushes takes for the longest way of an event is what the rule and the function say.
func TestWindow(t *testing.T) {
	template, err := cfntest.Read("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seconds := func(v any) time.Duration {
		n, _ := v.(int)
		return time.Duration(n) * time.Second
	}
	target := cfntest.List(template.Resources["Rule"].Properties["Targets"])[0]
	longest := seconds(cfntest.Get(target, "RetryPolicy", "MaximumEventAgeInSeconds")) +
		seconds(cfntest.Get(template.Resources["Pushes"].Properties, "EventInvokeConfig",
			"MaximumEventAgeInSeconds"))
	text, _ := template.Setting("Pushes", "Environment", "Variables", "MAX_AGE").(string)
	if got, err := time.ParseDuration(text); err != nil || got != longest+5*time.Minute {
		t.Errorf("MAX_AGE is %v, %v, the longest way takes %v", got, err, longest)
	}
}
