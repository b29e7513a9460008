package localaws_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// failing counts its calls.
func failing(calls *int) func(context.Context, []byte) error {
	return func(context.Context, []byte) error {
		*calls++
		return errors.New("failed")
	}
}

// consumerOf is a function that does with each batch what the next of its steps says, and takes all once
// there is none.
type consumerOf struct {
	mu    sync.Mutex
	steps []func(ctx context.Context, batch events.SQSEvent) (any, error)
	log   []string
	done  chan struct{} // gets a value after each step
}

func (c *consumerOf) handle(ctx context.Context, event json.RawMessage) (any, error) {
	var batch events.SQSEvent
	if err := json.Unmarshal(event, &batch); err != nil {
		return nil, err
	}
	var names []string
	for _, m := range batch.Records {
		names = append(names, m.Body+"#"+m.Attributes["ApproximateReceiveCount"])
	}
	c.mu.Lock()
	c.log = append(c.log, strings.Join(names, " "))
	step := func(context.Context, events.SQSEvent) (any, error) { return nil, nil }
	if len(c.steps) > 0 {
		step, c.steps = c.steps[0], c.steps[1:]
	}
	c.mu.Unlock()
	defer func() { c.done <- struct{}{} }()
	return step(ctx, batch)
}

func reports(bodies ...string) func(context.Context, events.SQSEvent) (any, error) {
	return func(_ context.Context, batch events.SQSEvent) (any, error) {
		var r events.SQSEventResponse
		for _, m := range batch.Records {
			if slices.Contains(bodies, m.Body) {
				r.BatchItemFailures = append(r.BatchItemFailures,
					events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
			}
		}
		return r, nil
	}
}

func answers(response any, err error) func(context.Context, events.SQSEvent) (any, error) {
	return func(context.Context, events.SQSEvent) (any, error) { return response, err }
}

// TestMappingRetriesWhatFailed: which messages come again, after what a function did with the batch of a, b
// and c.
func TestMappingRetriesWhatFailed(t *testing.T) {
	unknown := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: "unknown"}}}
	empty := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{}}}
	all := "a#2 b#2 c#2"
	for name, c := range map[string]struct {
		step    func(context.Context, events.SQSEvent) (any, error)
		mapping localaws.Mapping
		again   string
	}{
		"taken":    {step: answers(nil, nil)},
		"an error": {step: answers(nil, errors.New("failed")), again: all},
		"a panic": {step: func(context.Context, events.SQSEvent) (any, error) { panic("a bug") },
			again: all},
		"nobody reads it": {step: reports("b")},
		"one failed": {step: reports("b"), mapping: localaws.Mapping{ReportBatchItemFailures: true},
			again: "b#2"},
		"all failed": {step: reports("a", "b", "c"),
			mapping: localaws.Mapping{ReportBatchItemFailures: true}, again: all},
		"none failed": {step: reports(), mapping: localaws.Mapping{ReportBatchItemFailures: true}},
		"no response": {step: answers(nil, nil),
			mapping: localaws.Mapping{ReportBatchItemFailures: true}},
		"an unknown message": {step: answers(unknown, nil),
			mapping: localaws.Mapping{ReportBatchItemFailures: true}, again: all},
		"an empty name": {step: answers(empty, nil),
			mapping: localaws.Mapping{ReportBatchItemFailures: true}, again: all},
		"another response": {step: answers("done", nil),
			mapping: localaws.Mapping{ReportBatchItemFailures: true}, again: all},
		"out of time": {step: func(ctx context.Context, _ events.SQSEvent) (any, error) {
			<-ctx.Done()
			return nil, nil
			// A second is long enough for the second attempt, also on a busy machine.
		}, mapping: localaws.Mapping{Timeout: time.Second}, again: all},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueues(t, nil)
			url, arn := q.create("q", map[string]string{"VisibilityTimeout": "60"})
			_, err := q.sqs.SendMessageBatch(t.Context(),
				&sqs.SendMessageBatchInput{QueueUrl: aws.String(url),
					Entries: []types.SendMessageBatchRequestEntry{
						{Id: aws.String("1"), MessageBody: aws.String("a")},
						{Id: aws.String("2"), MessageBody: aws.String("b")},
						{Id: aws.String("3"), MessageBody: aws.String("c")},
					}})
			q.check(err)
			f := &consumerOf{steps: []func(context.Context, events.SQSEvent) (any, error){c.step},
				done: make(chan struct{}, 10)}
			q.check(q.server.MapQueue(arn, "f", f.handle, &c.mapping))
			<-f.done
			want := []string{"a#1 b#1 c#1"}
			if c.again != "" {
				want = append(want, c.again)
				// The function is done. The service may not be.
				for q.left(url) != fmt.Sprintf("0 %d 0", len(strings.Fields(c.again))) {
					time.Sleep(time.Millisecond)
				}
				q.clock.move(time.Minute)
			}
			q.check(q.server.DrainQueue(t.Context(), arn))
			f.mu.Lock()
			defer f.mu.Unlock()
			if !slices.Equal(f.log, want) {
				t.Errorf("got %q, want %q", f.log, want)
			}
		})
	}
}

