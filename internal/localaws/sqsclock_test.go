package localaws_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
	"github.com/sealbus/sealbus/internal/localaws/localawstest"
)

// clock stands still unless it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// queues is a fake with a client of SQS.
type queues struct {
	*world
	sqs   *sqs.Client
	clock *clock
}

func newQueues(t *testing.T, opts *localaws.Options) *queues {
	t.Helper()
	c := newClock()
	if opts == nil {
		opts = &localaws.Options{}
	}
	opts.Now = c.now
	w := newWorld(t, opts)
	return &queues{w, newQueueClient(w.server.URL()), c}
}

func (q *queues) create(name string, attributes map[string]string) (url, arn string) {
	q.t.Helper()
	made, err := q.sqs.CreateQueue(q.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name),
		Attributes: attributes})
	q.check(err)
	return *made.QueueUrl, q.attributes(*made.QueueUrl)["QueueArn"]
}

func (q *queues) attributes(url string) map[string]string {
	q.t.Helper()
	out, err := q.sqs.GetQueueAttributes(q.t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: aws.String(url),
			AttributeNames: []types.QueueAttributeName{"All"}})
	q.check(err)
	return out.Attributes
}

func (q *queues) left(url string) string {
	q.t.Helper()
	a := q.attributes(url)
	return a["ApproximateNumberOfMessages"] + " " + a["ApproximateNumberOfMessagesNotVisible"] + " " +
		a["ApproximateNumberOfMessagesDelayed"]
}

func (q *queues) send(url string, bodies ...string) {
	q.t.Helper()
	for _, body := range bodies {
		_, err := q.sqs.SendMessage(q.t.Context(),
			&sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String(body)})
		q.check(err)
	}
}

// receive is a short poll for up to 10.
func (q *queues) receive(url string) []types.Message {
	q.t.Helper()
	out, err := q.sqs.ReceiveMessage(q.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(url), MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	q.check(err)
	return out.Messages
}

func (q *queues) delete(url string, list ...types.Message) {
	q.t.Helper()
	for _, m := range list {
		_, err := q.sqs.DeleteMessage(q.t.Context(),
			&sqs.DeleteMessageInput{QueueUrl: aws.String(url), ReceiptHandle: m.ReceiptHandle})
		q.check(err)
	}
}

func bodies(list []types.Message) (all []string) {
	for _, m := range list {
		all = append(all, *m.Body)
	}
	return all
}

func (q *queues) want(when, url string, want ...string) []types.Message {
	q.t.Helper()
	got := q.receive(url)
	if !slices.Equal(bodies(got), want) {
		q.t.Errorf("%s: received %q, want %q", when, bodies(got), want)
	}
	return got
}

// TestQueueClock: everything but the wait of a long poll goes by the injected clock, to the instant.
func TestQueueClock(t *testing.T) {
	q := newQueues(t, nil)
	url, _ := q.create("q", map[string]string{"VisibilityTimeout": "60", "DelaySeconds": "5",
		"MessageRetentionPeriod": "3600"})
	q.send(url, "x")
	q.clock.move(5*time.Second - 1)
	q.want("before its delay is over", url)
	q.clock.move(1)
	first := q.want("after its delay", url, "x")
	q.clock.move(time.Minute - 1)
	q.want("before its timeout is over", url)
	q.clock.move(1)
	second := q.want("after its timeout", url, "x")
	q.delete(url, first...) // stale: nothing happens
	if got := q.left(url); got != "0 1 0" {
		t.Errorf("after a stale handle was used: %s", got)
	}
	if _, err := q.sqs.ChangeMessageVisibility(t.Context(),
		&sqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(url),
			ReceiptHandle: first[0].ReceiptHandle}); codeOf(err) != "InvalidParameterValue" {
		t.Errorf("changing by a stale handle: %v", err)
	}
	q.clock.move(time.Minute)
	if _, err := q.sqs.ChangeMessageVisibility(t.Context(),
		&sqs.ChangeMessageVisibilityInput{QueueUrl: aws.String(url), ReceiptHandle: second[0].ReceiptHandle,
			VisibilityTimeout: 9}); codeOf(err) != "AWS.SimpleQueueService.MessageNotInflight" {
		t.Errorf("changing what is visible: %v", err)
	}
	q.clock.move(time.Hour - 5*time.Second - 2*time.Minute - 1)
	if got := q.left(url); got != "1 0 0" {
		t.Errorf("an instant before its time is over: %s", got)
	}
	q.clock.move(1)
	q.want("after its retention period", url)
	if got := q.left(url); got != "0 0 0" {
		t.Errorf("after its retention period: %s", got)
	}
}

