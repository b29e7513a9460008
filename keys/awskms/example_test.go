package awskms_test

import (
	"context"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/session"
	"github.com/sealbus/sealbus/producer"
)

// A producer whose long-term key never leaves KMS. KMS vouches for a session key once an hour; the session
// key signs the events, so that no event waits for a call of KMS.
func ExampleNewSigner() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	root, err := awskms.NewSigner(ctx, kms.NewFromConfig(cfg), "alias/orders-signing", "orders", nil)
	if err != nil {
		log.Fatal(err)
	}
	scope := session.Scope{Sources: []string{"https://orders.example/*"},
		Types: []string{"com.example.order.*"}}
	ring, err := session.Delegate(ctx, root, scope, time.Hour, nil)
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

// A consumer that decrypts with a symmetric key of KMS, one call for each content key.
func ExampleNewIdentity() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	identity, err := awskms.NewIdentity(kms.NewFromConfig(cfg),
		"arn:aws:kms:eu-central-1:111122223333:key/1234abcd", nil)
	if err != nil {
		log.Fatal(err)
	}
	decrypter, err := envelope.NewDecrypter(envelope.DecryptWith{Services: []keys.ServiceIdentity{identity}})
	if err != nil {
		log.Fatal(err)
	}
	_ = decrypter // envelope.Policy.Decrypter
}
