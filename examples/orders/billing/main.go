// Command billing is a Lambda function behind an SQS queue. It charges each verified order once.
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

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var env setup.Environment
	replayTable, ledgerTable := env.Text("REPLAY_TABLE"), env.Text("LEDGER_TABLE")
	if env.Err != nil {
		log.Fatal(env.Err)
	}
	tables := dynamodb.NewFromConfig(cfg)
	store, err := replay.New(tables, replayTable, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := setup.Consumer(ctx, cfg, "billing", store)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.SQS(c, charge(&table{tables, ledgerTable}), nil))
}

// charge handles a verified order. An error has it delivered again.
func charge(l ledger) func(ctx context.Context, d consumer.Delivery[order]) error {
	return func(ctx context.Context, d consumer.Delivery[order]) error {
		charged, err := l.charge(ctx, d.IdempotencyKey, d.Data)
		if err != nil {
			return err
		}
		// %q: what a producer writes is one line of the log, and no metrics of its own
		log.Printf("order %q of %s: %s %q, charged now: %t", d.Data.Order, d.Producer, d.Data.Total,
			d.Data.Currency, charged)
		return nil
	}
}
