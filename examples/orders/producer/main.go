// Command producer is a Lambda function that takes an order, seals it and puts it on the central bus.
//
//	aws lambda invoke --function-name NAME \
//	  --payload '{"order":"o-1","total":12.50,"currency":"EUR"}' answer.json
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"os"
	"path/filepath"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// The source and the type of this producer. The bus policy and the trust bundle allow the same.
const (
	source = "https://orders.example/eu"
	placed = "com.example.order.placed"
)

type order struct {
	Order    string      `json:"order"`
	Total    json.Number `json:"total"`
	Currency string      `json:"currency"`
}

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	var env setup.Environment
	central, secret := env.Text("CENTRAL_BUS"), env.Text("KEYRING_SECRET")
	if env.Err != nil {
		log.Fatal(env.Err)
	}
	ring, err := keyring(ctx, cfg, secret)
	if err != nil {
		log.Fatal(err)
	}
	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), central, nil)
	if err != nil {
		log.Fatal(err)
	}
	p, err := producer.New(ring, bus, &producer.Options{Audience: "central"})
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(publish(p))
}

// publish answers when the order is on the bus, and fails when it is not: the caller then tries again. The
// event has the ID of the order, so however often that is, each consumer handles one.
func publish(p *producer.Producer) func(ctx context.Context, o order) error {
	return func(ctx context.Context, o order) error {
		if o.Order == "" {
			return errors.New("an order needs an ID")
		}
		ev := event.New()
		ev.SetID(o.Order)
		ev.SetSource(source)
		ev.SetType(placed)
		if err := ev.SetData("application/json", o); err != nil {
			return err
		}
		_, err := p.Publish(ctx, ev) // a *producer.PublishError says what was not published, and why
		return err
	}
}

// keyring opens the keyring in the secret. It has no passphrase: producer.yaml says why. A keyring is read
// from a file, so for a moment it is in a file that no other user can read.
func keyring(ctx context.Context, cfg aws.Config, secret string) (*keys.Keyring, error) {
	content, err := setup.Secret(ctx, cfg, secret)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "keyring")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.keyring")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return nil, err
	}
	return keys.OpenKeyring(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
}
