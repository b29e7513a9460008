package tinkkeys_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/tinkkeys"
)

// A producer's keyset is made, rotated and read by another process. The key encryption key of this example is
// in memory; the one of package tinkawskms is in AWS KMS.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tinkkeys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		log.Fatal(err)
	}
	primitive, err := aead.New(handle)
	if err != nil {
		log.Fatal(err)
	}
	kek, file := tinkkeys.LocalKEK(primitive), filepath.Join(dir, "orders.tink.json")

	ring, err := tinkkeys.Create(ctx, file, kek, tinkkeys.Producer("orders"), keys.Ed25519)
	if err != nil {
		log.Fatal(err)
	}
	next, err := ring.Add(ctx, keys.Ed25519) // publish it in the trust bundle, and only then:
	if err != nil {
		log.Fatal(err)
	}
	if err := ring.SetPrimary(ctx, next); err != nil {
		log.Fatal(err)
	}

	same, err := tinkkeys.Open(ctx, file, kek, tinkkeys.Producer("orders"))
	if err != nil {
		log.Fatal(err)
	}
	signers, err := same.Signers(time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(same.Entries()), "keys;", len(signers), "signs; it is the new one:",
		signers[0].Verifier().KeyID() == next)
	// Output: 2 keys; 1 signs; it is the new one: true
}
