// Command bootstrap is a consumer behind an SQS queue that verifies and does nothing else: the function that
// the tests of package awslambda start, and measure.
//
// With -tags lambda.norpc it is what one deploys: claims in memory. Without, the test is its replay store and
// its handler.
package main

import (
	"log"
	"os"
	"path/filepath"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

type order struct {
	Item string `json:"item"`
}

func main() {
	trust, err := openTrust(os.Getenv("LAMBDA_TASK_ROOT"))
	if err != nil {
		log.Fatal(err)
	}
	store, handle, err := connect()
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, store, policy, nil)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.SQS(c, handle, nil))
}

func openTrust(dir string) (*trust.Bundle, error) {
	pinned, err := os.ReadFile(filepath.Join(dir, "roots.json"))
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(pinned)
	if err != nil {
		return nil, err
	}
	signed, err := os.ReadFile(filepath.Join(dir, "bundle.dsse"))
	if err != nil {
		return nil, err
	}
	return trust.OpenBundle(signed, roots, nil)
}
