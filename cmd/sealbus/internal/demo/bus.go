package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// demoBus is an event bus with one rule and one target, on an EventBridge inside the process. The client is
// the real one.
type demoBus struct {
	server    *localaws.Server
	client    *awseventbridge.Client
	delivered chan []byte
}

func newDemoBus(ctx context.Context) (*demoBus, error) {
	const region = "eu-west-1"
	server, err := localaws.Start(&localaws.Options{Account: demoAccount, Region: region})
	if err != nil {
		return nil, err
	}
	b := &demoBus{server: server, delivered: make(chan []byte, 1)}
	b.client = awseventbridge.New(awseventbridge.Options{
		Region: region, BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("demo", "demo", ""), // they are not checked
	})
	if err := b.build(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// build makes the bus, with a rule that sends everything to the target.
func (b *demoBus) build(ctx context.Context) error {
	name, rule := aws.String(demoAudience), aws.String("everything")
	target := types.Target{Id: aws.String("demo"), Arn: aws.String(b.server.Function("demo", b.receive))}
	_, err := b.client.CreateEventBus(ctx, &awseventbridge.CreateEventBusInput{Name: name})
	if err != nil {
		return fmt.Errorf("creating the bus: %w", err)
	}
	if _, err = b.client.PutRule(ctx, &awseventbridge.PutRuleInput{Name: rule, EventBusName: name,
		EventPattern: aws.String(`{"source":[{"prefix":"https://"}]}`)}); err != nil {
		return fmt.Errorf("putting the rule: %w", err)
	}
	if _, err = b.client.PutTargets(ctx, &awseventbridge.PutTargetsInput{Rule: rule, EventBusName: name,
		Targets: []types.Target{target}}); err != nil {
		return fmt.Errorf("putting the target: %w", err)
	}
	return nil
}

func (b *demoBus) receive(ctx context.Context, event []byte) error {
	select {
	case b.delivered <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take is the delivery of the one event that was published.
func (b *demoBus) take(ctx context.Context) ([]byte, error) {
	if err := b.server.Drain(ctx); err != nil {
		return nil, err
	}
	select {
	case delivery := <-b.delivered:
		return delivery, nil
	default:
		return nil, errors.New("the bus delivered nothing")
	}
}

func (b *demoBus) close() { _ = b.server.Close() } // it holds nothing
