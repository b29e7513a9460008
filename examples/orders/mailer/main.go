// Command mailer is a Lambda function that EventBridge invokes. It confirms each verified order.
package main

import (
	"context"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	replay "github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/examples/orders/setup"
)

type order struct {
	Order string `json:"order"`
}

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var env setup.Environment
	replayTable := env.Text("REPLAY_TABLE")
	if env.Err != nil {
		log.Fatal(env.Err)
	}
	store, err := replay.New(dynamodb.NewFromConfig(cfg), replayTable, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := setup.Consumer(ctx, cfg, "mailer", store)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.EventBridge(c, confirm, nil))
}

// confirm is where a mail would go out. Here the effect is a line in the log; a mail may go out twice if the
// process dies at the wrong moment, which does no harm.
func confirm(_ context.Context, d consumer.Delivery[order]) error {
	log.Printf("order %q: confirmed", d.Data.Order)
	return nil
}
