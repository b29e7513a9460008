package authn_test

import (
	"fmt"
	"log"
	"net/http"

	"github.com/sealbus/sealbus/webhook/authn"
)

func Example() {
	issuer := "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE"
	keys, err := authn.FetchKeys(issuer+"/.well-known/jwks.json", nil)
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := authn.New(issuer, keys, &authn.Options{ClientIDs: []string{"4client"}})
	if err != nil {
		log.Fatal(err)
	}
	news := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("deleted by", authn.FromContext(r.Context()).Subject)
	})
	handler, err := authn.Guard(verifier, &authn.Need{Groups: []string{"admin"}}, news)
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("DELETE /news/{id}", handler)
}
