// Command billing is a consumer in a Lambda function, for the test of `sealbus dev --function`.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/home"
)

func main() {
	c, err := home.Consumer("", "billing", replay.NewMemory(nil), nil)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.SQS(c, func(_ context.Context, d consumer.Delivery[[]byte]) error {
		fmt.Println("order", d.Event.ID(), "in process", os.Getpid(), "with", os.Getenv("AWS_ENDPOINT_URL"))
		if d.Event.ID() == "o-2" {
			return errors.New("no stock")
		}
		return nil
	}, nil))
}
