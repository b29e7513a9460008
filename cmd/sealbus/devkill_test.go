package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	eventtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// TestDevLosesNothingThatItAcknowledged publishes from several clients to a `sealbus dev --dir` that is
// killed again and again. One queue is read and deleted from meanwhile, another one only at the end. Each
// event that was acknowledged is in both, and no message that was deleted comes back.
//
// SEALBUS_KILLS is the number of kills, with 5,000 events for each. Without it there are 3, with 2,000 events
// together. The full figure is 20 kills and 100,000 events, which may take longer than the usual time limit:
//
//	SEALBUS_KILLS=20 go test -timeout 60m -v -run TestDevLosesNothing ./cmd/sealbus
func TestDevLosesNothingThatItAcknowledged(t *testing.T) {
	events, kills := int64(2_000), 3
	if text := os.Getenv("SEALBUS_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("SEALBUS_KILLS=%s: it is a number of kills", text)
		}
		events, kills = int64(n)*5_000, n
	}
	began := time.Now()
	w := &killWorld{t: t, dir: t.TempDir(), deleted: map[string]int{}}
	w.start()
	w.build()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var publishers, readers sync.WaitGroup
	for i := range 8 {
		publishers.Go(func() { w.publish(ctx, i) })
	}
	drained := &killQueue{w: w, name: "drained", got: map[string]bool{}}
	for range 2 {
		readers.Go(func() { drained.read(ctx) })
	}
	for k := range kills {
		w.reach(events * int64(k+1) / int64(kills+1))
		w.kill()
		w.start()
	}
	w.reach(events)
	stop()
	publishers.Wait()
	readers.Wait()

	published := time.Since(began)
	left := &killQueue{w: w, name: "left", got: map[string]bool{}}
	left.empty()
	drained.empty()
	if code, err := w.dev.end(syscall.SIGTERM); code != 0 || err != nil {
		t.Errorf("at the end: exit %d, %v", code, err)
	}
	for _, q := range []*killQueue{left, drained} {
		missing := 0
		w.acknowledged.Range(func(id, _ any) bool {
			if !q.got[id.(string)] {
				if missing++; missing <= 3 {
					t.Errorf("%s was acknowledged, and is not in the queue %s", id, q.name)
				}
			}
			return true
		})
		if missing > 0 {
			t.Errorf("%d of %d are lost to the queue %s", missing, w.count.Load(), q.name)
		}
	}
	t.Logf("%d events acknowledged, %d kills, %d messages deleted: %.1f s to publish, %.1f s in all",
		w.count.Load(), kills, len(w.deleted), published.Seconds(), time.Since(began).Seconds())
}

// killWorld is a server that is killed, and what it acknowledged.
type killWorld struct {
	t   *testing.T
	dir string
	dev *background
	url atomic.Pointer[string]

	acknowledged sync.Map // IDs of events
	count        atomic.Int64

	mu      sync.Mutex
	deleted map[string]int // message IDs, to the place in the order of deletions
}

var devAddress = regexp.MustCompile(`"endpoint":"(http://127\.0\.0\.1:\d+)"`)

// start starts the server and waits until it serves.
func (w *killWorld) start() {
	w.t.Helper()
	dev, err := startBackground(w.t.TempDir(), append(os.Environ(), "SEALBUS_HOME="), "sealbus", "dev",
		"--port", "0",
		"--dir", w.dir, "--output", "json")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = dev.cmd.Process.Kill() // it may have ended
		<-dev.ended
	})
	groups, err := dev.await(devAddress)
	if err != nil {
		w.t.Fatal(err)
	}
	w.dev = dev
	w.url.Store(&groups[1])
}

func (w *killWorld) kill() {
	w.t.Helper()
	if code, err := w.dev.end(os.Kill); code != -1 || err != nil {
		w.t.Fatalf("killed: exit %d, %v\n%s", code, err, w.dev.all())
	}
}

// reach waits until so many events are acknowledged.
func (w *killWorld) reach(n int64) {
	w.t.Helper()
	for w.count.Load() < n {
		select {
		case <-w.dev.ended:
			w.t.Fatalf("it ended by itself:\n%s", w.dev.all())
		case <-time.After(time.Millisecond):
		}
	}
}

// config is for a client that tries once, at the server as it is now.
func (w *killWorld) config() aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: w.url.Load(), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("dev", "dev", ""),
		HTTPClient:  &http.Client{Transport: localaws.Transport{}, Timeout: 30 * time.Second}}
}

// killVisibility is how long a message that was received is hidden, in seconds: longer than a batch takes.
const killVisibility = 8

