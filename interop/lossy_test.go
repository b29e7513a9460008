package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awseventbridge "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/lossy"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/producer"
	"github.com/sealbus/sealbus/producer/eventbridge"
)

// lossyChain is a producer, a bus, a queue and a function behind it. The producer, the claims and the
// quarantine reach their services through proxies that lose one answer in twenty.
type lossyChain struct {
	*testing.T
	aws     *localaws.Server
	proxies []*lossy.Proxy
	signer  *keys.LocalSigner
	direct  *awseventbridge.Client // without a proxy
	queues  *awssqs.Client         // the same
	refused quarantine.Store       // the same: what is in the quarantine

	mu      sync.Mutex
	handled map[string]int // by event ID
}

const lossyQueue = "arn:aws:sqs:us-east-1:000000000000:billing"

// through makes a proxy in front of a server.
func (l *lossyChain) through(url string, phase int) *string {
	p := lossy.Start(l, url, phase)
	l.proxies = append(l.proxies, p)
	return &p.URL
}

func (l *lossyChain) must(errs ...error) {
	l.Helper()
	if err := errors.Join(errs...); err != nil {
		l.Fatal(err)
	}
}

func newLossyChain(t *testing.T, tables string, phase int) *lossyChain {
	l := &lossyChain{T: t, handled: make(map[string]int)}
	var err, err2 error
	l.aws, err = localaws.Start(nil)
	l.must(err)
	t.Cleanup(func() { l.must(l.aws.Close()) })
	l.signer, err = keys.GenerateSigner(keys.Ed25519, "orders")
	l.must(err)
	static := credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "example", "")
	wire := &http.Client{Transport: localaws.Transport{}}
	l.direct = awseventbridge.New(awseventbridge.Options{Region: "us-east-1", Credentials: static,
		BaseEndpoint: aws.String(l.aws.URL()), HTTPClient: wire})
	l.queues = awssqs.New(awssqs.Options{Region: "us-east-1", Credentials: static,
		BaseEndpoint: aws.String(l.aws.URL()), HTTPClient: wire})
	_, err = l.queues.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("billing"),
		Attributes: map[string]string{"VisibilityTimeout": "1"}})
	bin, err2 := l.queues.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("bin")})
	l.must(err, err2)

	claims := newDynamoStore(t, awsdynamodb.New(awsdynamodb.Options{
		Region: "us-east-1", Credentials: static, BaseEndpoint: l.through(tables, phase), HTTPClient: wire,
		Retryer: lossy.Retryer(),
	}), nil)
	quarantine, err := sqs.New(awssqs.New(l.queues.Options(), func(o *awssqs.Options) {
		o.BaseEndpoint, o.Retryer = l.through(l.aws.URL(), phase), lossy.Retryer()
	}), *bin.QueueUrl, quarantinetest.Keys("billing"), nil)
	l.refused, err2 = sqs.New(l.queues, *bin.QueueUrl, quarantinetest.Keys("billing"), nil)
	l.must(err, err2)
	bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
		Verifier: l.signer.Verifier(), Producer: "orders", Sources: []string{"https://orders.example/*"},
		Types: []string{"*"},
	})
	l.must(err)
	policy := &envelope.Policy{Sources: []string{"https://orders.example/*"}}
	c, err := consumer.New("billing", bundle, claims, policy, &consumer.Options{
		Quarantine: quarantine, Logger: slog.New(slog.DiscardHandler),
	})
	l.must(err)
	function := awslambda.SQS(c, func(_ context.Context, d consumer.Delivery[json.RawMessage]) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.handled[d.Event.ID()]++
		return nil
	}, nil)
	l.must(l.aws.MapQueue(lossyQueue, "billing", func(ctx context.Context, batch json.RawMessage) (any,
		error) {
		return function(ctx, batch)
	}, &localaws.Mapping{ReportBatchItemFailures: true, Concurrency: 2}))
	rule := aws.String("all")
	_, err = l.direct.PutRule(t.Context(), &awseventbridge.PutRuleInput{Name: rule,
		EventPattern: aws.String(`{"source":[{"prefix":"https://orders.example/"}]}`)})
	_, err2 = l.direct.PutTargets(t.Context(), &awseventbridge.PutTargetsInput{Rule: rule,
		Targets: []types.Target{{Id: rule, Arn: aws.String(lossyQueue)}}})
	l.must(err, err2)
	return l
}

func lossyOrder(id string) event.Event {
	ev := event.New()
	ev.SetID(id)
	ev.SetSource("https://orders.example/eu")
	ev.SetType("com.example.order.placed")
	_ = ev.SetData("application/json", map[string]int{"total": 1}) // it is JSON
	return ev
}

// forge puts an order on the bus whose total was changed after it was sealed.
func (l *lossyChain) forge(id string) {
	l.Helper()
	sealed, err := envelope.Seal(l.Context(), lossyOrder(id), l.signer, nil)
	l.must(err)
	entry, err := sealed.EventBridge(envelope.Structured)
	l.must(err)
	detail := bytes.Replace(entry.Detail, []byte(`"total":1`), []byte(`"total":0`), 1)
	_, err = l.direct.PutEvents(l.Context(),
		&awseventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
			Source: &entry.Source, DetailType: &entry.DetailType, Detail: aws.String(string(detail)),
		}}})
	l.must(err)
}

// TestLossyChain: with one answer in twenty lost on every way to AWS, after AWS has acted, each event is
// handled once, each forgery is in the quarantine, and the producer knows which events may be on the bus
// twice.
func TestLossyChain(t *testing.T) {
	server, _ := startTable(t)
	for _, phase := range []int{0, 7} {
		t.Run(fmt.Sprint(phase), func(t *testing.T) {
			const genuine, forgeries = 150, 30
			l := newLossyChain(t, "http://"+server.addr(), phase)
			bus, err := eventbridge.New(awseventbridge.New(l.direct.Options(),
				func(o *awseventbridge.Options) {
					o.BaseEndpoint = l.through(l.aws.URL(), phase)
				}), "default", nil)
			l.must(err)
			p, err := producer.New(keys.SignWith(l.signer), bus, nil)
			l.must(err)
			twice := 0
			for i := range genuine {
				results, err := p.Publish(t.Context(), lossyOrder(fmt.Sprintf("o-%d-%d", phase, i)))
				l.must(err)
				if results[0].MaybeTwice {
					twice++
				}
				if i%(genuine/forgeries) == 0 {
					l.forge(fmt.Sprintf("f-%d-%d", phase, i))
				}
			}
			l.must(l.aws.Drain(t.Context()), l.aws.DrainQueue(t.Context(), lossyQueue))
			for i := range genuine {
				if id := fmt.Sprintf("o-%d-%d", phase, i); l.handled[id] != 1 {
					t.Errorf("%s was handled %d times", id, l.handled[id])
				}
			}
			if len(l.handled) != genuine || twice == 0 {
				t.Errorf("%d events were handled, %d may be on the bus twice", len(l.handled), twice)
			}
			refused := 0 // a record that is in the queue twice is listed once
			for e, err := range l.refused.List(t.Context(), nil) {
				if refused++; err != nil || e.Record == nil || e.Record.Reason != envelope.ReasonModified {
					t.Errorf("%+v, %v", e, err)
				}
			}
			if refused != forgeries {
				t.Errorf("%d of %d forgeries are in the quarantine", refused, forgeries)
			}
			for i, p := range l.proxies {
				if p.Lost() == 0 {
					t.Errorf("proxy %d lost no answer: nothing is tested", i)
				}
			}
		})
	}
}
