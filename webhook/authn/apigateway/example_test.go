package apigateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/authn/apigateway"
)

func Example() {
	jwks, err := os.ReadFile("testdata/jwks.json") // or authn.FetchKeys, which follows the issuer
	if err != nil {
		log.Fatal(err)
	}
	keys, err := authn.ParseKeys(jwks)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := authn.New("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE", keys,
		&authn.Options{ClientIDs: []string{"4client"}})
	if err != nil {
		log.Fatal(err)
	}
	authorizer, err := apigateway.New(verifier, &apigateway.Options{Routes: []apigateway.Route{
		{Method: "GET", Path: "/news", Need: &authn.Need{}},
		{Method: "DELETE", Path: "/news/{id}", Need: &authn.Need{Groups: []string{"admin"}}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	// In a function: lambda.Start(authorizer.Handle)
	event := `{"type":"TOKEN","authorizationToken":"Bearer x",` +
		`"methodArn":"arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/prod/GET/news"}`
	_, err = authorizer.Handle(context.Background(), json.RawMessage(event))
	fmt.Println(errors.Is(err, apigateway.ErrUnauthorized))
	// Output: true
}
