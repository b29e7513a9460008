// Command pushes is a Lambda function that EventBridge invokes. It handles each verified push to GitHub once.
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

// push is the part of a push that this function needs.
// https://docs.github.com/webhooks/webhook-events-and-payloads#push
type push struct {
	Ref        string `json:"ref"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
}

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var env setup.Environment
	table := env.Text("REPLAY_TABLE")
	if env.Err != nil {
		log.Fatal(env.Err)
	}
	store, err := replay.New(dynamodb.NewFromConfig(cfg), table, nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := setup.Consumer(ctx, cfg, "pushes", store)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.EventBridge(c, handle, nil))
}

// handle is where a build would begin. Here the effect is a line in the log. %q: the text of a payload is one
// line of it.
func handle(_ context.Context, d consumer.Delivery[push]) error {
	log.Printf("push to %q of %q, vouched for by %s", d.Data.Ref, d.Data.Repository.FullName, d.Producer)
	return nil
}
