// Command opener is the enrichment of an EventBridge pipe between a queue of sealed events and a target that
// does not verify them, because there is no sealbus in its language. The target gets verified events only.
//
// A pipe hands its enrichment an array of SQS messages, passes on the array that it answers, which may be
// shorter, and calls no target for an empty one. If the enrichment fails, all messages of the array come
// again.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/pipes-enrichment.html
//
// So what can never pass goes to the quarantine and is left out, and what cannot be judged now fails the
// array: nothing is lost, and nothing unverified is passed on.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/examples/orders/setup"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	c, err := setup.Consumer(ctx, cfg, "opener", forgetful{})
	if err != nil {
		log.Fatal(err)
	}
	lambda.Start(open(c))
}

// Verified is what the target gets: the event as it was sealed, without the signature, and what is known of
// it.
type Verified struct {
	Event    event.Event `json:"event"` // in the CloudEvents JSON format
	Producer string      `json:"producer"`
	SignedAt time.Time   `json:"signed_at"`
	// IdempotencyKey is the same each time the event comes, and it may come more than once: see forgetful.
	IdempotencyKey string `json:"idempotency_key"`
}

// open answers the verified events of an array of SQS messages, in their order.
func open(c *consumer.Consumer) func(ctx context.Context, messages json.RawMessage) ([]Verified, error) {
	return func(ctx context.Context, messages json.RawMessage) ([]Verified, error) {
		passed := []Verified{} // an answer of null is not documented as empty
		take := func(_ context.Context, d consumer.Delivery[[]byte]) error {
			passed = append(passed, Verified{d.Event, d.Producer, d.SignedAt, d.IdempotencyKey})
			return nil
		}
		// The array is what Lambda calls Records when it reads a queue itself. One after the other, so that the
		// order stays.
		batch := slices.Concat([]byte(`{"Records":`), messages, []byte(`}`))
		answer, err := awslambda.SQS(c, take, &awslambda.Options{Parallel: 1})(ctx, batch)
		if err != nil {
			return nil, err
		}
		if n := len(answer.BatchItemFailures); n > 0 {
			return nil,
				fmt.Errorf("%d messages cannot be judged now, all are to come again: the log says why", n)
		}
		return passed, nil
	}
}

// forgetful is a replay store that remembers nothing. The opener does not know whether the target ever got an
// event. Suppose that it remembered an event as handled and that the pipe then failed to deliver it. The
// event would come again, be taken for a duplicate, and be lost. So an event may pass more than once while it
// is fresh, also when an attacker replays it. The target must have its effect once for each IdempotencyKey.
type forgetful struct{}

var _ replay.Store = forgetful{}

func (forgetful) Claim(_ context.Context, key, _ [32]byte, _ time.Time,
	_ time.Duration) (replay.Claim, replay.Status, error) {
	return replay.Claim{Key: key}, replay.New, nil
}

func (forgetful) Renew(context.Context, replay.Claim, time.Duration) error { return nil }

func (forgetful) Complete(context.Context, replay.Claim, time.Time) error { return nil }

func (forgetful) Release(context.Context, replay.Claim) error { return nil }
