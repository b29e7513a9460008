package producer_test

import (
	"context"
	"fmt"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
)

func Example() {
	signer, err := keys.GenerateSigner(keys.Ed25519, "orders")
	if err != nil {
		panic(err)
	}
	bus := producer.NewLocalBus(nil)
	bus.Subscribe(func(_ context.Context, delivery []byte) error {
		fmt.Println("delivered", len(delivery) > 0)
		return nil
	})
	p, err := producer.New(keys.SignWith(signer), bus, &producer.Options{Audience: "central"})
	if err != nil {
		panic(err)
	}
	results, err := p.Publish(context.Background(), placed("1"), placed("2"))
	for _, r := range results {
		fmt.Println(r.ID, r.Err)
	}
	fmt.Println(err)
	// Output:
	// delivered true
	// delivered true
	// 1 <nil>
	// 2 <nil>
	// <nil>
}
