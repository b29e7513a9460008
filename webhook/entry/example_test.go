package entry_test

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/sealbus/sealbus/webhook/authn"
	"github.com/sealbus/sealbus/webhook/entry"
	"github.com/sealbus/sealbus/webhook/tenants"
	"github.com/sealbus/sealbus/webhook/throttle"
)

// Each network may make ten requests a second, before anything else is looked at. Then a caller needs a token,
// and speaks for a tenant. One proxy is in front.
func Example() {
	var receiver entry.Receiver // a *webhook.Receiver, a *webhook.EventReceiver or a *gateway.Gateway
	keys, err := authn.FetchKeys("https://issuer.example/.well-known/jwks.json", nil)
	if err != nil {
		log.Fatal(err)
	}
	doc, err := os.ReadFile("tenants.yaml")
	if err != nil {
		log.Fatal(err)
	}
	all, err := tenants.Parse(doc, nil)
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := authn.New(all.Issuer(), keys, &authn.Options{ClientIDs: all.ClientIDs()})
	if err != nil {
		log.Fatal(err)
	}
	limiter, err := throttle.NewMemory(nil) // or webhook/throttle/redis, for several processes
	if err != nil {
		log.Fatal(err)
	}
	addresses, err := throttle.NewAddresses(10, 100, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	e, err := entry.New(receiver, &entry.Options{Addresses: addresses, TrustedHops: 1, Tokens: tokens,
		Tenants: all, Limiter: limiter})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", e))
}
