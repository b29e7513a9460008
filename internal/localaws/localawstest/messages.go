package localawstest

import (
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// aMessage from end to end. That the digests are right is checked by the SDK for the body; those of
// attributes are held against AWS's documented algorithm, computed by hand.
func aMessage(r *run) {
	url := r.queue(nil)
	attributes := map[string]types.MessageAttributeValue{
		"kind":  {DataType: aws.String("String"), StringValue: aws.String("order")},
		"count": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
		"bytes": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 254}},
	}
	sent, err := r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url),
		MessageBody: aws.String(`{"a":"é<&>"}`), MessageAttributes: attributes})
	r.must(err)
	// printf
	// '\0\0\0\5bytes\0\0\0\6Binary\2\0\0\0\3\0\1\376\0\0\0\5count\0\0\0\12Number.int\1\0\0\0\0017\0\0\0\4kind\0\0\0\6String\1\0\0\0\5order'
	// | md5sum
	const digest = "85541debc0e87ec6988857d8a110177e"
	m := r.await(url)
	if got := [2]string{aws.ToString(sent.MD5OfMessageAttributes),
		aws.ToString(m.MD5OfMessageAttributes)}; got != [2]string{digest, digest} {
		r.errorf("digests %s, want %s", got, digest)
	}
	if *m.Body != `{"a":"é<&>"}` || *m.MessageId != *sent.MessageId ||
		*m.MD5OfBody != *sent.MD5OfMessageBody {
		r.errorf("sent %v, received %v", sent, m)
	}
	for name, want := range attributes {
		got := m.MessageAttributes[name]
		if aws.ToString(got.DataType) != *want.DataType ||
			aws.ToString(got.StringValue) != aws.ToString(want.StringValue) ||
			string(got.BinaryValue) != string(want.BinaryValue) {
			r.errorf("the attribute %s is %v", name, got)
		}
	}
	ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
	if at := time.UnixMilli(ms); err != nil || time.Since(at).Abs() > time.Hour {
		r.errorf("sent at %s", m.Attributes["SentTimestamp"])
	}
	if m.Attributes["ApproximateReceiveCount"] != "1" ||
		m.Attributes["ApproximateFirstReceiveTimestamp"] == "" || m.Attributes["SenderId"] == "" {
		r.errorf("attributes %v", m.Attributes)
	}
	r.counts("in flight", url, [3]string{"0", "1", "0"})
	r.delete(url, m)
	r.counts("deleted", url, [3]string{"0", "0", "0"})
}

func allOfUnicode(r *run) {
	url := r.queue(nil)
	const body = "\t\n\r \u007f\u0080é\u2028\ud7ff\ue000\ufffd\U0001f600\U0010ffff"
	r.send(url, body)
	if m := r.await(url); *m.Body != body {
		r.errorf("received %q", *m.Body)
	}
}

