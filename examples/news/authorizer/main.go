// Command authorizer is a Lambda authorizer of the REST API in ../template.yaml: partners with the scope
// news/submit may POST /news. The client of the token is also its API key, so each has a quota of its own in
// the usage plan.
package main

import (
	"context"
	"log"
	"strings"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
)

func main() {
	a, err := start()
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(a.Handle)
}

func start() (*apigateway.Authorizer, error) {
	var env setup.Environment
	issuer, clients := env.Text("ISSUER"), strings.Fields(env.Text("CLIENT_IDS"))
	if env.Err != nil {
		return nil, env.Err
	}
	keys, err := authn.FetchKeys(issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	verifier, err := authn.New(issuer, keys, &authn.Options{ClientIDs: clients})
	if err != nil {
		return nil, err
	}
	return apigateway.New(verifier, &apigateway.Options{
		Routes: []apigateway.Route{
			{Method: "POST", Path: "/news", Need: &authn.Need{Scopes: []string{"news/submit"}}},
		},
		UsageIdentifier: func(caller *authn.Identity) string { return caller.ClientID },
		Refused:         func(_ context.Context, err error) { log.Print(err) },
	})
}
