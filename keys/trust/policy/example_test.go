package policy_test

import (
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// A new key is listed in the policy file, which people review. The bundle is built from the reviewed file and
// the public key, and from nothing else.
func Example() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		log.Fatal(err)
	}
	public := signer.Verifier()
	doc, changes, err := policy.AddProducerKey(nil, "orders", public.KeyID(), keys.Schedule{})
	if err != nil {
		log.Fatal(err)
	}
	doc, more, err := policy.SetScope(doc, "orders", []string{"https://orders.example/*"},
		[]string{"com.example.order.*"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(changes)+len(more) > 0) // a line each, for the reviewer

	reviewed, err := policy.Parse(doc)
	if err != nil {
		log.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	bundle, err := reviewed.Build([]*keys.Verifier{public},
		policy.BuildOptions{Now: now, Expires: now.AddDate(0, 0, 7)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(bundle.Version(), bundle.Expires().Format(time.DateOnly))
	// Output:
	// true
	// 1 2026-03-08
}
