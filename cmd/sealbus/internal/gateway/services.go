package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadclaims"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
	"github.com/sealbus/sealbus/webhook/gateway"
)

// retryFor is how long EventBridge is tried again: providers wait for about ten seconds.
const retryFor = 8 * time.Second

// openBus is EventBridge, or standard output.
func openBus(ctx context.Context, env *ui.Env, f *gatewayFlags) (producer.Bus, error) {
	if f.bus == "-" {
		return &printBus{env: env}, nil
	}
	cfg, err := awscli.Load(ctx, cmp.Or(f.Region, awscli.RegionOfARN(f.bus)))
	if err != nil {
		return nil, err
	}
	client := awseventbridge.NewFromConfig(cfg, func(o *awseventbridge.Options) {
		o.BaseEndpoint = awscli.EndpointFor(&f.AWSFlags, o.BaseEndpoint)
	})
	layout := envelope.Structured
	if f.layout.Value == "embedded" {
		layout = envelope.Embedded
	}
	bus, err := eventbridge.New(client, f.bus, &eventbridge.Options{Layout: layout, CheckBus: true,
		RetryFor: retryFor})
	if err != nil {
		return nil, ui.Usage("give the name or ARN of an event bus with --bus", "%w", err)
	}
	return bus, nil
}

// printBus writes each event as a line. An event that could not be written is not on the bus.
type printBus struct {
	env *ui.Env
	mu  sync.Mutex
}

// Send is the method of producer.Bus.
func (b *printBus) Send(_ context.Context, events []*envelope.Sealed) []producer.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	results := make([]producer.Result, len(events))
	for i, e := range events {
		results[i].Err = b.env.WriteOut(slices.Concat(e.JSON(), []byte("\n")))
	}
	return results
}

// openStore is where it is remembered which deliveries were handled.
func openStore(ctx context.Context, env *ui.Env, f *gatewayFlags) (replay.Store, func(), error) {
	nothing := func() {}
	switch {
	case f.redis != "":
		return loadclaims.Open(f.redis)
	case f.table == "":
		return replay.NewMemory(&replay.MemoryOptions{Now: env.Now}), nothing, nil
	}
	cfg, err := awscli.Load(ctx, f.Region)
	if err != nil {
		return nil, nothing, err
	}
	store, err := dynamodb.New(awsdynamodb.NewFromConfig(cfg, func(o *awsdynamodb.Options) {
		o.BaseEndpoint = awscli.EndpointFor(&f.AWSFlags, o.BaseEndpoint)
	}), f.table, nil)
	if err != nil {
		return nil, nothing, ui.Usage("give the name of a table with --table", "%w", err)
	}
	return store, nothing, nil
}

// awsError is an error of AWS in plain words.
type awsError struct{ error }

func (e awsError) Error() string { return errtext.AWS(e.error).Error() }
func (e awsError) Unwrap() error { return e.error }

// secrets fetch from AWS. Region and credentials are looked for when the first one is fetched.
func secrets(f *gatewayFlags) map[string]gateway.SecretFetch {
	return map[string]gateway.SecretFetch{
		"secretsmanager": func(ctx context.Context, name string) (string, error) {
			cfg, err := awscli.Load(ctx, cmp.Or(awscli.RegionOfARN(name), f.Region))
			if err != nil {
				return "", err
			}
			client := secretsmanager.NewFromConfig(cfg, func(o *secretsmanager.Options) {
				o.BaseEndpoint = awscli.EndpointFor(&f.AWSFlags, o.BaseEndpoint)
			})
			out, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
			if err != nil {
				return "", awsError{err}
			}
			return cmp.Or(aws.ToString(out.SecretString), string(out.SecretBinary)), nil
		},
		"ssm": func(ctx context.Context, name string) (string, error) {
			cfg, err := awscli.Load(ctx, cmp.Or(awscli.RegionOfARN(name), f.Region))
			if err != nil {
				return "", err
			}
			client := ssm.NewFromConfig(cfg, func(o *ssm.Options) {
				o.BaseEndpoint = awscli.EndpointFor(&f.AWSFlags, o.BaseEndpoint)
			})
			out, err := client.GetParameter(ctx, &ssm.GetParameterInput{Name: &name,
				WithDecryption: aws.Bool(true)})
			switch {
			case err != nil:
				return "", awsError{err}
			case out.Parameter == nil || out.Parameter.Type != types.ParameterTypeSecureString:
				return "", errors.New("the parameter is not a SecureString: others may have read it, " +
					"so change the secret")
			}
			return aws.ToString(out.Parameter.Value), nil
		},
	}
}
