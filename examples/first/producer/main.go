// Command producer seals one order and puts it on the bus. It is the producer of the README.
package main

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/home"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background()) // on a laptop, `sealbus dev` is AWS
	if err != nil {
		log.Fatal(err)
	}
	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), "central", nil)
	if err != nil {
		log.Fatal(err)
	}
	p, err := home.Producer("", "orders", bus, nil) // the keyring and the trust that `sealbus init` made
	if err != nil {
		log.Fatal(err)
	}
	ev := event.New()
	ev.SetID("o-1")
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	if err := ev.SetData("application/json", map[string]any{"order": "o-1", "total": 12.5}); err != nil {
		log.Fatal(err)
	}
	if _, err := p.Publish(context.Background(), ev); err != nil {
		log.Fatal(err) // a *producer.PublishError says which events are not on the bus, and why
	}
}
