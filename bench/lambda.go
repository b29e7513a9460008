package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

const batchSize = 10

// forgetful is a store that can be told to forget, so that a batch can be handled again.
type forgetful struct {
	atomic.Pointer[replay.Store]
}

func (s *forgetful) forget() {
	store := replay.NewMemory(&replay.MemoryOptions{Capacity: 1 << 10})
	s.Store(&store)
}

func (s *forgetful) Claim(ctx context.Context, key, digest [32]byte, until time.Time,
	lease time.Duration) (replay.Claim, replay.Status, error) {
	return (*s.Load()).Claim(ctx, key, digest, until, lease)
}

func (s *forgetful) Renew(ctx context.Context, claim replay.Claim, lease time.Duration) error {
	return (*s.Load()).Renew(ctx, claim, lease)
}

func (s *forgetful) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	return (*s.Load()).Complete(ctx, claim, until)
}

func (s *forgetful) Release(ctx context.Context, claim replay.Claim) error {
	return (*s.Load()).Release(ctx, claim)
}

// batches are what a Lambda function does with ten messages of a queue, from the JSON of the invocation to
// its response: each a sealed event as EventBridge delivers it, verified, claimed, handled, completed. Beside
// it are ten raw verifications.
func (f *fixture) batches(label func(string) string) []bench {
	payload := f.batch()
	raw := func() {
		for range batchSize {
			f.rawVerify()
		}
	}
	var list []bench
	for _, parallel := range []int{1, batchSize} {
		store := &forgetful{}
		policy := &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true}}
		c, err := consumer.New("bench", f.trust, store, policy, &consumer.Options{
			Logger: slog.New(slog.DiscardHandler),
		})
		must(err == nil)
		handled := new(atomic.Int64)
		function := awslambda.SQS(c, func(context.Context, consumer.Delivery[[]byte]) error {
			handled.Add(1)
			return nil
		}, &awslambda.Options{Parallel: parallel})
		list = append(list, bench{label(fmt.Sprintf("SQS batch of %d, %d at a time", batchSize, parallel)),
			-1, func() {
				store.forget()
				handled.Store(0)
				response, err := function(context.Background(), payload)
				must(err == nil && len(response.BatchItemFailures) == 0 && handled.Load() == batchSize)
			}, raw})
	}
	return list
}

func (f *fixture) batch() json.RawMessage {
	var records []map[string]any
	for i := range batchSize {
		ev := f.ev.Clone()
		ev.SetID(fmt.Sprintf("0b2f6c1e-8d6a-4a53-9c07-0c9d9f0a2d%02d", i))
		sealed, err := envelope.Seal(context.Background(), ev, f.signer, nil)
		must(err == nil)
		entry, err := sealed.EventBridge(envelope.Structured)
		must(err == nil)
		body := fmt.Sprintf(`{"version":"0","id":"%d","detail-type":%q,"source":%q,"account":"123456789012","time":"2026-01-01T00:00:00Z","region":"eu-central-1","resources":[],"detail":%s}`,
			i, entry.DetailType, entry.Source, entry.Detail)
		records = append(records, map[string]any{
			"messageId": fmt.Sprintf("059f36b4-87a3-44ab-83d2-6619758300%02d", i), "receiptHandle": "AQEB",
			"body": body,
			"attributes": map[string]string{"ApproximateReceiveCount": "1",
				"SentTimestamp": "1545082649183"},
			"messageAttributes": map[string]string{},
			"eventSource":       "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:events",
			"awsRegion": "eu-central-1",
		})
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	must(err == nil)
	return payload
}
