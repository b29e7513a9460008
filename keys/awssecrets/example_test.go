package awssecrets_test

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/producer"
)

// A producer that picks up a new key within five minutes after it was stored, without a restart.
func ExampleKeyring() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fetch, err := awssecrets.Keyring(secretsmanager.NewFromConfig(cfg), "orders/keyring")
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keys.WatchKeyring(ctx, fetch, "", &keys.WatchOptions{InsecureNoPassphrase: true})
	if err != nil {
		log.Fatal(err)
	}
	var bus producer.Bus // of package producer/eventbridge
	p, err := producer.New(ring, bus, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = p // p.Publish(ctx, events...)
}
