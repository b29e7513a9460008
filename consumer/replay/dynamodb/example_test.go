package dynamodb_test

import (
	"context"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// A consumer in several processes, all of which remember in one table.
func Example() {
	var trust trust.Source // trust.WatchFile, trust.OpenBundle...
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	store, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg), "sealbus-replay", nil)
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, store, policy, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c // hand its deliveries to c.Handle
}
