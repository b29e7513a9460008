package quarantine_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

// An operator lists the records that a consumer put away, and sees at once a file that an attacker slipped
// in.
func Example() {
	dir, err := os.MkdirTemp("", "quarantine")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key := make([]byte, consumer.MinQuarantineKey) // of `sealbus quarantine key new`
	keys, err := consumer.NewQuarantineKeys("billing", key)
	if err != nil {
		log.Fatal(err)
	}
	store, err := quarantine.NewDir(dir, keys) // consumer.Options.Quarantine
	if err != nil {
		log.Fatal(err)
	}
	err = store.Put(context.Background(), consumer.Record{
		Consumer: "billing", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Reason: envelope.ReasonExpired, UnverifiedID: "o-1",
	})
	if err != nil {
		log.Fatal(err)
	}
	slippedIn := dir + "/20260301T130000.000000000Z-00000000000000000000000000000000.json"
	if err := os.WriteFile(slippedIn, []byte(`{"consumer":"billing"}`), 0o600); err != nil {
		log.Fatal(err)
	}

	for e, err := range store.List(context.Background(), nil) {
		switch {
		case err != nil:
			log.Fatal(err)
		case e.Err != nil:
			fmt.Println("not authentic:", e.ID[:16])
		default:
			fmt.Printf("%s: %s, claims to be %q\n", e.Record.Consumer, e.Record.Reason, e.Record.UnverifiedID)
		}
	}
	// Output:
	// billing: expired, claims to be "o-1"
	// not authentic: 20260301T130000.
}
