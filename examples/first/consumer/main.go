// Command consumer is a Lambda function that handles each verified order once. It is the consumer of the
// README.
package main

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/home"
)

type order struct {
	Order string  `json:"order"`
	Total float64 `json:"total"`
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func main() {
	cfg := must(config.LoadDefaultConfig(context.Background()))
	claims := must(dynamodb.New(awsdynamodb.NewFromConfig(cfg), "claims", nil)) // which events were handled
	keys := must(home.QuarantineKeys("", "billing"))                            // of records of refused events
	refused := must(sqs.New(awssqs.NewFromConfig(cfg), os.Getenv(home.QuarantineVariable), keys, nil))
	c := must(home.Consumer("", "billing", claims, &consumer.Options{Quarantine: refused}))
	lambda.Start(awslambda.SQS(c, func(ctx context.Context, d consumer.Delivery[order]) error {
		log.Printf("%s says: order %s, %.2f", d.Producer, d.Data.Order, d.Data.Total)
		return nil // an error: the queue delivers the event again
	}, nil))
}