func TestDeduplicationWindow(t *testing.T) {
	q := newQueues(t, nil)
	for scope, want := range map[string]string{"queue": "1 0 0", "messageGroup": "2 0 0"} {
		url, _ := q.create(scope+".fifo", map[string]string{"FifoQueue": "true",
			"ContentBasedDeduplication": "true", "DeduplicationScope": scope})
		send := func(group string) {
			_, err := q.sqs.SendMessage(t.Context(),
				&sqs.SendMessageInput{QueueUrl: aws.String(url), MessageBody: aws.String("x"),
					MessageGroupId: aws.String(group)})
			q.check(err)
		}
		send("a")
		q.clock.move(5*time.Minute - 1)
		send("a")
		send("b")
		if got := q.left(url); got != want {
			t.Errorf("%s: within the window: %s, want %s", scope, got, want)
		}
		q.clock.move(1)
		before := q.left(url)
		send("a")
		if got := q.left(url); got == before {
			t.Errorf("%s: after the window: %s", scope, got)
		}
	}
}

// TestFIFODeadLetter: a message that is given up frees its group, keeps its order and its ID.
func TestFIFODeadLetter(t *testing.T) {
	q := newQueues(t, nil)
	dead, arn := q.create("dead.fifo", map[string]string{"FifoQueue": "true"})
	url, source := q.create("q.fifo", map[string]string{"FifoQueue": "true",
		"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"1"}`})
	for _, body := range []string{"1", "2"} {
		_, err := q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url),
			MessageBody: aws.String(body), MessageGroupId: aws.String("g"),
			MessageDeduplicationId: aws.String(body)})
		q.check(err)
	}
	first := q.want("both at once", url, "1", "2")
	q.clock.move(time.Minute)
	got := q.want("given up", dead, "1", "2")
	if a := got[0].Attributes; a["DeadLetterQueueSourceArn"] != source || a["MessageGroupId"] != "g" ||
		a["MessageDeduplicationId"] != "1" || *got[0].MessageId != *first[0].MessageId ||
		a["ApproximateReceiveCount"] != "2" {
		t.Errorf("given up as %v", got[0])
	}
	if left := q.left(url); left != "0 0 0" {
		t.Errorf("left %s", left)
	}
	if _, err := q.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("other"),
		Attributes: map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arn +
			`","maxReceiveCount":"1"}`}}); codeOf(err) != "InvalidParameterValue" {
		t.Errorf("a FIFO queue for what a standard queue gives up: %v", err)
	}
}

// TestRedrivePolicies that are none.
func TestRedrivePolicies(t *testing.T) {
	q := newQueues(t, nil)
	_, dead := q.create("dead", nil)
	url, _ := q.create("q", nil)
	set := func(policy string) error {
		_, err := q.sqs.SetQueueAttributes(t.Context(),
			&sqs.SetQueueAttributesInput{QueueUrl: aws.String(url),
				Attributes: map[string]string{"RedrivePolicy": policy, "DelaySeconds": "7"}})
		return err
	}
	for _, policy := range []string{
		`{`, `[]`, `{}`, `{"deadLetterTargetArn":"` + dead +
			`"}`, `{"maxReceiveCount":1}`, `{"deadLetterTargetArn":"` + dead + `","maxReceiveCount":0}`,
		`{"deadLetterTargetArn":"` + dead + `","maxReceiveCount":1001}`, `{"deadLetterTargetArn":"` + dead +
			`","maxReceiveCount":"many"}`, `{"deadLetterTargetArn":"` + dead + `x","maxReceiveCount":1}`,
	} {
		if err := set(policy); codeOf(err) != "InvalidParameterValue" {
			t.Errorf("%s: %v", policy, err)
		}
	}
	if a := q.attributes(url); a["RedrivePolicy"] != "" || a["DelaySeconds"] != "0" {
		t.Errorf("a refused call changed %v", a)
	}
	q.check(set(`{"deadLetterTargetArn":"` + dead + `","maxReceiveCount":"1000"}`))
	q.check(set(""))
	if a := q.attributes(url); a["RedrivePolicy"] != "" || a["DelaySeconds"] != "7" {
		t.Errorf("after it was removed: %v", a)
	}
}

// TestDuplicatesComeTwice: each message comes twice though it was deleted; some come twice before that; FIFO
// queues have none.
func TestDuplicatesComeTwice(t *testing.T) {
	q := newQueues(t, &localaws.Options{Queues: localaws.Queues{Duplicate: 1}, Seed: 1})
	url, _ := q.create("q", nil)
	const n = 40
	all := func() (seen map[string]int) {
		seen = map[string]int{}
		for i := range n {
			q.send(url, fmt.Sprint(i))
		}
		return seen
	}
	seen := all()
	for batch := q.receive(url); len(batch) > 0; batch = q.receive(url) {
		for _, m := range batch {
			seen[*m.Body]++
		}
		q.delete(url, batch...)
	}
	for i := range n {
		if got := seen[fmt.Sprint(i)]; got != 2 {
			t.Errorf("message %d came %d times", i, got)
		}
	}
	if got := q.left(url); got != "0 0 0" {
		t.Errorf("left %s", got)
	}
	all()
	received := 0
	for batch := q.receive(url); len(batch) > 0; batch = q.receive(url) {
		received += len(batch)
	}
	if received <= n+n/4 || received >= 2*n-n/4 {
		t.Errorf("%d messages came %d times while they were in flight", n, received)
	}
	fifo, _ := q.create("q.fifo", map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true"})
	_, err := q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(fifo),
		MessageBody: aws.String("x"), MessageGroupId: aws.String("g")})
	q.check(err)
	q.delete(fifo, q.want("once", fifo, "x")...)
	q.want("a FIFO queue", fifo)
}

