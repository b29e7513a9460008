package jwt_test

import (
	"fmt"
	"log"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/jwt"
)

func ExampleGooglePubSub() {
	scheme := jwt.GooglePubSub("https://hooks.example/in", "push@project.iam.gserviceaccount.com", nil)
	verifier, err := webhook.New(scheme, "orders", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verifier.Provider(), verifier.Endpoint())
	// Output: google-pubsub orders
}

func ExamplePlaid() {
	// Without credentials of Plaid's API, its keys are given as JWKs.
	key := `{"kty":"EC","crv":"P-256","kid":"bfbd5111-8e33-4643-8ced-b2e642a72f3c",` +
		`"use":"sig","alg":"ES256",` +
		`"x":"hKXLGIjWvCBv-cP5euCTxl8g9GLG9zHo_3pO5NN1DwQ","y":"shhexqPB7YffGn6fR6h2UhTSuCtPmfzQJ6ENVIoO4Ys"}`
	verifier, err := webhook.New(jwt.Plaid("", "", nil), "bank", []webhook.Secret{{Text: key}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verifier.Provider())
	// Output: plaid
}
