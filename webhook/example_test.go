package webhook_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/webhook"
)

// A receiver verifies a delivery of GitHub. With net/http, FromHTTP makes the Request.
func Example() {
	scheme, err := webhook.Provider("github")
	if err != nil {
		panic(err)
	}
	secrets := []webhook.Secret{{ID: "2026", Text: "It's a Secret to Everybody"}} // from a secret store
	verifier, err := webhook.New(scheme, "deployments", secrets, nil)
	if err != nil {
		panic(err)
	}
	request := webhook.Request{Method: "POST", Target: "/hooks/github", Body: []byte("Hello, World!"),
		Header: []webhook.Field{{Name: "X-Hub-Signature-256",
			Value: "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}}}
	delivery, err := verifier.Verify(context.Background(), request, time.Now())
	fmt.Println(delivery, err)

	request.Body = []byte("Hello, Mallory!")
	_, err = verifier.Verify(context.Background(), request, time.Now())
	fmt.Println(webhook.ReasonOf(err))
	// Output:
	// webhook.Verified(github, deployments, 2026) <nil>
	// bad_signature
}

// An endpoint of net/http answers 2xx only after the function has handled the delivery.
func ExampleHandler() {
	scheme, err := webhook.Provider("github")
	if err != nil {
		log.Fatal(err)
	}
	secrets := []webhook.Secret{{ID: "2026", Text: os.Getenv("GITHUB_SECRET")}}
	verifier, err := webhook.New(scheme, "deployments", secrets, nil)
	if err != nil {
		log.Fatal(err)
	}
	next := func(ctx context.Context, d *webhook.Verified) error {
		return deploy(ctx, d.Body)
	}
	handler, err := webhook.Handler(verifier, replay.NewMemory(nil), next, nil)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", handler))
}

// deploy stands for what the program does.
func deploy(context.Context, []byte) error { return nil }
