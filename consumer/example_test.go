package consumer_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

type Order struct {
	Item   string `json:"item"`
	Amount int    `json:"amount"`
}

// printing is a Quarantine that prints the Reason, and keeps nothing.
type printing struct{}

func (printing) Put(_ context.Context, r consumer.Record) error {
	fmt.Println("quarantine:", r.Reason)
	return nil
}

func (printing) Keys() consumer.QuarantineKeys { return consumer.QuarantineKeys{} }

func Example() {
	// A producer and the holders of the root keys do this elsewhere.
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	bundle, err := trust.NewBundle(trust.BundleOptions{Expires: time.Now().Add(24 * time.Hour)}, &trust.Key{
		Verifier: signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"},
	})
	if err != nil {
		panic(err)
	}
	ev := event.New()
	ev.SetID("1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", Order{"pen", 12}); err != nil {
		panic(err)
	}
	sealed, err := envelope.Seal(context.Background(), ev, signer, nil)
	if err != nil {
		panic(err)
	}

	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", bundle, replay.NewMemory(nil), policy, &consumer.Options{
		Quarantine: printing{}, // package quarantine has some that keep what they get
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	handler := consumer.Typed(func(_ context.Context, d consumer.Delivery[Order]) error {
		fmt.Println("handled:", d.Data.Amount, d.Data.Item, "from", d.Producer)
		return nil
	})
	for _, body := range [][]byte{sealed.JSON(), sealed.JSON(), []byte(`{"forged":true}`)} {
		result, err := c.Handle(context.Background(), consumer.Message{Body: body}, handler)
		fmt.Println(result.Outcome, err)
	}
	// Output:
	// handled: 12 pen from orders
	// handled <nil>
	// duplicate <nil>
	// quarantine: malformed
	// quarantined <nil>
}
