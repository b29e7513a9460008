package consumer_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// What was refused while a type was missing in the consumer's list is in quarantine. When the list was
// corrected, the event has become too old, and is reopened under a permission.
func ExampleReopen() {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	trust, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.*"},
	})
	if err != nil {
		panic(err)
	}
	sealed, err := envelope.Seal(context.Background(), placed("1"), signer, &envelope.SealOptions{Now: clock})
	if err != nil {
		panic(err)
	}

	key := bytes.Repeat([]byte("a secret"), 4) // from where secrets are kept
	var kept []byte
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}, Types: []string{"com.example.invoice.*"}, Now: clock}
	opts := &consumer.Options{
		Quarantine: consumer.QuarantineFunc(func(_ context.Context, r consumer.Record) (err error) {
			kept, err = consumer.MarshalRecord(r, key)
			return err
		}),
		QuarantineName: "billing-refused", Logger: slog.New(slog.DiscardHandler),
	}
	deliver := func(msg consumer.Message) {
		c, err := consumer.New("billing", trust, replay.NewMemory(nil), policy, opts)
		if err != nil {
			panic(err)
		}
		result, err := c.Handle(context.Background(), msg, func(_ context.Context, d consumer.Delivery[[]byte]) error {
			fmt.Printf("handled %s under %q\n", d.Event.ID(), d.Permission)
			return nil
		})
		fmt.Println(result.Outcome, result.Reason(), err)
	}
	deliver(consumer.Message{Body: sealed.JSON()})

	now = now.Add(30 * 24 * time.Hour)
	policy.Types = []string{"com.example.invoice.*", "com.example.order.*"}
	opts.Reopen = []consumer.Reopen{{Quarantine: "billing-refused", Key: key}}
	deliver(consumer.Message{Body: kept, Format: consumer.QuarantineRecord})

	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	opts.Permissions = []consumer.Permission{{
		ID: "orders of March 1st", Quarantine: "billing-refused", From: day, To: day.Add(24 * time.Hour), Until: now.Add(time.Hour),
	}}
	deliver(consumer.Message{Body: kept, Format: consumer.QuarantineRecord})
	// Output:
	// quarantined type_not_allowed <nil>
	// quarantined expired <nil>
	// handled 1 under "orders of March 1st"
	// handled  <nil>
}
