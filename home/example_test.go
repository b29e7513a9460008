package home_test

import (
	"context"
	"fmt"
	"os"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/producer"
)

// A producer and a consumer of one home, with a bus between them. `sealbus init` makes such a home.
func Example() {
	dir := exampleHome()
	defer os.RemoveAll(dir)

	bus := producer.NewLocalBus(nil) // on AWS: package producer/eventbridge
	p, err := home.Producer(dir, "orders", bus, nil)
	if err != nil {
		panic(err)
	}
	c, err := home.Consumer(dir, "billing", replay.NewMemory(nil), nil)
	if err != nil {
		panic(err)
	}

	bus.Subscribe(func(ctx context.Context, delivery []byte) error {
		_, err := c.Handle(ctx, consumer.Message{Body: delivery, Format: consumer.EventBridge},
			func(_ context.Context, d consumer.Delivery[[]byte]) error {
				fmt.Printf("%s says: %s\n", d.Producer, d.Data)
				return nil
			})
		return err
	})
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json", map[string]any{"total": 12.5})
	if _, err := p.Publish(context.Background(), ev); err != nil {
		panic(err)
	}
	// Output: orders says: {"total":12.5}
}
