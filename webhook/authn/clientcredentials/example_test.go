package clientcredentials_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
	"github.com/sealbus/sealbus/webhook/sender"
)

func Example() {
	tokens, err := clientcredentials.New("https://acme.auth.eu-west-1.amazoncognito.com/oauth2/token",
		"4client", os.Getenv("CLIENT_SECRET"), &clientcredentials.Options{Scopes: []string{"orders/write"}})
	if err != nil {
		log.Fatal(err)
	}
	transport, err := tokens.Transport(nil, "https://api.example")
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	resp, err := client.Post("https://api.example/orders", "application/json", strings.NewReader(`{"id":7}`))
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
}

// authorized is the signing of an endpoint that asks who is calling: it adds an access token. The sender
// follows no redirect, so the token goes to the endpoint's own URL.
type authorized struct {
	sender.Signing
	tokens *clientcredentials.Source
}

// Sign is the method of sender.Signing.
func (a authorized) Sign(ctx context.Context, req *http.Request, body []byte, at time.Time) error {
	token, err := a.tokens.Token(ctx)
	if err != nil {
		return err // the attempt failed, and is made again
	}
	token.SetAuthHeader(req)
	return a.Signing.Sign(ctx, req, body, at)
}

// An endpoint of webhook/sender gets webhooks with an access token.
func ExampleSource_Token() {
	tokens, err := clientcredentials.New("https://acme.example/oauth2/token", "4client",
		os.Getenv("CLIENT_SECRET"), nil)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := sender.Endpoint{ID: "acme", URL: "https://acme.example/hooks",
		Signing: authorized{sender.Unsigned(), tokens}}
	if err := endpoint.Check(); err != nil {
		log.Fatal(err)
	}
}
