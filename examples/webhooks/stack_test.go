package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
)

func TestMain(m *testing.M) { orderstest.Main(m) }

const (
	gatewayProgram = "examples/webhooks/gateway"
	pushesProgram  = "examples/webhooks/pushes"

	hooksSource  = "https://hooks.example/github" // the default of template.yaml
	firstSecret  = "FirstSecretOfGitHub"
	secondSecret = "SecondSecretOfGitHub"
)

// stack is what AWS makes of template.yaml, as far as the functions see it: their environment, their roles,
// the bus and the rule.
type stack struct {
	*testing.T
	*orderstest.World
	*orderstest.Deployed

	gateway, pushes *orderstest.Function
	role            *orderstest.Policies                // of the gateway
	target          atomic.Pointer[orderstest.Function] // pushes, for the bus, which calls it at any time
	last            atomic.Pointer[[]byte]              // what the rule delivered last
}

// newStack has everything but the functions.
func newStack(t *testing.T) *stack {
	t.Helper()
	w := orderstest.New(t, &orderstest.Options{Producer: "hooks", Sources: []string{hooksSource},
		Types: []string{"webhook.github.*"}})
	region := orderstest.Region + ":" + orderstest.Account + ":"
	secret := "arn:aws:secretsmanager:" + region + "secret:"
	values := map[string]string{"AWS::StackName": "hooks", "AWS::Partition": "aws",
		"TrustBucket": w.TrustBucket(), "Keyring": w.KeyringSecret(),
		"GithubSecret": secret + "first-a1B2c3", "GithubSecondSecret": secret + "second-d4E5f6",
		"PushesQuarantineKey": secret + "key-g7H8i9",
		"QuarantineBucket":    w.QuarantineBucket(), "QuarantineBucket.Arn": "arn:aws:s3:::" + w.QuarantineBucket(),
		"Bus": "hooks-hooks", "Bus.Arn": "arn:aws:events:" + region + "event-bus/hooks-hooks"}
	s := &stack{T: t, World: w, Deployed: orderstest.Deploy(t, "template.yaml", values)}
	for _, table := range s.OfType("AWS::DynamoDB::Table") {
		values[table], values[table+".Arn"] = table, "arn:aws:dynamodb:"+region+"table/"+table
	}
	w.PutSecret(s.Values["GithubSecret"], firstSecret)
	w.PutSecret(s.Values["GithubSecondSecret"], secondSecret)
	w.PutSecret(s.Values["PushesQuarantineKey"], w.QuarantineKey())
	s.makeBus()
	return s
}

// start starts both functions, each with its role.
func (s *stack) start() *stack {
	s.Helper()
	s.role = s.RoleOf("GatewayRole")
	s.gateway = s.Start(gatewayProgram, append(s.Guarded(s.role), s.Environment("Gateway")...))
	s.pushes = s.Start(pushesProgram, append(s.Guarded(s.RoleOf("PushesRole")), s.Environment("Pushes")...))
	s.target.Store(s.pushes)
	return s
}

// makeBus makes the bus and the rule of the template.
func (s *stack) makeBus() {
	s.Helper()
	must := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	client, bus := s.EventBridge(), s.Resolve(s.Resources["Bus"].Properties["Name"]).(string)
	_, err := client.CreateEventBus(s.Context(), &eventbridge.CreateEventBusInput{Name: &bus})
	must(err)
	pattern, err := json.Marshal(s.Resolve(s.Resources["Rule"].Properties["EventPattern"]))
	must(err)
	_, err = client.PutRule(s.Context(), &eventbridge.PutRuleInput{Name: aws.String("rule"),
		EventBusName: &bus, EventPattern: aws.String(string(pattern))})
	must(err)
	pushes := s.Bus.Function("pushes", func(ctx context.Context, event []byte) error {
		s.last.Store(&event)
		_, err := s.target.Load().Invoke(ctx, event)
		return err
	})
	out, err := client.PutTargets(s.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("rule"),
		EventBusName: &bus, Targets: []types.Target{{Id: aws.String("t"), Arn: &pushes}}})
	if must(err); out.FailedEntryCount > 0 {
		s.Fatalf("%+v", out.FailedEntries)
	}
}

// request is the delivery as a function URL gives it to its function.
func (d *delivery) request() events.LambdaFunctionURLRequest {
	r := events.LambdaFunctionURLRequest{Version: "2.0", RawPath: "/hooks/github", Body: string(d.body),
		Headers: map[string]string{"content-type": "application/json", "x-github-event": "push",
			"x-github-delivery": d.id, "x-hub-signature-256": d.signature,
			"x-forwarded-proto": "https", "user-agent": "GitHub-Hookshot/044aadd"}}
	r.RequestContext.AccountID, r.RequestContext.APIID = "anonymous", "abcdefghij"
	r.RequestContext.DomainName = "abcdefghij.lambda-url." + orderstest.Region + ".on.aws"
	r.RequestContext.HTTP.Method, r.RequestContext.HTTP.Path = "POST", r.RawPath
	r.RequestContext.HTTP.Protocol, r.RequestContext.HTTP.SourceIP = "HTTP/1.1", "140.82.115.5"
	return r
}

// post has the gateway take a request, and returns "200", or the status and the reason of a refusal.
func post(t *testing.T, gateway *orderstest.Function, r events.LambdaFunctionURLRequest) string {
	t.Helper()
	payload, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := gateway.Invoke(t.Context(), payload)
	if err != nil {
		t.Fatalf("%v\n%s", err, gateway.Log())
	}
	var answer events.LambdaFunctionURLResponse
	if err := json.Unmarshal(doc, &answer); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	var problem struct{ Reason string }
	if answer.Body != "" {
		if err := json.Unmarshal([]byte(answer.Body), &problem); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
	}
	return strings.TrimSpace(fmt.Sprint(answer.StatusCode, " ", problem.Reason))
}

// handled waits for all deliveries of the bus, and is how many events were put on it and how many pushes were
// handled.
func (s *stack) handled() (put, pushes int) {
	s.Helper()
	if err := s.Bus.Drain(s.Context()); err != nil {
		s.Fatal(err)
	}
	return s.Bus.CallsOf("PutEvents"), strings.Count(s.pushes.Log(), " push to ")
}

func body(ref string) []byte {
	return fmt.Appendf(nil, `{"ref":"refs/heads/%s","repository":{"full_name":"acme/shop"}}`, ref)
}
