package localawstest

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// fifoOrder: of a group, one receiver at a time, in the order of sending; groups do not hinder each other.
func fifoOrder(r *run) {
	url := r.queue(fifo())
	first := r.sendFIFO(url, "a", "1", "a1")
	second := r.sendFIFO(url, "a", "2", "a2")
	r.sendFIFO(url, "b", "3", "b1")
	if n1, n2 := aws.ToString(first.SequenceNumber), aws.ToString(second.SequenceNumber); n1 == "" ||
		len(n1) > len(n2) || len(n1) == len(n2) && n1 >= n2 {
		r.errorf("sequence numbers %q, %q", n1, n2)
	}
	a1 := r.await(url)
	b1 := r.await(url)
	if *a1.Body != "a1" || *b1.Body != "b1" {
		r.errorf("received %s, %s", *a1.Body, *b1.Body)
	}
	if a1.Attributes["MessageGroupId"] != "a" || a1.Attributes["MessageDeduplicationId"] != "1" ||
		a1.Attributes["SequenceNumber"] != *first.SequenceNumber {
		r.errorf("attributes %v", a1.Attributes)
	}
	if got := r.receive(url, 10); len(got) > 0 {
		r.errorf("received while both groups are in flight: %s", bodies(got))
	}
	r.delete(url, b1)
	if got := r.receive(url, 10); len(got) > 0 {
		r.errorf("received while group a is in flight: %s", bodies(got))
	}
	r.delete(url, a1)
	if m := r.await(url); *m.Body != "a2" {
		r.errorf("received %s", *m.Body)
	}
}

// fifoBatch: one receiver gets as many messages of a group as it asks for.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
func fifoBatch(r *run) {
	url := r.queue(fifo())
	for _, n := range []string{"1", "2", "3"} {
		r.sendFIFO(url, "a", n, n)
	}
	got := r.receive(url, 10)
	if bodies(got) != "1 2 3" {
		r.errorf("received %q", bodies(got))
		return
	}
	r.must(r.change(url, got[0].ReceiptHandle, 0))
	if again := r.receive(url, 10); len(again) > 0 {
		r.errorf("received while others of the group are in flight: %q", bodies(again))
	}
}

// fifoReturned: a message that comes back is the first of its group.
func fifoReturned(r *run) {
	url := r.queue(fifo())
	r.sendFIFO(url, "a", "1", "1")
	r.sendFIFO(url, "a", "2", "2")
	for _, count := range []string{"1", "2", "3"} {
		m := r.await(url)
		if *m.Body != "1" || m.Attributes["ApproximateReceiveCount"] != count {
			r.errorf("received %s, %v", *m.Body, m.Attributes)
		}
		r.must(r.change(url, m.ReceiptHandle, 0))
	}
}

func fifoDeduplication(r *run) {
	byContent := fifo()
	byContent["ContentBasedDeduplication"] = "true"
	url := r.queue(byContent)
	first := r.sendFIFO(url, "a", "", "x")
	if again := r.sendFIFO(url, "a", "", "x"); *again.MessageId != *first.MessageId ||
		aws.ToString(again.SequenceNumber) != *first.SequenceNumber {
		r.errorf("the same content: %v, %v", first, again)
	}
	if other := r.sendFIFO(url, "a", "id", "x"); *other.MessageId == *first.MessageId {
		r.errorf("an ID of its own: %v", other)
	}
	m := r.await(url)
	r.delete(url, m)
	r.delete(url, r.await(url))
	if again := r.sendFIFO(url, "a", "id", "y"); *again.MessageId == *first.MessageId {
		r.errorf("another ID: %v", again)
	}
	r.counts("all were sent before", url, [3]string{"0", "0", "0"})
	if other := r.sendFIFO(url, "a", "", "y"); *other.MessageId == *first.MessageId {
		r.errorf("other content: %v", other)
	}
	r.counts("one was not", url, [3]string{"1", "0", "0"})
}

// fifoExpired: who was too slow is told that the message may be another one's.
func fifoExpired(r *run) {
	url := r.queue(fifo())
	r.sendFIFO(url, "a", "1", "x")
	m := r.await(url)
	r.must(r.change(url, m.ReceiptHandle, 0))
	_, err := r.client.DeleteMessage(r.ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(url),
		ReceiptHandle: m.ReceiptHandle})
	r.refused("deleting after the timeout", err, invalidValue)
}

func fifoRefusals(r *run) {
	url := aws.String(r.queue(fifo()))
	text := aws.String("x")
	for what, c := range map[string]struct {
		in   sqs.SendMessageInput
		code string
	}{
		"no group": {sqs.SendMessageInput{MessageBody: text, MessageDeduplicationId: text},
			missing},
		"no deduplication ID": {sqs.SendMessageInput{MessageBody: text, MessageGroupId: text}, invalidValue},
		"a delay of its own": {sqs.SendMessageInput{MessageBody: text, MessageGroupId: text,
			MessageDeduplicationId: text, DelaySeconds: 1}, invalidValue},
	} {
		c.in.QueueUrl = url
		_, err := r.client.SendMessage(r.ctx, &c.in)
		r.refused(what, err, c.code)
	}
}