// TestQueueFaults: in which of them the message is in the queue all the same.
func TestQueueFaults(t *testing.T) {
	for fault, want := range map[localaws.CallFault]struct{ code, left string }{
		localaws.Throttled:     {"RequestThrottled", "0 0 0"},
		localaws.InternalError: {"InternalFailure", "0 0 0"}, localaws.CutBefore: {"", "0 0 0"},
		localaws.CutAfter: {"", "1 0 0"}, localaws.GarbageAnswer: {"", "1 0 0"},
	} {
		q := newQueues(t, &localaws.Options{Faults: localaws.Faults{Script: func(action string,
			_ int) localaws.CallFault {
			if action == "SendMessage" {
				return fault
			}
			return localaws.NoFault
		}}})
		url, _ := q.create("q", nil)
		_, err := q.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(url),
			MessageBody: aws.String("x")})
		if err == nil || want.code != "" && codeOf(err) != want.code {
			t.Errorf("fault %d: %v", fault, err)
		}
		if got := q.left(url); got != want.left {
			t.Errorf("fault %d: left %s", fault, got)
		}
	}
}

// TestQueueCallFaults: a share of the calls of SQS fails, and none of EventBridge.
func TestQueueCallFaults(t *testing.T) {
	q := newQueues(t, &localaws.Options{Faults: localaws.Faults{QueueCall: 0.5}, Seed: 1})
	failed := 0
	for range 100 {
		if _, err := q.sqs.ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil {
			failed++
		}
		q.put(entry(`{}`))
	}
	if failed < 25 || failed > 75 {
		t.Errorf("%d of 100 failed", failed)
	}
}

func TestQueueDenied(t *testing.T) {
	q := newQueues(t, &localaws.Options{Deny: func(action string) bool { return action == "ReceiveMessage" }})
	url, _ := q.create("q", nil)
	_, err := q.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url)})
	if codeOf(err) != "AccessDenied" || !strings.Contains(err.Error(), "StatusCode: 403") {
		t.Errorf("denied: %v", err)
	}
}

// TestLongPollEnds with the client, and with the server.
func TestLongPollEnds(t *testing.T) {
	q := newQueues(t, nil)
	url, _ := q.create("q", nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := q.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: aws.String(url),
			WaitTimeSeconds: 20})
		ended <- err
	}()
	for q.server.Calls() < 3 { // the queue's two, and the poll
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("a poll that was cancelled succeeded")
	}
	go func() {
		_, err := q.sqs.ReceiveMessage(t.Context(),
			&sqs.ReceiveMessageInput{QueueUrl: aws.String(url), WaitTimeSeconds: 20})
		ended <- err
	}()
	for q.server.Calls() < 4 {
		time.Sleep(time.Millisecond)
	}
	q.check(q.server.Close())
	<-ended
}

// TestQueueErrors: the SDK knows each error of the model by its type, and by its older code.
func TestQueueErrors(t *testing.T) {
	w := newWorld(t, nil)
	body := func(target, in string) (code, query string, status int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL(),
			strings.NewReader(in))
		w.check(err)
		req.Header.Set("X-Amz-Target", target)
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 x")
		resp, err := http.DefaultClient.Do(req)
		w.check(err)
		defer resp.Body.Close()
		var got struct {
			Type string `json:"__type"`
		}
		w.check(json.NewDecoder(resp.Body).Decode(&got))
		if resp.Header.Get("Content-Type") != "application/x-amz-json-1.0" {
			t.Errorf("content type %s", resp.Header.Get("Content-Type"))
		}
		return got.Type, resp.Header.Get("X-Amzn-Query-Error"), resp.StatusCode
	}
	code, query, status := body("AmazonSQS.GetQueueUrl", `{"QueueName":"missing"}`)
	if code != "com.amazonaws.sqs#QueueDoesNotExist" ||
		query != "AWS.SimpleQueueService.NonExistentQueue;Sender" || status != 400 {
		t.Errorf("%s, %s, %d", code, query, status)
	}
	code, query, status = body("AmazonSQS.CreateQueue", `{"QueueName":"with space"}`)
	if code != "com.amazon.coral.service#InvalidParameterValueException" ||
		query != "InvalidParameterValue;Sender" || status != 400 {
		t.Errorf("%s, %s, %d", code, query, status)
	}
	if code := localawstest.CodeOf(context.Canceled); code != "" {
		t.Errorf("an error that is none of the service has the code %s", code)
	}
}
