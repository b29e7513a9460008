package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// An event was refused while its type was missing in the consumer's list, and is in quarantine. When the list
// was corrected, the event has become too old, and is reopened under a permission.
func ExampleQuarantineKeys() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders",
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"},
	})
	if err != nil {
		panic(err)
	}
	sealed, err := envelope.Seal(context.Background(), placed("1"), signer, &envelope.SealOptions{Now: clock})
	if err != nil {
		panic(err)
	}

	key := bytes.Repeat([]byte("a secret"), 4) // from where secrets are kept
	authentic, err := consumer.NewQuarantineKeys("billing-refused", key)
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "quarantine")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	refused, err := quarantine.NewDir(dir, authentic)
	if err != nil {
		panic(err)
	}
	policy := &envelope.Policy{
		Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.invoice.*"}, Now: clock,
	}
	opts := &consumer.Options{Quarantine: refused, Logger: slog.New(slog.DiscardHandler)}
	deliver := func(msg consumer.Message) {
		c, err := consumer.New("billing", bundle, replay.NewMemory(nil), policy, opts)
		if err != nil {
			panic(err)
		}
		handle := func(_ context.Context, d consumer.Delivery[[]byte]) error {
			fmt.Printf("handled %s under %q\n", d.Event.ID(), d.Permission)
			return nil
		}
		result, err := c.Handle(context.Background(), msg, handle)
		fmt.Println(result.Outcome, result.Reason(), err)
	}
	deliver(consumer.Message{Body: sealed.JSON()})
	var kept []byte // what `sealbus quarantine reopen` sends
	for e, err := range refused.List(context.Background(), nil) {
		if err != nil {
			panic(err)
		}
		kept = e.Document
	}

	now = now.Add(30 * 24 * time.Hour)
	policy.Types = []string{"com.example.invoice.*", "com.example.order.*"}
	deliver(consumer.Message{Body: kept, Format: consumer.QuarantineRecord})

	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	opts.Permissions = []consumer.Permission{{
		ID: "orders of March 1st", Quarantine: authentic.Name(),
		From: day, To: day.Add(24 * time.Hour), Until: now.Add(time.Hour),
	}}
	deliver(consumer.Message{Body: kept, Format: consumer.QuarantineRecord})
	// Output:
	// quarantined type_not_allowed <nil>
	// quarantined expired <nil>
	// handled 1 under "orders of March 1st"
	// handled  <nil>
}
