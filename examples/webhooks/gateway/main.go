// Command gateway is a Lambda function behind a function URL. It verifies webhooks, seals each as an event
// and puts it on a bus. ../template.yaml has its endpoints.
package main

import (
	"context"
	"log"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	replay "github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/examples/orders/setup"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awssecrets"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/awslambda"
	"github.com/sealbus/sealbus/webhook/gateway"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	g, err := start(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(awslambda.Handler(g, awslambda.FunctionURL))
}

// start makes the gateway out of the environment that template.yaml gives it. Without its keys, or a secret
// of an endpoint, the function does not start.
func start(ctx context.Context, cfg aws.Config) (*following, error) {
	var env setup.Environment
	hooks, keyring, busName := env.Text("HOOKS"), env.Text("KEYRING_SECRET"), env.Text("BUS")
	table, audience := env.Text("REPLAY_TABLE"), env.Text("AUDIENCE")
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
	store, err := replay.New(dynamodb.NewFromConfig(cfg), table, nil)
	if err != nil {
		return nil, err
	}
	secret := func(ctx context.Context, id string) (string, error) {
		text, err := setup.Secret(ctx, cfg, id)
		return string(text), err
	}
	g, err := gateway.New(ctx, []byte(hooks), ring, bus, store, &gateway.Options{
		Secrets:  map[string]gateway.SecretFetch{"secretsmanager": secret},
		Producer: &producer.Options{Audience: audience},
	})
	if err != nil {
		return nil, err
	}
	return follow(g, []byte(hooks), time.Now), nil
}

const (
	refresh  = 5 * time.Minute // how long a secret still counts after it was replaced
	patience = 4 * time.Second // for all secrets: GitHub waits 10 s for the answer
)

// reloader is a *gateway.Gateway.
type reloader interface {
	awslambda.Receiver
	Reload(ctx context.Context, config []byte) error
}

// following is a gateway that fetches its secrets anew. Lambda keeps a process for hours, and a secret that
// leaked and was replaced must not count for as long. There is no timer, because Lambda freezes the process
// between two deliveries.
type following struct {
	gateway reloader
	hooks   []byte
	now     func() time.Time

	mu   sync.Mutex
	read time.Time // when the secrets were last fetched, or could not be
}

func follow(g reloader, hooks []byte, now func() time.Time) *following {
	return &following{gateway: g, hooks: hooks, now: now, read: now()}
}

// Receive takes a delivery, with secrets that are not older than refresh. If they cannot be fetched, those
// that are there go on to count: GitHub does not send a delivery again by itself.
func (f *following) Receive(ctx context.Context, r webhook.Request, at time.Time) webhook.Response {
	f.refresh(ctx)
	return f.gateway.Receive(ctx, r, at)
}

func (f *following) refresh(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if age := now.Sub(f.read); age >= 0 && age < refresh { // below 0 = the clock was set back
		return
	}
	f.read = now
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := f.gateway.Reload(ctx, f.hooks); err != nil {
		log.Printf("the secrets could not be fetched again, the old ones stay: %v", err)
	}
}
