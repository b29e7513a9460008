package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/internal/testbed/cfntest"
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
	template *cfntest.Template
	values   map[string]string // of what the template refers to

	gateway, pushes *orderstest.Function
	role            *orderstest.Policies                // of the gateway
	target          atomic.Pointer[orderstest.Function] // pushes, for the bus, which calls it at any time
	last            atomic.Pointer[[]byte]              // what the rule delivered last
}

// newStack has everything but the functions.
func newStack(t *testing.T) *stack {
	t.Helper()
	template, err := cfntest.Read("template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	w := orderstest.New(t, &orderstest.Options{Producer: "hooks", Sources: []string{hooksSource},
		Types: []string{"webhook.github.*"}})
	s := &stack{T: t, World: w, template: template}
	region := orderstest.Region + ":" + orderstest.Account + ":"
	secret := "arn:aws:secretsmanager:" + region + "secret:"
	s.values = map[string]string{"AWS::StackName": "hooks", "AWS::Partition": "aws",
		"TrustBucket": w.TrustBucket(), "Keyring": w.KeyringSecret(),
		"GithubSecret": secret + "first-a1B2c3", "GithubSecondSecret": secret + "second-d4E5f6",
		"PushesQuarantineKey": secret + "key-g7H8i9",
		"QuarantineBucket":    w.QuarantineBucket(), "QuarantineBucket.Arn": "arn:aws:s3:::" + w.QuarantineBucket(),
		"Bus": "hooks-hooks", "Bus.Arn": "arn:aws:events:" + region + "event-bus/hooks-hooks"}
	for _, table := range template.OfType("AWS::DynamoDB::Table") {
		s.values[table], s.values[table+".Arn"] = table, "arn:aws:dynamodb:"+region+"table/"+table
	}
	w.PutSecret(s.values["GithubSecret"], firstSecret)
	w.PutSecret(s.values["GithubSecondSecret"], secondSecret)
	w.PutSecret(s.values["PushesQuarantineKey"], w.QuarantineKey())
	s.makeBus()
	return s
}

// reference is one in the text of cfntest.Plain.
var reference = regexp.MustCompile(`\$\{([^}]+)\}`)

// resolve replaces the references in v: by values, or by the default of a parameter.
func (s *stack) resolve(v any) any {
	s.Helper()
	doc, err := json.Marshal(cfntest.Plain(v))
	if err != nil {
		s.Fatal(err)
	}
	text := reference.ReplaceAllStringFunc(string(doc), func(found string) string {
		name := found[2 : len(found)-1]
		if value, known := s.values[name]; known {
			return value
		}
		value, isText := cfntest.Get(s.template.Document, "Parameters", name, "Default").(string)
		if !isText {
			s.Fatalf("the test knows no %s", found)
		}
		return value
	})
	var out any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		s.Fatal(err)
	}
	return out
}

// environment is that of a function in the template.
func (s *stack) environment(function string) (env []string) {
	s.Helper()
	own := cfntest.Get(s.template.Resources[function].Properties, "Environment", "Variables")
	variables, _ := s.resolve(own).(map[string]any)
	for name, value := range variables {
		env = append(env, fmt.Sprint(name, "=", value))
	}
	return env
}

// byLambda are the actions that Lambda does itself in the role of a function.
var byLambda = regexp.MustCompile(`logs:|sqs:SendMessage`)

// roleOf has the statements of a role in the template that the function itself needs.
func (s *stack) roleOf(name string) *orderstest.Policies {
	s.Helper()
	p := &orderstest.Policies{}
	for _, statement := range s.template.Resources[name].Statements() {
		action := fmt.Sprint(statement["Action"])
		if action == "sts:AssumeRole" || byLambda.MatchString(action) {
			continue
		}
		resolved, _ := s.resolve(statement).(map[string]any)
		p.Add(fmt.Sprint(name, ": ", action, " on ", resolved["Resource"]), resolved)
	}
	return p
}

// start starts both functions, each with its role.
func (s *stack) start() *stack {
	s.Helper()
	s.role = s.roleOf("GatewayRole")
	s.gateway = s.Start(gatewayProgram, append(s.Guarded(s.role), s.environment("Gateway")...))
	s.pushes = s.Start(pushesProgram, append(s.Guarded(s.roleOf("PushesRole")), s.environment("Pushes")...))
	s.target.Store(s.pushes)
	return s
}

func (s *stack) client() *eventbridge.Client {
	at := s.Bus.URL()
	return eventbridge.New(eventbridge.Options{Region: orderstest.Region, BaseEndpoint: &at,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")})
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
	client, bus := s.client(), s.resolve(s.template.Resources["Bus"].Properties["Name"]).(string)
	_, err := client.CreateEventBus(s.Context(), &eventbridge.CreateEventBusInput{Name: &bus})
	must(err)
	pattern, err := json.Marshal(s.resolve(s.template.Resources["Rule"].Properties["EventPattern"]))
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
