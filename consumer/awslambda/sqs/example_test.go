package sqs_test

import (
	"context"
	"encoding/json"
	"log"

	"github.com/aws/aws-sdk-go-v2/config"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/sqs"
)

// A function that holds messages while trust is unavailable.
func Example() {
	var c *consumer.Consumer // consumer.New
	start := func(func(context.Context, json.RawMessage) (awslambda.SQSResponse, error)) {
		// lambda.Start of github.com/aws/aws-lambda-go
	}
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	hold, err := sqs.New(awssqs.NewFromConfig(cfg), "https://sqs.eu-west-1.amazonaws.com/111111111111/billing")
	if err != nil {
		log.Fatal(err)
	}
	handle := func(context.Context, consumer.Delivery[[]byte]) error { return nil }
	start(awslambda.SQS(c, handle, &awslambda.Options{Hold: hold}))
}
