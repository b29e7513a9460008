package awslambda_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

type Order struct {
	Item   string `json:"item"`
	Amount int    `json:"amount"`
}

// A function behind a queue, whose bundle and roots are files in its package.
func ExampleSQS() {
	must := func(err error) {
		if err != nil {
			slog.Error(err.Error())
			os.Exit(1)
		}
	}
	pinned, err := os.ReadFile("roots.json")
	must(err)
	roots, err := trust.ParseRoots(pinned)
	must(err)
	// Nothing outlives an instance that could remember the bundle: MinVersion refuses one that is older than
	// this program.
	source, err := trust.WatchFile("bundle.dsse", roots, &trust.Options{MinVersion: 1})
	must(err)
	store := replay.NewMemory(nil) // for one instance; replay/dynamodb or replay/redis for several
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", source, store, policy, nil)
	must(err)
	lambda.Start(awslambda.SQS(c, func(ctx context.Context, d consumer.Delivery[Order]) error {
		fmt.Println(d.Data.Amount, d.Data.Item, "from", d.Producer, "under", d.IdempotencyKey)
		return nil
	}, nil))
}
