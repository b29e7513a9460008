package s3_test

import (
	"context"
	"encoding/base64"
	"log"
	"os"

	"github.com/aws/aws-sdk-go-v2/config"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine/s3"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// A consumer that keeps rejected events in a bucket.
func Example() {
	var trust trust.Source // trust.FetchBundle, trust.WatchFile...
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(os.Getenv("QUARANTINE_KEY")) // of `sealbus quarantine key new`
	if err != nil {
		log.Fatal(err)
	}
	authentic, err := consumer.NewQuarantineKeys("billing", key)
	if err != nil {
		log.Fatal(err)
	}
	quarantine, err := s3.New(awss3.NewFromConfig(cfg), "acme-quarantine", authentic,
		&s3.Options{Prefix: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", trust, replay.NewMemory(nil), policy, &consumer.Options{
		Quarantine: quarantine,
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = c // give its deliveries to c.Handle, or to package awslambda
}

// An operator reads the bucket. A record that the keys do not authenticate has e.Err, and is shown as such.
func ExampleStore_List() {
	var authentic consumer.QuarantineKeys // the consumer's
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	store, err := s3.New(awss3.NewFromConfig(cfg), "acme-quarantine", authentic,
		&s3.Options{Prefix: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	for e, err := range store.List(ctx, nil) {
		if err != nil {
			log.Fatal(err)
		}
		if e.Err != nil {
			log.Printf("%s is not authentic: %v", e.ID, e.Err)
			continue
		}
		log.Printf("%s: %s at %s", e.ID, e.Record.Reason, e.Record.At)
	}
}
