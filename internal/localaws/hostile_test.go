package localaws_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/internal/localaws"
)

// redriveTo makes a queue give up a message after one receipt, to the queue of that ARN.
func (q *queues) redriveTo(url, arn string) {
	q.t.Helper()
	_, err := q.sqs.SetQueueAttributes(q.t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url),
		Attributes: map[string]string{"VisibilityTimeout": "1",
			"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":1}`}})
	q.check(err)
}

// TestQueueThatIsItsOwnDeadLetterQueue: it answers, and has its messages.
func TestQueueThatIsItsOwnDeadLetterQueue(t *testing.T) {
	q := newKept(t)
	url, arn := q.create("q", nil)
	q.redriveTo(url, arn)
	q.send(url, "one")
	q.send(url, "two")
	for range 2 {
		q.want("received", url, "one", "two")
		q.clock.move(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		_, err := q.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: aws.String(url)})
		cancel()
		q.check(err)
		q.kill()
		url = queueURL(q, "q")
	}
	q.want("in the end", url, "one", "two")
}

// TestQueuesThatAreEachOthersDeadLetterQueues: each gives a message as often as it may, whatever other queues
// did before.
func TestQueuesThatAreEachOthersDeadLetterQueues(t *testing.T) {
	q := newKept(t)
	a, arnA := q.create("a", nil)
	b, arnB := q.create("b", nil)
	q.redriveTo(a, arnB)
	q.redriveTo(b, arnA)
	q.send(a, "x")
	for range 3 {
		q.want("of a", a, "x")
		q.clock.move(time.Second)
		q.want("of a, given up", a)
		q.kill()
		a, b = queueURL(q, "a"), queueURL(q, "b")
		q.want("of b", b, "x")
		q.clock.move(time.Second)
		q.want("of b, given up", b)
	}
	if got := q.want("of a, at the end", a, "x"); got[0].Attributes["ApproximateReceiveCount"] != "7" {
		t.Errorf("%v", got[0].Attributes)
	}
}

// TestNoCallerStopsTheJournal: text of a caller becomes no key that the journal cannot have, which would end
// all acknowledgements.
func TestNoCallerStopsTheJournal(t *testing.T) {
	q := newKept(t)
	long := strings.Repeat("x", 40_000)
	fifo, arn := q.create("q.fifo", map[string]string{"FifoQueue": "true"})
	for _, in := range []sqs.SendMessageInput{
		{MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String(long)},
		{MessageGroupId: aws.String(long), MessageDeduplicationId: aws.String("d")},
	} {
		in.QueueUrl, in.MessageBody = aws.String(fifo), aws.String("x")
		if _, err := q.sqs.SendMessage(t.Context(), &in); codeOf(err) != "InvalidParameterValue" {
			t.Errorf("SendMessage: %.200v", err)
		}
	}
	if err := q.ruleTo("r", types.Target{Arn: aws.String(arn), SqsParameters: &types.SqsParameters{
		MessageGroupId: aws.String(long)}}); codeOf(err) != "ValidationException" {
		t.Errorf("PutTargets: %.200v", err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, q.server.URL(), strings.NewReader("{}"))
	q.check(err)
	r.Header.Set("X-Amz-Target", "TrentService.CreateKey")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=dev/20261121/"+long+"/kms/aws4_request")
	resp, err := http.DefaultClient.Do(r)
	q.check(err)
	q.check(resp.Body.Close())
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("CreateKey: %s", resp.Status)
	}
	key, err := q.keys().CreateKey(t.Context(), &kms.CreateKeyInput{MultiRegion: aws.Bool(true)})
	q.check(err)
	_, err = q.keys().ReplicateKey(t.Context(), &kms.ReplicateKeyInput{KeyId: key.KeyMetadata.KeyId,
		ReplicaRegion: aws.String("a-" + long + "-1")})
	if codeOf(err) != "ValidationException" {
		t.Errorf("ReplicateKey: %.200v", err)
	}
	q.create("another", nil) // it is acknowledged
}

// TestEventForAQueueWaitsForTheNextStart: however late that is, also when the rule would have given it up.
func TestEventForAQueueWaitsForTheNextStart(t *testing.T) {
	q := newQueues(t, &localaws.Options{Dir: t.TempDir(), Delivery: localaws.Delivery{Delay: 1000 * time.Hour}})
	_, arn := q.create("q", nil)
	q.check(q.ruleTo("r", types.Target{Arn: aws.String(arn), RetryPolicy: &types.RetryPolicy{
		MaximumEventAgeInSeconds: aws.Int32(60)}}))
	_, err := q.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{
		Entries: []types.PutEventsRequestEntry{entry(`{}`)}})
	q.check(err)
	q.clock.move(72 * time.Hour)
	q.kill()
	q.drain()
	if left := q.left(queueURL(q, "q")); left != "1 0 0" {
		t.Errorf("the queue has %s", left)
	}
}

// TestTimeThatCannotBeKept is refused before anything changes. The SDK for Go cannot send it.
func TestTimeThatCannotBeKept(t *testing.T) {
	q := newKept(t)
	q.check(q.server.Archive("default"))
	for _, at := range []string{"1e12", "-1e12", "1e300", `"-0001-01-01T00:00:00Z"`} {
		body := `{"Entries":[{"Source":"s","DetailType":"t","Detail":"{}","Time":` + at + `}]}`
		if got := q.raw("AWSEvents.PutEvents", body); !strings.Contains(got, `"InvalidArgument"`) {
			t.Errorf("PutEvents at %s: %s", at, got)
		}
		got := q.raw("AWSEvents.StartReplay", `{"ReplayName":"r","EventStartTime":0,"EventEndTime":`+at+
			`,"EventSourceArn":"arn:aws:events:us-east-1:000000000000:archive/of-default",`+
			`"Destination":{"Arn":"arn:aws:events:us-east-1:000000000000:event-bus/default"}}`)
		if !strings.Contains(got, "Exception") {
			t.Errorf("StartReplay until %s: %s", at, got)
		}
	}
}

// raw is the answer to a call that no SDK makes.
func (q *queues) raw(target, body string) string {
	q.t.Helper()
	r, err := http.NewRequestWithContext(q.t.Context(), http.MethodPost, q.server.URL(), strings.NewReader(body))
	q.check(err)
	r.Header.Set("X-Amz-Target", target)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=dev/20261121/us-east-1/events/aws4_request")
	resp, err := http.DefaultClient.Do(r)
	q.check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	q.check(err)
	return string(answer)
}

// TestDefaultBusStays, also under its other names.
func TestDefaultBusStays(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"default", "arn:aws:events:us-east-1:000000000000:event-bus/default"} {
		_, err := w.client.DeleteEventBus(t.Context(), &eventbridge.DeleteEventBusInput{Name: aws.String(name)})
		if codeOf(err) != "ValidationException" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDeepDetailIsRefusedOrDelivered: what is acknowledged arrives, also from an archive and as the record of
// a function that failed. A detail that is too deep for that is refused by itself.
func TestDeepDetailIsRefusedOrDelivered(t *testing.T) {
	q := newQueues(t, &localaws.Options{})
	url, arn := q.create("q", nil)
	dead, deadARN := q.create("dead", nil)
	calls := 0
	function := q.server.Function("f", failing(&calls))
	q.server.SetFunction("f", localaws.FunctionConfig{Invoke: &localaws.InvokeConfig{OnFailure: deadARN}})
	archive := q.archive("default", "a")
	for _, target := range []string{arn, function} {
		q.rule("default", `{"source":["`+command+`"]}`, target)
	}
	taken := 0
	for _, depth := range []int{9_990, 9_991, 9_998, 9_999, 10_000, 10_001} {
		detail := strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
		out, err := q.client.PutEvents(t.Context(), &eventbridge.PutEventsInput{
			Entries: []types.PutEventsRequestEntry{entry(detail), entry(`{"flat":1}`)}})
		q.check(err)
		switch refused := out.Entries[0]; {
		case aws.ToString(out.Entries[1].ErrorCode) != "":
			t.Errorf("%d levels: the other entry: %s", depth, *out.Entries[1].ErrorCode)
		case out.FailedEntryCount == 1 && aws.ToString(refused.ErrorCode) == "MalformedDetail":
		case out.FailedEntryCount == 0:
			taken++
		default:
			t.Errorf("%d levels: %d failed, %s", depth, out.FailedEntryCount, aws.ToString(refused.ErrorCode))
		}
		q.drain()
	}
	if taken != 1 {
		t.Errorf("%d deep ones are taken", taken)
	}
	q.mustStart(archive, "default", "again")
	q.drain()
	want := 2 * (6 + taken) // with the flat ones, each twice
	if got := q.left(url); got != fmt.Sprintf("%d 0 0", want) {
		t.Errorf("the queue has %s, want %d", got, want)
	}
	if got := q.left(dead); got != fmt.Sprintf("%d 0 0", want) {
		t.Errorf("the destination has %s, want %d", got, want)
	}
}
