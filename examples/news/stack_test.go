package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/examples/orders/orderstest"
	"github.com/sealbus/sealbus/keys/trust"
)

func TestMain(m *testing.M) { orderstest.Main(m) }

const (
	deskProgram       = "examples/news/desk"
	authorizerProgram = "examples/news/authorizer"
	intakeProgram     = "examples/news/intake"

	arn     = ":" + orderstest.Region + ":" + orderstest.Account + ":"
	partner = "3n4b5urk1ft4fl3mg5e62d9ado" // the ID of PartnerClient
	website = "1h57kf5cpq17m0eml12EXAMPLE"

	callerKey    = "arn:aws:secretsmanager" + arn + "secret:callers-a1B2c3"
	callerSecret = "0123456789abcdef0123456789ABCDEF"
)

// stack is what AWS makes of template.yaml, as far as the functions see it: their environment, their roles,
// the buses, the rule of the inbox, and the user pool.
type stack struct {
	*testing.T
	*orderstest.World
	*orderstest.Deployed
	pool *issuer
	down atomic.Bool // the user pool does not answer

	intake atomic.Pointer[orderstest.Function] // for the rule, which calls it at any time

	mu     sync.Mutex
	sealed [][]byte // what the bus of sealed events delivered
}

func newStack(t *testing.T) *stack {
	t.Helper()
	w := orderstest.New(t, &orderstest.Options{Producer: "newsroom", Sources: []string{newsroom.Source},
		Types: []string{"com.example.news.*"}})
	s := &stack{T: t, World: w, Deployed: orderstest.Deploy(t, "template.yaml", map[string]string{
		"AWS::StackName": "news", "AWS::Region": orderstest.Region, "AWS::AccountId": orderstest.Account,
		"AWS::Partition": "aws", "UserPool": orderstest.Region + "_news", "PartnerClient": partner,
		"WebsiteClient": website, "Keyring": w.KeyringSecret(), "CallerKey": callerKey, "RestApi": "rest1", "HttpApi": "http1",
		"Bus": "news-news", "Bus.Arn": "arn:aws:events" + arn + "event-bus/news-news",
		"Inbox": "news-inbox", "Inbox.Arn": "arn:aws:events" + arn + "event-bus/news-inbox"})}
	w.PutSecret(callerKey, callerSecret)
	for _, bus := range []string{"Bus", "Inbox"} {
		name, _ := s.Resolve(s.Resources[bus].Properties["Name"]).(string)
		_, err := s.EventBridge().CreateEventBus(t.Context(), &eventbridge.CreateEventBusInput{Name: &name})
		s.must(err)
	}
	s.rule("news-inbox", s.Resolve(s.Resources["Rule"].Properties["EventPattern"]),
		func(ctx context.Context, event []byte) error {
			_, err := s.intake.Load().Invoke(ctx, event)
			return err
		})
	s.rule("news-news", map[string]any{"source": []string{newsroom.Source}},
		func(_ context.Context, event []byte) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sealed = append(s.sealed, event)
			return nil
		})
	return s
}

func (s *stack) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// rule has a bus call a function with what matches a pattern.
func (s *stack) rule(bus string, pattern any, call func(context.Context, []byte) error) {
	s.Helper()
	text, err := json.Marshal(pattern)
	s.must(err)
	_, err = s.EventBridge().PutRule(s.Context(), &eventbridge.PutRuleInput{Name: aws.String("rule"),
		EventBusName: &bus, EventPattern: aws.String(string(text))})
	s.must(err)
	function := s.Bus.Function(bus, call)
	out, err := s.EventBridge().PutTargets(s.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("rule"),
		EventBusName: &bus, Targets: []types.Target{{Id: aws.String("t"), Arn: &function}}})
	if s.must(err); out.FailedEntryCount > 0 {
		s.Fatalf("%+v", out.FailedEntries)
	}
}

// function starts a function with the environment and the role of the template.
func (s *stack) function(program, name string) (*orderstest.Function, *orderstest.Policies) {
	s.Helper()
	role := s.RoleOf(name + "Role")
	return s.Start(program, append(s.Guarded(role), s.Environment(name)...)), role
}