// build makes two queues that get every event.
func (w *killWorld) build() {
	w.t.Helper()
	ctx, rule := w.t.Context(), aws.String("all")
	events := eventbridge.NewFromConfig(w.config())
	_, err := events.PutRule(ctx, &eventbridge.PutRuleInput{Name: rule, EventBusName: aws.String("central"),
		EventPattern: aws.String(`{"source":["kill.test"]}`)})
	for _, name := range []string{"left", "drained"} {
		if err == nil {
			_, err = sqs.NewFromConfig(w.config()).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name,
				Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(killVisibility)}})
		}
		if err == nil {
			_, err = events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: rule,
				EventBusName: aws.String("central"),
				Targets: []eventtypes.Target{{Id: &name,
					Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:" + name)}}})
		}
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// publish publishes until ctx ends, and notes what was acknowledged.
func (w *killWorld) publish(ctx context.Context, publisher int) {
	for call := 0; ctx.Err() == nil; call++ {
		in := &eventbridge.PutEventsInput{}
		ids := make([]string, 10)
		for i := range ids {
			ids[i] = fmt.Sprintf("%d-%d-%d", publisher, call, i)
			in.Entries = append(in.Entries,
				eventtypes.PutEventsRequestEntry{EventBusName: aws.String("central"),
					Source: aws.String("kill.test"), DetailType: aws.String("t"), Detail: aws.String(`{"n":"` +
						ids[i] + `"}`)})
		}
		out, err := eventbridge.NewFromConfig(w.config()).PutEvents(ctx, in)
		if err != nil {
			w.pause(ctx)
			continue // it is not known what became of them, and nothing was promised
		}
		for i, e := range out.Entries {
			if e.ErrorCode == nil {
				w.acknowledged.Store(ids[i], true)
				w.count.Add(1)
			}
		}
	}
}

// pause lets a server that was killed come back.
func (w *killWorld) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
}

// killQueue is a queue, and the IDs of the events that came out of it.
type killQueue struct {
	w    *killWorld
	name string
	got  map[string]bool // under w.mu
}

// read receives and deletes until ctx ends.
func (q *killQueue) read(ctx context.Context) {
	for ctx.Err() == nil {
		if _, err := q.batch(ctx); err != nil {
			q.w.pause(ctx)
		}
	}
}

// empty reads until nothing is left, also of what was in flight at a kill.
func (q *killQueue) empty() {
	q.w.t.Helper()
	var readers sync.WaitGroup
	ctx, stop := context.WithTimeout(q.w.t.Context(), 10*time.Minute)
	defer stop()
	for range 4 {
		readers.Go(func() {
			for {
				n, err := q.batch(ctx)
				if err != nil {
					q.w.t.Errorf("reading %s: %v", q.name, err)
					return
				}
				if n == 0 && q.left(ctx) == "0+0" {
					return
				}
			}
		})
	}
	readers.Wait()
}

func (q *killQueue) url() *string { return aws.String(*q.w.url.Load() + "/000000000000/" + q.name) }

func (q *killQueue) left(ctx context.Context) string {
	out, err := sqs.NewFromConfig(q.w.config()).GetQueueAttributes(ctx,
		&sqs.GetQueueAttributesInput{QueueUrl: q.url(),
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		q.w.t.Errorf("looking at %s: %v", q.name, err)
		return "0+0"
	}
	return out.Attributes["ApproximateNumberOfMessages"] + "+" +
		out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}

// batch receives up to ten messages and deletes them.
func (q *killQueue) batch(ctx context.Context) (n int, err error) {
	w, client := q.w, sqs.NewFromConfig(q.w.config())
	w.mu.Lock()
	before, began := len(w.deleted), time.Now()
	w.mu.Unlock()
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: q.url(),
		MaxNumberOfMessages: 10,
		WaitTimeSeconds:     1})
	if err != nil || len(out.Messages) == 0 {
		return 0, err
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: q.url()}
	w.mu.Lock()
	for i, m := range out.Messages {
		if order, gone := w.deleted[*m.MessageId]; gone && order < before {
			w.t.Errorf("message %s was deleted, and came again", *m.MessageId)
		}
		var e struct{ Detail struct{ N string } }
		if json.Unmarshal([]byte(*m.Body), &e) != nil || e.Detail.N == "" {
			w.t.Errorf("the body is %s", *m.Body)
		}
		q.got[e.Detail.N] = true
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)),
			ReceiptHandle: m.ReceiptHandle})
	}
	w.mu.Unlock()
	gone, err := client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return len(out.Messages), err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(began) > killVisibility*time.Second/2 {
		return len(out.Messages), nil // another one may have received them since: then this deleted nothing
	}
	for _, e := range gone.Successful {
		i, _ := strconv.Atoi(*e.Id) // our own
		w.deleted[*out.Messages[i].MessageId] = len(w.deleted)
	}
	return len(out.Messages), nil
}