// TestMappingSendsTheDocumentedEvent holds the event against the one that AWS documents, read with the types
// of aws-lambda-go.
func TestMappingSendsTheDocumentedEvent(t *testing.T) {
	q := newQueues(t, nil)
	url, arn := q.create("q", nil)
	_, err := q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: aws.String(url), MessageBody: aws.String("<body>"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"s": {DataType: aws.String("String"), StringValue: aws.String("x")},
			"b": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}},
		},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-2-3")}},
	})
	q.check(err)
	got := make(chan json.RawMessage, 1)
	q.check(q.server.MapQueue(arn, "f", localaws.HandlerOf(func(_ context.Context,
		event json.RawMessage) (struct{}, error) {
		got <- event
		return struct{}{}, nil
	}), nil))
	raw := <-got
	var event events.SQSEvent
	q.check(json.Unmarshal(raw, &event))
	at := fmt.Sprint(q.clock.now().UnixMilli())
	m := event.Records[0]
	if m.Body != "<body>" || m.EventSource != "aws:sqs" || m.EventSourceARN != arn ||
		m.AWSRegion != "us-east-1" || m.MessageId == "" || m.ReceiptHandle == "" ||
		m.Md5OfBody == "" || m.Md5OfMessageAttributes == "" {
		t.Errorf("record %s", raw)
	}
	want := map[string]string{
		"ApproximateReceiveCount": "1", "SentTimestamp": at, "ApproximateFirstReceiveTimestamp": at,
		"SenderId": m.Attributes["SenderId"], "AWSTraceHeader": "Root=1-2-3",
	}
	if fmt.Sprint(m.Attributes) != fmt.Sprint(want) {
		t.Errorf("attributes %v", m.Attributes)
	}
	if s, b := m.MessageAttributes["s"], m.MessageAttributes["b"]; *s.StringValue != "x" ||
		s.DataType != "String" || string(b.BinaryValue) != "\x01\x02" || b.DataType != "Binary" {
		t.Errorf("message attributes %v", m.MessageAttributes)
	}
}

// TestMappingOrder: of a group, one invocation at a time, in order, however many there may be.
func TestMappingOrder(t *testing.T) {
	q := newQueues(t, &localaws.Options{Delivery: localaws.Delivery{Workers: 4}})
	url, arn := q.create("q.fifo", map[string]string{"FifoQueue": "true"})
	const groups, each = 5, 20
	var mu sync.Mutex
	busy, seen := map[string]bool{}, map[string][]string{}
	q.check(q.server.MapQueue(arn, "f", func(_ context.Context, event json.RawMessage) (any, error) {
		var batch events.SQSEvent
		if err := json.Unmarshal(event, &batch); err != nil {
			return nil, err
		}
		mine := map[string]bool{}
		mu.Lock()
		for _, m := range batch.Records {
			g := m.Attributes["MessageGroupId"]
			if busy[g] && !mine[g] {
				t.Errorf("group %s is in two invocations", g)
			}
			busy[g], mine[g] = true, true
			seen[g] = append(seen[g], m.Body)
		}
		mu.Unlock()
		runtime.Gosched() // so that another invocation can run into this one
		mu.Lock()
		defer mu.Unlock()
		for g := range mine {
			busy[g] = false
		}
		return nil, nil
	}, &localaws.Mapping{BatchSize: 3, Concurrency: 4}))
	for i := range each {
		for g := range groups {
			body := fmt.Sprintf("%03d", i)
			_, err := q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
				QueueUrl: aws.String(url), MessageBody: aws.String(body),
				MessageGroupId:         aws.String(fmt.Sprint(g)),
				MessageDeduplicationId: aws.String(fmt.Sprint(g, i)),
			})
			q.check(err)
		}
	}
	q.check(q.server.DrainQueue(t.Context(), arn))
	mu.Lock()
	defer mu.Unlock()
	for g := range groups {
		if list := seen[fmt.Sprint(g)]; len(list) != each || !slices.IsSorted(list) {
			t.Errorf("group %d: %v", g, list)
		}
	}
}

