package trust_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// From a new key to a bundle that a consumer believes.
func Example() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		log.Fatal(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{Version: 1, Issued: now,
		Expires: now.AddDate(0, 0, 7)}, &trust.Key{
		Verifier: signer.Verifier(),
		Producer: "orders",
		Sources:  []string{"https://orders.example/*"},
		Types:    []string{"com.example.order.*"},
	})
	if err != nil {
		log.Fatal(err)
	}
	root, err := trust.GenerateRootKey(keys.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	signed, err := trust.SignBundle(context.Background(), bundle, root)
	if err != nil {
		log.Fatal(err)
	}

	roots, err := trust.NewRoots(1, 1, root.Verifier()) // what the consumer pinned
	if err != nil {
		log.Fatal(err)
	}
	believed, err := trust.OpenBundle(signed, roots, &trust.Options{Now: func() time.Time { return now }})
	if err != nil {
		log.Fatal(err)
	}
	key := believed.Lookup(signer.Verifier().KeyID())[0]
	fmt.Println(key.Producer, keys.MatchSource(key.Sources, "https://orders.example/eu"),
		keys.MatchSource(key.Sources, "https://billing.example/eu"))
	fmt.Println(signer.Producer(), key.StateAt(now))
	// Output:
	// orders true false
	// orders active
}