// whichAttributes: who asks for none gets none.
func whichAttributes(r *run) {
	for _, c := range []struct {
		names []string
		want  string
	}{
		{nil, ""}, {[]string{"order.id"}, "order.id"}, {[]string{"order.*"}, "order.id order.kind"},
		{[]string{".*"}, "order.id order.kind other"},
		{[]string{"All"}, "order.id order.kind other"}, {[]string{"missing"}, ""},
	} {
		url := r.queue(nil)
		text := func(s string) types.MessageAttributeValue {
			return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(s)}
		}
		_, err := r.client.SendMessage(r.ctx, &sqs.SendMessageInput{
			QueueUrl: aws.String(url), MessageBody: aws.String("x"),
			MessageAttributes: map[string]types.MessageAttributeValue{"order.id": text("1"),
				"order.kind": text("2"), "other": text("3")},
		})
		r.must(err)
		out, err := r.client.ReceiveMessage(r.ctx,
			&sqs.ReceiveMessageInput{QueueUrl: aws.String(url), MessageAttributeNames: c.names,
				WaitTimeSeconds: patience})
		r.must(err)
		if len(out.Messages) != 1 {
			r.errorf("%d messages", len(out.Messages))
			continue
		}
		var got []string
		for _, name := range []string{"order.id", "order.kind", "other"} {
			if _, there := out.Messages[0].MessageAttributes[name]; there {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want || len(out.Messages[0].Attributes) != 0 {
			r.errorf("asked for %q: %v, %v", c.names, got, out.Messages[0].Attributes)
		}
	}
}

func refusedMessages(r *run) {
	url := r.queue(map[string]string{"MaximumMessageSize": "1024"})
	for what, c := range map[string]struct {
		in   sqs.SendMessageInput
		code string
	}{
		"no body": {sqs.SendMessageInput{MessageBody: aws.String("")}, missing},
		"too large": {sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("x", 1025))},
			invalidValue},
		"control character": {sqs.SendMessageInput{MessageBody: aws.String("a\x01b")},
			"InvalidMessageContents"},
		"too large with its attributes": {sqs.SendMessageInput{MessageBody: aws.String(strings.Repeat("x",
			1020)), MessageAttributes: map[string]types.MessageAttributeValue{
			"a": {DataType: aws.String("String"), StringValue: aws.String("b")},
		}}, invalidValue},
	} {
		c.in.QueueUrl = aws.String(url)
		_, err := r.client.SendMessage(r.ctx, &c.in)
		r.refused(what, err, c.code)
	}
	r.send(url, strings.Repeat("x", 1024))
}

// refusedAttributes: a message whose attributes are not AWS's is not sent without them.
func refusedAttributes(r *run) {
	url := r.queue(nil)
	value := func(kind, text string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String(kind), StringValue: aws.String(text)}
	}
	many := map[string]types.MessageAttributeValue{}
	for i := range 11 {
		many["a"+strconv.Itoa(i)] = value("String", "x")
	}
	for what, attributes := range map[string]map[string]types.MessageAttributeValue{
		"eleven": many, "a type that is none": {"a": value("Text", "x")},
		"no value": {"a": value("String", "")}, "a name with a space": {"a b": value("String", "x")},
		"a binary without bytes": {"a": value("Binary", "x")},
	} {
		_, err := r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url),
			MessageBody: aws.String("x"), MessageAttributes: attributes})
		r.refused(what, err, invalidValue)
	}
}

// refusedParameters are what a standard queue does not have.
func refusedParameters(r *run) {
	url := aws.String(r.queue(nil))
	for what, in := range map[string]*sqs.SendMessageInput{
		"a deduplication ID":              {MessageDeduplicationId: aws.String("x")},
		"a delay of more than 15 minutes": {DelaySeconds: 901},
		"a delay of less than nothing":    {DelaySeconds: -1},
	} {
		in.QueueUrl, in.MessageBody = url, aws.String("x")
		_, err := r.client.SendMessage(r.ctx, in)
		r.refused(what, err, invalidValue)
	}
}

func refusedCalls(r *run) {
	url := aws.String(r.queue(nil))
	for what, in := range map[string]*sqs.ReceiveMessageInput{
		"11 messages":        {QueueUrl: url, MaxNumberOfMessages: 11},
		"-1 messages":        {QueueUrl: url, MaxNumberOfMessages: -1},
		"21 seconds":         {QueueUrl: url, WaitTimeSeconds: 21},
		"more than 12 hours": {QueueUrl: url, VisibilityTimeout: 43201},
	} {
		_, err := r.client.ReceiveMessage(r.ctx, in)
		r.refused(what, err, invalidValue)
	}
	gone := aws.String(*url + "-missing")
	_, err := r.client.ReceiveMessage(r.ctx, &sqs.ReceiveMessageInput{QueueUrl: gone})
	r.refused("receiving from a queue that does not exist", err, noSuchQueue)
	_, err = r.client.GetQueueAttributes(r.ctx, &sqs.GetQueueAttributesInput{QueueUrl: gone})
	r.refused("attributes of a queue that does not exist", err, noSuchQueue)
	_, err = r.client.DeleteMessage(r.ctx, &sqs.DeleteMessageInput{QueueUrl: gone,
		ReceiptHandle: aws.String("x")})
	r.refused("deleting from a queue that does not exist", err, noSuchQueue)
}

