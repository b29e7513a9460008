// Package awslambda lets a Lambda function receive webhooks: behind a function URL, an API Gateway or an
// Application Load Balancer. It gives each request to a webhook.Receiver, which gives the same verdict as
// behind net/http.
//
//	r, err := webhook.NewReceiver(verifier, store, next, nil)
//	lambda.Start(awslambda.Handler(r, awslambda.FunctionURL))
//
// # What a front end keeps
//
// A signature covers bytes, and some front ends change them before the function sees them. Nothing of that is
// guessed:
//
//	               body          second header line        path       query
//	FunctionURL    as it came    joined with a comma       exact      exact
//	HTTPAPI        as it came    joined with a comma       decoded    exact
//	RESTAPI        see below     kept                      decoded    decoded, in no order
//	ALB            as it came    only the last is there    exact      only the last of a name, in no order
//	ALBMultiValue  as it came    kept                      exact      in no order
//
// A joined second line is malformed as two lines are, because no value that is verified may hold a comma.
// Only a header that is a list by design, such as Stripe-Signature, stays a list: the further items are tried
// as well, and need the secret, too. Behind ALB without multi-value headers a second line is never seen.
//
// Where the path or the query is not exact, webhook.Request.Target is empty if they have anything that could
// have been written in two ways: an escape, several parameters. A scheme that signs the URL (Twilio, Square,
// HubSpot) then refuses the delivery as malformed; other schemes do not look at it. Put such an endpoint
// behind FunctionURL, or give it a path of letters and digits without a query.
//
// RESTAPI hands binary bodies on only if the API's binaryMediaTypes name their content type, or */*.
// Otherwise it changes them into text, and the signature does not match.
//
// Threats: an attacker on the Internet, who chooses every byte of the request (nothing is believed before the
// signature; scheme and authority of the URL come from webhook.SchemeOptions and never from a header); a
// function behind another front end than it was made for (the invocation fails, and the sender sends again).
// Not stopped: a caller who may invoke the function itself can write any request, but cannot sign it.
//
// The package does not import the Lambda runtime: its functions are what lambda.Start of
// github.com/aws/aws-lambda-go takes.
//
// Stable: Handler, Receiver, FrontEnd and its values, Response.
package awslambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/webhook"
)

// FrontEnd is what invokes the function with a request. The zero FrontEnd is refused.
type FrontEnd int

// The front ends.
const (
	// FunctionURL is a Lambda function URL.
	// https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
	FunctionURL FrontEnd = iota + 1
	// HTTPAPI is an HTTP API of API Gateway with the payload format 2.0.
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
	HTTPAPI
	// RESTAPI is the payload format 1.0: a REST API of API Gateway, or an HTTP API that is set to 1.0.
	RESTAPI
	// ALB is an Application Load Balancer whose target group has no multi-value headers, as is the default.
	// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
	ALB
	// ALBMultiValue is one whose target group has lambda.multi_value_headers.enabled.
	ALBMultiValue
)

var frontEnds = map[FrontEnd]string{FunctionURL: "FunctionURL", HTTPAPI: "HTTPAPI", RESTAPI: "RESTAPI",
	ALB: "ALB", ALBMultiValue: "ALBMultiValue"}

// String is the name of the constant.
func (f FrontEnd) String() string {
	if name := frontEnds[f]; name != "" {
		return name
	}
	return fmt.Sprintf("FrontEnd(%d)", int(f))
}

// Receiver answers one request; *webhook.Receiver is one. A zero judging time is now.
type Receiver interface {
	Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response
}

// Response is the answer to the front end.
type Response struct {
	StatusCode        int                 `json:"statusCode"`
	StatusDescription string              `json:"statusDescription,omitempty"` // load balancers want it
	Headers           map[string]string   `json:"headers,omitzero"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders,omitzero"` // ALBMultiValue takes no other
	Body              string              `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

// maxMargin is the longest time before the end of the invocation at which the context of the receiver ends.
// In it the claim is released and the answer written. Of a short invocation it is a tenth.
const maxMargin = 2 * time.Second

// Handler is the function behind that front end. An invocation with a payload of another front end fails: the
// front end answers 502, and the sender sends the delivery again. Every other verdict is the Receiver's.
func Handler(r Receiver, front FrontEnd) func(context.Context, json.RawMessage) (Response, error) {
	err := nilcheck.Check("the receiver", r)
	if err == nil && frontEnds[front] == "" {
		err = errors.New("no front end: name the one that invokes the function, such as FunctionURL")
	}
	return func(ctx context.Context, payload json.RawMessage) (Response, error) {
		if err != nil {
			return Response{}, fmt.Errorf("awslambda: %w", err)
		}
		req, err := parse(payload, front)
		if err != nil {
			return Response{}, fmt.Errorf("awslambda: %w", err)
		}
		if end, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, end.Add(-min(time.Until(end)/10, maxMargin)))
			defer cancel()
		}
		return respond(r.Receive(ctx, req, time.Time{}), front), nil
	}
}

// respond writes the answer in the form of the front end.
func respond(r webhook.Response, front FrontEnd) Response {
	out := Response{StatusCode: r.Status, Body: string(r.Body)}
	if !utf8.Valid(r.Body) {
		out.Body, out.IsBase64Encoded = base64.StdEncoding.EncodeToString(r.Body), true
	}
	if front == ALB || front == ALBMultiValue {
		out.StatusDescription = strconv.Itoa(r.Status) + " " + http.StatusText(r.Status)
	}
	if front == ALBMultiValue {
		out.MultiValueHeaders = make(map[string][]string, len(r.Header))
		for _, f := range r.Header {
			out.MultiValueHeaders[f.Name] = append(out.MultiValueHeaders[f.Name], f.Value)
		}
		return out
	}
	out.Headers = make(map[string]string, len(r.Header))
	for _, f := range r.Header {
		out.Headers[f.Name] = f.Value
	}
	return out
}
