package clientcredentials_test

import (
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
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
