// Command worker is one consumer process of the chaos test: it polls a queue as a Lambda event source mapping
// does, hands the batches to the adapter for SQS, and deletes what the answer does not name. It is meant to
// be killed at any moment. It reports to standard output, each line in one write, so that a line is there
// whole or not at all:
//
//	effect KEY ID           the handler's effect
//	linger                  it will be a while before that is completed
//	end KEY OUTCOME REASON  a delivery that got as far as the handler has ended; "-" = no reason
//
// Its configuration is JSON on standard input, see config; when that ends, so does the process.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	goredis "github.com/redis/go-redis/v9"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	quarantine "github.com/sealbus/sealbus/consumer/quarantine/sqs"
	"github.com/sealbus/sealbus/consumer/replay"
	replaydynamodb "github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/redis"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/awskms"
	"github.com/sealbus/sealbus/keys/trust"
)

// config is what a worker is told. One of Redis and DynamoDB is set.
type config struct {
	Name          string
	AWS           string // URL of SQS
	Queue         string // URL
	Quarantine    string // URL
	QuarantineKey []byte
	Redis         string // host:port
	DynamoDB      string // URL
	Table         string
	Bundle, Roots string // files
	Sources       []string
	KMSKey        string          // ARN of the key that events of one producer are encrypted to
	Identity      string          // file with the private JWK that those of another one are
	Secret        map[string]bool // by source: whether the data must have been encrypted
	Audience      string
	Lease         time.Duration
	Pollers       int
	HandlerErrors float64 // the share of calls of the handler that fail before their effect
	Pauses        float64 // share of effects after which the handler lingers: the process is a good target
	Pause         time.Duration
	StoreFaults   float64 // the share of completions that the store refuses, twice
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var c config
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&c); err != nil {
		return err
	}
	w, err := newWorker(&c)
	if err != nil {
		return err
	}
	go func() { // standard input ends with the parent process
		_ = in.Decode(&c)
		os.Exit(1)
	}()
	fmt.Println("ready")
	var wg sync.WaitGroup
	for range c.Pollers {
		wg.Go(func() { w.poll(ctx) })
	}
	wg.Wait()
	return nil
}

// worker is one process's consumer.
type worker struct {
	*config
	queue  *sqs.Client
	invoke func(context.Context, json.RawMessage) (awslambda.SQSResponse, error)
}

func newWorker(c *config) (*worker, error) {
	w := &worker{config: c, queue: sqs.New(sqs.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(c.AWS),
		Credentials: credentials.NewStaticCredentialsProvider("worker", "worker", ""),
	})}
	trust, err := w.trust()
	if err != nil {
		return nil, err
	}
	store, err := w.store()
	if err != nil {
		return nil, err
	}
	authentic, err := consumer.NewQuarantineKeys(c.Name, c.QuarantineKey)
	if err != nil {
		return nil, err
	}
	bin, err := quarantine.New(w.queue, c.Quarantine, authentic, nil)
	if err != nil {
		return nil, err
	}
	decrypter, err := w.decrypter()
	if err != nil {
		return nil, err
	}
	policy := &envelope.Policy{Sources: c.Sources, Audience: c.Audience, Decrypter: decrypter}
	events, err := consumer.New(c.Name, trust, &faulty{store, c.StoreFaults}, policy, &consumer.Options{
		Lease: c.Lease, Quarantine: bin, Observer: ends{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	w.invoke = awslambda.SQS(events, w.handle, nil)
	return w, nil
}

func (w *worker) trust() (trust.Source, error) {
	doc, err := os.ReadFile(w.Roots)
	if err != nil {
		return nil, err
	}
	roots, err := trust.ParseRoots(doc)
	if err != nil {
		return nil, err
	}
	return trust.WatchFile(w.Bundle, roots, nil)
}

func (w *worker) decrypter() (*envelope.Decrypter, error) {
	doc, err := os.ReadFile(w.Identity)
	if err != nil {
		return nil, err
	}
	local, err := keys.ParseIdentityJWK(doc)
	if err != nil {
		return nil, err
	}
	client := kms.New(kms.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(w.AWS),
		Credentials: credentials.NewStaticCredentialsProvider("worker", "worker", ""),
	})
	remote, err := awskms.NewIdentity(client, w.KMSKey, nil)
	if err != nil {
		return nil, err
	}
	return envelope.NewDecrypter(envelope.DecryptWith{Identities: keys.OpenWith(local),
		Services: []keys.ServiceIdentity{remote}})
}

func (w *worker) store() (replay.Store, error) {
	if w.Redis != "" {
		return redis.New(goredis.NewClient(&goredis.Options{Addr: w.Redis}), nil)
	}
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(w.DynamoDB),
		Credentials: credentials.NewStaticCredentialsProvider("worker", "worker", ""),
	})
	return replaydynamodb.New(client, w.Table, nil)
}

