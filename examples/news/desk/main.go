// Command desk is a Lambda function behind API Gateway. It answers with the news, and makes a sealed event of
// each deletion. ../template.yaml has it behind an HTTP API with a JWT authorizer and behind a REST API with
// a Cognito authorizer. Those verify tokens and ask for scopes. Neither knows groups: the function does.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net/http"
	"slices"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/examples/news/newsroom"
	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/webhook/authcontext"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	d, err := start(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(d.handle)
}

// desk answers for the API.
type desk struct{ newsroom.Desk }

func start(ctx context.Context, cfg aws.Config) (*desk, error) {
	var env setup.Environment
	secret := env.Text("CALLER_KEY_SECRET")
	if env.Err != nil {
		return nil, env.Err
	}
	p, err := setup.Producer(ctx, cfg)
	if err != nil {
		return nil, err
	}
	text, err := setup.Secret(ctx, cfg, secret)
	if err != nil {
		return nil, err
	}
	callers, err := authcontext.NewKey(text)
	if err != nil {
		return nil, err
	}
	return &desk{newsroom.Desk{Producer: p, Callers: callers}}, nil
}

// call is the part of an event that says which route was called: routeKey in the payload format 2.0,
// httpMethod and resource in 1.0.
type call struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	HTTPMethod     string            `json:"httpMethod"`
	Resource       string            `json:"resource"`
	PathParameters map[string]string `json:"pathParameters"`
}

func (c *call) route() string {
	if c.Version == "2.0" {
		return c.RouteKey
	}
	return c.HTTPMethod + " " + c.Resource
}

// response is one in either format.
type response = events.APIGatewayProxyResponse

func (d *desk) handle(ctx context.Context, payload json.RawMessage) (response, error) {
	var c call
	if err := json.Unmarshal(payload, &c); err != nil {
		return response{}, err
	}
	switch c.route() {
	case "GET /news":
		return answer(http.StatusOK, newsroom.Today()), nil
	case "DELETE /news/{id}":
		return d.delete(ctx, payload, c.PathParameters["id"]), nil
	}
	return problem(http.StatusNotFound, ""), nil
}

// delete publishes the event. 202: the bus has it, and a consumer of it deletes.
func (d *desk) delete(ctx context.Context, payload []byte, item string) response {
	caller, err := apigateway.IdentityOf(payload, nil)
	if err != nil { // an id token; or no authorizer stands before this route, a mistake in the template
		return refused(&authn.Error{Reason: envelope.ReasonUnsigned, Rule: "form", Err: err})
	}
	if err := caller.Check(newsroom.MayDelete()); err != nil {
		return refused(err)
	}
	if !slices.ContainsFunc(newsroom.Today(), func(i newsroom.Item) bool { return i.ID == item }) {
		return problem(http.StatusNotFound, "")
	}
	if err := d.Delete(ctx, item, caller); err != nil {
		log.Print(err)
		r := problem(http.StatusServiceUnavailable, envelope.ReasonHandlerFailed)
		r.Headers["Retry-After"] = "5"
		return r
	}
	return answer(http.StatusAccepted, newsroom.Deletion{ID: item})
}

func refused(err error) response {
	log.Print(err)
	refusal, ok := errors.AsType[*authn.Error](err)
	if !ok {
		return problem(http.StatusForbidden, "")
	}
	r := problem(refusal.Status(), refusal.Reason)
	r.Headers["WWW-Authenticate"] = refusal.Challenge()
	return r
}

// problem is an answer as RFC 9457 has it.
func problem(status int, reason envelope.Reason) response {
	r := answer(status, map[string]any{"title": http.StatusText(status), "status": status, "reason": reason})
	r.Headers["Content-Type"] = "application/problem+json"
	return r
}

func answer(status int, body any) response {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // texts always have JSON
	}
	return response{StatusCode: status, Body: string(text),
		Headers: map[string]string{"Content-Type": "application/json"}}
}
