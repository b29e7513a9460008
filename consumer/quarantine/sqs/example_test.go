package sqs_test

import (
	"context"
	"encoding/base64"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// A consumer that keeps rejected events in a queue.
func Example() {
	var trust trust.Source // trust.FetchBundle, trust.WatchFile...
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(os.Getenv("QUARANTINE_KEY")) // of `sealbus quarantine key new`
	if err != nil {
		log.Fatal(err)
	}
	url := "https://sqs.eu-west-1.amazonaws.com/111111111111/billing-quarantine"
	authentic, err := consumer.NewQuarantineKeys("billing", key)
	if err != nil {
		log.Fatal(err)
	}
	quarantine, err := sqs.New(awssqs.NewFromConfig(cfg), url, authentic, nil)
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, replay.NewMemory(nil), policy, &consumer.Options{
		Quarantine: quarantine,
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = c // give its deliveries to c.Handle, or to package awslambda
}