func visibility(r *run) {
	url := r.queue(nil)
	sent := r.send(url, "x")
	first := r.await(url)
	if got := r.receive(url, 1); len(got) > 0 {
		r.errorf("received while it is in flight: %s", bodies(got))
	}
	r.must(r.change(url, first.ReceiptHandle, 0))
	second := r.await(url)
	if *second.MessageId != *sent.MessageId || *second.ReceiptHandle == *first.ReceiptHandle ||
		second.Attributes["ApproximateReceiveCount"] != "2" ||
		second.Attributes["ApproximateFirstReceiveTimestamp"] != first.Attributes["ApproximateFirstReceiveTimestamp"] || second.Attributes["SentTimestamp"] != first.Attributes["SentTimestamp"] {
		r.errorf("first %v, second %v", first, second)
	}
	r.must(r.change(url, second.ReceiptHandle, 3600))
	r.counts("with more time", url, [3]string{"0", "1", "0"})
	for _, seconds := range []int32{-1, 43201} {
		r.refused("a timeout out of bounds", r.change(url, second.ReceiptHandle, seconds), invalidValue)
	}
}

// receiptHandles: one that is none is refused; one that is spent, or not the newest, is not an error.
func receiptHandles(r *run) {
	url := r.queue(nil)
	r.send(url, "x")
	first := r.await(url)
	_, err := r.client.DeleteMessage(r.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url),
		ReceiptHandle: aws.String("garbage")})
	r.refused("deleting by garbage", err, badHandle)
	r.refused("changing by garbage", r.change(url, aws.String("garbage"), 1), badHandle)
	r.must(r.change(url, first.ReceiptHandle, 0))
	second := r.await(url)
	r.delete(url, first)
	r.delete(url, second)
	r.delete(url, second)
	r.counts("deleted", url, [3]string{"0", "0", "0"})
}

// changeWhatIsGone is an error that says so.
func changeWhatIsGone(r *run) {
	url := r.queue(nil)
	r.send(url, "x")
	m := r.await(url)
	r.delete(url, m)
	r.refused("changing what is deleted", r.change(url, m.ReceiptHandle, 1), invalidValue)
}

// timeouts end by themselves.
func timeouts(r *run) {
	url := r.queue(nil)
	_, err := r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url),
		MessageBody: aws.String("late"), DelaySeconds: 1})
	r.must(err)
	if got := r.poll(url, 1, patience, aws.Int32(1)); bodies(got) != "late" {
		r.errorf("after its delay: %q", bodies(got))
	}
	if m := r.await(url); m.Attributes["ApproximateReceiveCount"] != "2" {
		r.errorf("after its timeout: %v", m.Attributes)
	}
	_, err = r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: aws.String(url),
		MessageBody: aws.String("later"), DelaySeconds: 900})
	r.must(err)
	r.counts("one in flight, one delayed", url, [3]string{"0", "1", "1"})
}

func longPoll(r *run) {
	url := r.queue(nil)
	got := make(chan *sqs.ReceiveMessageOutput, 1)
	failed := make(chan error, 1)
	go func() {
		out, err := r.client.ReceiveMessage(r.ctx,
			&sqs.ReceiveMessageInput{QueueUrl: aws.String(url), WaitTimeSeconds: patience})
		got <- out
		failed <- err
	}()
	r.send(url, "x")
	out := <-got
	r.must(<-failed)
	if bodies(out.Messages) != "x" {
		r.errorf("received %q", bodies(out.Messages))
	}
}