// userPool starts the user pool, over TLS, and is the environment that leads to it.
func (s *stack) userPool() []string {
	s.Helper()
	var err error
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	s.Cleanup(server.Close)
	s.pool, err = newIssuer(server.URL + "/pool")
	s.must(err)
	mux.HandleFunc("GET /pool/.well-known/jwks.json", func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		s.pool.keys(w, r)
	})
	file := filepath.Join(s.TempDir(), "ca.pem")
	s.must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE",
		Bytes: server.Certificate().Raw}), 0o600))
	return []string{"ISSUER=" + s.pool.url, "SSL_CERT_FILE=" + file}
}

// opened are the events on the bus of sealed events, as a consumer gets them, in the order of their delivery.
// It fails if one is not genuine.
func (s *stack) opened() (list []*envelope.Opened) {
	s.Helper()
	s.must(s.Bus.Drain(s.Context()))
	pinned, err := os.ReadFile(filepath.Join(s.Dir(), "roots.json"))
	s.must(err)
	roots, err := trust.ParseRoots(pinned)
	s.must(err)
	bundle, err := trust.OpenBundle(s.Bundle, roots, nil)
	s.must(err)
	c, err := consumer.New("test", bundle, replay.NewMemory(nil), &envelope.Policy{
		Sources: []string{newsroom.Source}, Audience: "central"},
		&consumer.Options{Logger: slog.New(slog.DiscardHandler)})
	s.must(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, delivery := range s.sealed {
		_, err := c.Handle(s.Context(), consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				list = append(list, d.Opened)
				return nil
			})
		s.must(err)
	}
	return list
}

// route is a call of the API, and who makes it: the claims of a token that API Gateway verified, nil = the
// route has no authorizer.
type route struct {
	method, path, id string
	claims           map[string]string
}

// http2 is the call as an HTTP API gives it to its function, in the format 2.0, behind its JWT authorizer.
func (r *route) http2() any {
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RouteKey: r.method + " " + r.path,
		RawPath: "/news/" + r.id, PathParameters: map[string]string{"id": r.id}}
	e.RequestContext.HTTP.Method, e.RequestContext.Stage = r.method, "$default"
	if r.claims != nil {
		claims := map[string]string{}
		for name, value := range r.claims {
			claims[name] = value
		}
		if groups := claims["cognito:groups"]; groups != "" {
			claims["cognito:groups"] = "[" + groups + "]"
		}
		e.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
			JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: claims}}
	}
	return e
}

// rest1 is the call as a REST API gives it to its function, in the format 1.0, behind its Cognito authorizer.
func (r *route) rest1() any {
	e := events.APIGatewayProxyRequest{Resource: r.path, Path: "/news/" + r.id, HTTPMethod: r.method,
		PathParameters: map[string]string{"id": r.id}}
	e.RequestContext.Stage, e.RequestContext.HTTPMethod = "v1", r.method
	if r.claims != nil {
		e.RequestContext.Authorizer = map[string]any{"claims": r.claims}
	}
	return e
}

// answerOf is "STATUS REASON" of the answer to an event.
func (s *stack) answerOf(f *orderstest.Function, event any) string {
	s.Helper()
	payload, err := json.Marshal(event)
	s.must(err)
	out, err := f.Invoke(s.Context(), payload)
	if err != nil {
		s.Fatalf("%v\n%s", err, f.Log())
	}
	var r events.APIGatewayProxyResponse
	s.must(json.Unmarshal(out, &r))
	var body struct{ Reason string }
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil && r.Body[0] == '{' {
		s.Fatalf("%s: %v", out, err)
	}
	if (r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden) &&
		r.Headers["WWW-Authenticate"] == "" {
		s.Errorf("%s: no WWW-Authenticate", out)
	}
	if body.Reason == "" {
		return fmt.Sprint(r.StatusCode)
	}
	return fmt.Sprint(r.StatusCode, " ", body.Reason)
}

// errOf is the error of an invocation, as text.
func errOf(_ []byte, err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
