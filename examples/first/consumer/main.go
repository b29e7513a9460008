// Command consumer is a Lambda function that handles each verified order once. It is the consumer of the
// README.
package main

import (
	"context"
	"log"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/home"
)

type order struct {
	Order string  `json:"order"`
	Total float64 `json:"total"`
}

func main() {
	cfg, err := config.LoadDefaultConfig(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	claims, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg), "claims", nil) // which events were handled
	if err != nil {
		log.Fatal(err)
	}
	c, err := home.Consumer("", "billing", claims, nil)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.SQS(c, func(ctx context.Context, d consumer.Delivery[order]) error {
		log.Printf("%s says: order %s, %.2f", d.Producer, d.Data.Order, d.Data.Total)
		return nil // an error: the queue delivers the event again
	}, nil))
}
