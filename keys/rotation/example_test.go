package rotation_test

import (
	"fmt"
	"log"
	"time"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/rotation"
)

// A keyring has one key, and the next one is to take over in three days.
func ExamplePlan() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		log.Fatal(err)
	}
	public := []keys.PublicKey{{Verifier: signer.Verifier(), Producer: "orders"}}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	steps, err := rotation.Plan(rotation.KeysOf(public, nil), now,
		&rotation.Options{Begin: true, At: now.Add(3 * 24 * time.Hour)})
	if err != nil {
		log.Fatal(err)
	}
	for _, s := range steps {
		fmt.Println(s.At.Format(time.DateOnly), s.Action, s.Status)
	}
	// Output:
	// 2026-03-01 make due
	// 2026-03-01 publish waiting
	// 2026-03-04 activate waiting
	// 2026-03-05 retire waiting
	// 2026-04-04 prune waiting
}
