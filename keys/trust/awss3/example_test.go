package awss3_test

import (
	"context"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/awss3"
)

// A consumer whose trust bundle is an object in S3. The bundle is refreshed when it is used.
func ExampleFetchBundle() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	pinned, err := os.ReadFile("roots.json") // shipped with the program
	if err != nil {
		log.Fatal(err)
	}
	roots, err := trust.ParseRoots(pinned)
	if err != nil {
		log.Fatal(err)
	}
	trust, err := awss3.FetchBundle(ctx, s3.NewFromConfig(cfg), "acme-trust", "bundle.dsse", roots, nil)
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, replay.NewMemory(nil), policy, nil)
	if err != nil {
		log.Fatal(err)
	}
	_ = c // give its deliveries to c.Handle
}
