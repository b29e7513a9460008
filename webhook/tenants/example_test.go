package tenants_test

import (
	"fmt"
	"log"

	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/tenants"
)

// A client of one tenant tries to speak for another one.
func Example() {
	all, err := tenants.Parse([]byte(`version: 1
issuer: https://issuer.example
tenants:
  acme:
    clients: {4f9c2d: {}}
    sources: ["https://acme.example/*"]
    types: [com.acme.*]
    scopes: [events/write]
    quota: {rate: 50, burst: 100, daily: 100000}
`), nil)
	if err != nil {
		log.Fatal(err)
	}
	tenant, err := all.Find(tenants.Caller{Issuer: "https://issuer.example", ClientID: "4f9c2d",
		Scopes: []string{"events/write"}})
	if err != nil {
		log.Fatal(err) // 403
	}
	fmt.Println(tenant.Name(), tenant.Check("https://acme.example/shop", "com.acme.order"))
	fmt.Println(webhook.ReasonOf(tenant.Check("https://other.example/shop", "com.acme.order")))
	// Output:
	// acme <nil>
	// source_not_allowed
}
