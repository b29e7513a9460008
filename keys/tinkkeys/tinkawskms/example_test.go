package tinkawskms_test

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/keys/tinkkeys"
	"github.com/sealbus/sealbus/keys/tinkkeys/tinkawskms"
	"github.com/sealbus/sealbus/producer"
)

// A producer whose keyset is a file that only a key of KMS decrypts. KMS is asked once, when the file is
// opened.
func ExampleKEK() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	kek, err := tinkawskms.KEK(ctx, kms.NewFromConfig(cfg),
		"arn:aws:kms:eu-central-1:111122223333:key/1234abcd")
	if err != nil {
		log.Fatal(err)
	}
	ring, err := tinkkeys.Open(ctx, "orders.tink.json", kek, tinkkeys.Producer("orders"))
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
