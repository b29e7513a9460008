package setup

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// Producer makes the producer of a function out of the environment that ../../news/template.yaml gives it: a
// keyring in a secret, without a passphrase, and a bus. Without its keys the function does not start.
func Producer(ctx context.Context, cfg aws.Config) (*producer.Producer, error) {
	var env Environment
	keyring, busName, audience := env.Text("KEYRING_SECRET"), env.Text("BUS"), env.Text("AUDIENCE")
	if env.Err != nil {
		return nil, env.Err
	}
	fetch, err := awssecrets.Keyring(secretsmanager.NewFromConfig(cfg), keyring)
	if err != nil {
		return nil, err
	}
	ring, err := keys.WatchKeyring(ctx, fetch, "", &keys.WatchOptions{InsecureNoPassphrase: true})
	if err != nil {
		return nil, err
	}
	bus, err := eventbridge.New(awseventbridge.NewFromConfig(cfg), busName, nil)
	if err != nil {
		return nil, err
	}
	return producer.New(ring, bus, &producer.Options{Audience: audience})
}
