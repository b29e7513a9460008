package keys_test

import (
	"context"
	"fmt"
	"log"

	"github.com/sealbus/sealbus/keys"
)

// A signing key, and the public half by which others verify its signatures.
func Example() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		log.Fatal(err)
	}
	sig, err := signer.Sign(context.Background(), []byte("hello"))
	if err != nil {
		log.Fatal(err)
	}
	verifier, err := keys.ParseJWK(signer.Verifier().JWK()) // public: it may go anywhere
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verifier.Verify([]byte("hello"), sig), verifier.Verify([]byte("hullo"), sig))
	fmt.Println(keys.MatchSource([]string{"https://orders.example/*"}, "https://orders.example/eu"))
	// Output:
	// true false
	// true
}