// TestMappingWholePath: from PutEvents over a rule and a queue, with duplicates, errors and a dead-letter
// queue, every event is either handled or given up.
func TestMappingWholePath(t *testing.T) {
	q := newQueues(t, &localaws.Options{Seed: 5, Queues: localaws.Queues{Duplicate: 0.2},
		Delivery: localaws.Delivery{Duplicate: 0.2, Reorder: 4}})
	dead, deadARN := q.create("dead", nil)
	_, arn := q.create("q", map[string]string{"VisibilityTimeout": "0",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + deadARN + `","maxReceiveCount":5}`})
	q.rule("default", `{"source":["`+command+`"]}`, arn)
	var mu sync.Mutex
	handled := map[string]bool{}
	q.check(q.server.MapQueue(arn, "f", func(_ context.Context, event json.RawMessage) (any, error) {
		var batch events.SQSEvent
		if err := json.Unmarshal(event, &batch); err != nil {
			return nil, err
		}
		var r events.SQSEventResponse
		mu.Lock()
		defer mu.Unlock()
		for i, m := range batch.Records {
			if strings.Contains(m.Body, `"poison":true`) {
				r.BatchItemFailures = append(r.BatchItemFailures,
					events.SQSBatchItemFailure{ItemIdentifier: batch.Records[i].MessageId})
				continue
			}
			_, detail, _ := strings.Cut(m.Body, `"detail":`)
			handled[detail] = true
		}
		return r, nil
	}, &localaws.Mapping{ReportBatchItemFailures: true, Concurrency: 3, BatchSize: 4}))
	const n = 100
	for i := range n {
		q.put(entry(fmt.Sprintf(`{"n":%d,"poison":%v}`, i, i%10 == 0)))
	}
	q.check(q.server.Drain(t.Context()))
	q.check(q.server.DrainQueue(t.Context(), arn))
	isHandled := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(handled)
	}
	// Without a visibility timeout, a message may have been given up while it is still being handled.
	for deadline := time.Now().Add(time.Minute); isHandled() < n-n/10 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	given := map[string]bool{}
	for batch := q.receive(dead); len(batch) > 0; batch = q.receive(dead) {
		for _, m := range batch {
			_, detail, _ := strings.Cut(*m.Body, `"detail":`)
			given[detail] = strings.Contains(detail, `"poison":true`)
		}
	}
	// ... and one that was handled is no poison.
	maps.DeleteFunc(given, func(_ string, poison bool) bool { return !poison })
	mu.Lock()
	defer mu.Unlock()
	if len(handled) != n-n/10 || len(given) != n/10 {
		t.Errorf("%d handled, %d given up", len(handled), len(given))
	}
}

func TestMappingRefused(t *testing.T) {
	q := newQueues(t, nil)
	_, arn := q.create("q", nil)
	if err := q.server.MapQueue(arn+"-missing", "f", nil, nil); err == nil {
		t.Error("a queue that does not exist was mapped")
	}
}

// TestMappingHalvesWhatIsTooLarge: Lambda takes events of 6 MB, and ten messages can have more. Of a FIFO
// queue, none overtakes one that failed.
func TestMappingHalvesWhatIsTooLarge(t *testing.T) {
	for name, attributes := range map[string]map[string]string{
		"standard": {}, "FIFO": {"FifoQueue": "true", "ContentBasedDeduplication": "true"},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueues(t, nil)
			queue := "q"
			if name == "FIFO" {
				queue = "q.fifo"
			}
			url, arn := q.create(queue, attributes)
			for i := range 9 {
				in := &sqs.SendMessageInput{QueueUrl: &url,
					MessageBody: aws.String(fmt.Sprint(i) + strings.Repeat("x", 1_000_000))}
				if name == "FIFO" {
					in.MessageGroupId = aws.String("g")
				}
				_, err := q.sqs.SendMessage(t.Context(), in)
				q.check(err)
			}
			var log []string // of one invocation after the other
			failed := make(chan struct{})
			q.check(q.server.MapQueue(arn, "f", func(_ context.Context, event json.RawMessage) (any, error) {
				var batch events.SQSEvent
				if err := json.Unmarshal(event, &batch); err != nil || len(event) > 6<<20 {
					t.Errorf("an event of %d bytes: %v", len(event), err)
				}
				var got strings.Builder
				for _, m := range batch.Records {
					got.WriteString(m.Body[:1])
				}
				if log = append(log, got.String()); len(log) == 1 {
					defer close(failed)
					return nil, errors.New("failed")
				}
				return nil, nil
			}, nil))
			<-failed
			q.clock.move(time.Minute)
			q.check(q.server.DrainQueue(t.Context(), arn))
			want := map[string][]string{"standard": {"0123", "45678", "0123"}, "FIFO": {"0123", "0123", "45678"}}
			if !slices.Equal(log, want[name]) {
				t.Errorf("the invocations got %q", log)
			}
		})
	}
}
