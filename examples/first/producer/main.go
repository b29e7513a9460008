// Command producer seals one order, and writes to standard output what a bus would deliver of it.
// It is the producer of the README.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
)

func main() {
	// In production, the keyring has a passphrase, or package keys/awskms signs with a key in KMS.
	ring, err := keys.OpenKeyring("orders.keyring", "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
	if err != nil {
		log.Fatal(err)
	}
	bus := producer.NewLocalBus(nil) // on AWS: package producer/eventbridge
	bus.Subscribe(func(_ context.Context, delivery []byte) error {
		_, err := fmt.Printf("%s\n", delivery)
		return err
	})
	p, err := producer.New(ring, bus, &producer.Options{Audience: "central"})
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
		log.Fatal(err) // a *producer.PublishError says which events were not published, and why
	}
}