// faulty is a store that refuses some completions, as one does that is down between effect and Complete.
type faulty struct {
	replay.Store
	share float64
}

func (f *faulty) Complete(ctx context.Context, claim replay.Claim, until time.Time) error {
	// Drawn by the claim's token, so that the second attempt fails as well.
	draw := rand.New(rand.NewPCG(binary.BigEndian.Uint64(claim.Token[:]), 0))
	if draw.Float64() < f.share {
		return errors.New("the store is down for this one")
	}
	return f.Store.Complete(ctx, claim, until)
}

func (w *worker) handle(_ context.Context, d consumer.Delivery[json.RawMessage]) error {
	if rand.Float64() < w.HandlerErrors {
		return errors.New("the handler failed before its effect")
	}
	if encrypted := d.Encryption != nil; encrypted != w.Secret[d.Event.Source()] ||
		!strings.Contains(string(d.Data), `"lines":[{"qty":2,"sku":"A/1"},{"qty":1,"sku":"B"}]`) {
		fmt.Fprintf(os.Stderr, "worker: encrypted %v, and the data is %s\n", encrypted, d.Data)
		os.Exit(1)
	}
	say("effect %s %s", d.IdempotencyKey, d.Event.ID())
	if rand.Float64() < w.Pauses {
		say("linger")
		time.Sleep(w.Pause)
	}
	return nil
}

// ends tells how deliveries ended.
type ends struct{}

func (ends) Delivered(_ context.Context, r consumer.Result) {
	if !r.Called {
		return
	}
	reason := r.Reason()
	if reason == "" {
		reason = "-"
	}
	say("end %s %s %s", r.IdempotencyKey, r.Outcome, reason)
}

// say writes a line at once: what was written stays written when the process is killed.
func say(format string, args ...any) {
	if _, err := os.Stdout.WriteString(fmt.Sprintf(format+"\n", args...)); err != nil {
		os.Exit(1) // the listener is gone
	}
}

// poll is what an event source mapping does with ReportBatchItemFailures, until ctx ends.
func (w *worker) poll(ctx context.Context) {
	for ctx.Err() == nil {
		out, err := w.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &w.Queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
			MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
		})
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if len(out.Messages) > 0 {
			w.batch(context.WithoutCancel(ctx), out.Messages) // what was begun is finished
		}
	}
}

func (w *worker) batch(ctx context.Context, messages []sqstypes.Message) {
	response, err := w.invoke(ctx, payload(messages))
	if err != nil {
		return // the whole batch comes again after the visibility timeout
	}
	failed := map[string]bool{}
	for _, f := range response.BatchItemFailures {
		failed[f.ItemIdentifier] = true
	}
	var done []sqstypes.DeleteMessageBatchRequestEntry
	for _, m := range messages {
		if !failed[*m.MessageId] {
			done = append(done, sqstypes.DeleteMessageBatchRequestEntry{Id: m.MessageId,
				ReceiptHandle: m.ReceiptHandle})
		}
	}
	if len(done) > 0 { // what is not deleted comes again, and is a duplicate
		_, _ = w.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &w.Queue,
			Entries: done})
	}
}

// payload is the event that Lambda makes of a batch.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func payload(messages []sqstypes.Message) json.RawMessage {
	type record struct {
		MessageID         string            `json:"messageId"`
		ReceiptHandle     string            `json:"receiptHandle"`
		Body              string            `json:"body"`
		Attributes        map[string]string `json:"attributes"`
		MessageAttributes map[string]any    `json:"messageAttributes"`
		MD5OfBody         string            `json:"md5OfBody"`
		EventSource       string            `json:"eventSource"`
		EventSourceARN    string            `json:"eventSourceARN"`
		AWSRegion         string            `json:"awsRegion"`
	}
	var batch struct{ Records []record }
	for _, m := range messages {
		batch.Records = append(batch.Records, record{
			MessageID: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Attributes: m.Attributes,
			MessageAttributes: map[string]any{}, MD5OfBody: *m.MD5OfBody, EventSource: "aws:sqs",
			EventSourceARN: "arn:aws:sqs:eu-west-1:000000000000:orders", AWSRegion: "eu-west-1",
		})
	}
	doc, err := json.Marshal(batch)
	if err != nil {
		panic(err) // strings, and maps of them
	}
	return doc
}
