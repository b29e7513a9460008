package localawstest

import (
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// The codes that the SDK shows: those of the protocol before JSON.
const (
	noSuchQueue  = "AWS.SimpleQueueService.NonExistentQueue"
	invalidValue = "InvalidParameterValue"
	missing      = "MissingParameter"
	badHandle    = "ReceiptHandleIsInvalid"
)

func lifeOfAQueue(r *run) {
	name := newName()
	byName := &sqs.GetQueueUrlInput{QueueName: aws.String(name)}
	_, err := r.client.GetQueueUrl(r.ctx, byName)
	r.refused("a queue that does not exist", err, noSuchQueue)
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); !ok {
		r.errorf("the SDK does not know the error %v", err)
	}
	create := &sqs.CreateQueueInput{QueueName: aws.String(name),
		Attributes: map[string]string{"VisibilityTimeout": "60"}}
	made, err := r.client.CreateQueue(r.ctx, create)
	r.must(err)
	again, err := r.client.CreateQueue(r.ctx, create)
	r.must(err)
	found, err := r.client.GetQueueUrl(r.ctx, byName)
	r.must(err)
	if *again.QueueUrl != *made.QueueUrl || *found.QueueUrl != *made.QueueUrl ||
		!strings.HasSuffix(*made.QueueUrl, "/"+name) {
		r.errorf("URLs %s, %s, %s", *made.QueueUrl, *again.QueueUrl, *found.QueueUrl)
	}
	create.Attributes["VisibilityTimeout"] = "61"
	_, err = r.client.CreateQueue(r.ctx, create)
	r.refused("creating it with another attribute", err, "QueueAlreadyExists")
	listed, err := r.client.ListQueues(r.ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String(name)})
	r.must(err)
	if len(listed.QueueUrls) != 1 || listed.QueueUrls[0] != *made.QueueUrl {
		r.errorf("listed %v", listed.QueueUrls)
	}
	_, err = r.client.DeleteQueue(r.ctx, &sqs.DeleteQueueInput{QueueUrl: made.QueueUrl})
	r.must(err)
	_, err = r.client.GetQueueUrl(r.ctx, byName)
	r.refused("after it was deleted", err, noSuchQueue)
	_, err = r.client.SendMessage(r.ctx, &sqs.SendMessageInput{QueueUrl: made.QueueUrl,
		MessageBody: aws.String("x")})
	r.refused("sending after it was deleted", err, noSuchQueue)
}

func namesAndAttributes(r *run) {
	for _, c := range []struct {
		name       string
		attributes map[string]string
		code       string
	}{
		{"with space", nil, invalidValue},
		{strings.Repeat("x", 81), nil, invalidValue},
		{"standard.fifo", nil, invalidValue},
		{"fifo-without-suffix", map[string]string{"FifoQueue": "true"}, invalidValue},
		{"unknown-attribute", map[string]string{"Colour": "red"}, "InvalidAttributeName"},
		{"visibility-too-long", map[string]string{"VisibilityTimeout": "43201"}, "InvalidAttributeValue"},
		{"retention-too-short", map[string]string{"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"},
		{"no-number", map[string]string{"DelaySeconds": "soon"}, "InvalidAttributeValue"},
	} {
		_, err := r.client.CreateQueue(r.ctx, &sqs.CreateQueueInput{QueueName: aws.String(c.name),
			Attributes: c.attributes})
		r.refused("creating "+c.name, err, c.code)
	}
}

// policies: what doctor reads.
func policies(r *run) {
	dead, url := r.queue(nil), r.queue(nil)
	arn := r.attributes(dead)["QueueArn"]
	if !strings.HasPrefix(arn, "arn:aws:sqs:") || !strings.HasSuffix(dead,
		arn[strings.LastIndex(arn, ":")+1:]) {
		r.errorf("the ARN of %s is %s", dead, arn)
	}
	want := map[string]string{
		"Policy":                        `{"Version":"2012-10-17","Statement":[]}`,
		"RedrivePolicy":                 `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":"3"}`,
		"VisibilityTimeout":             "180",
		"MessageRetentionPeriod":        "1209600",
		"ReceiveMessageWaitTimeSeconds": "20",
	}
	_, err := r.client.SetQueueAttributes(r.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url),
		Attributes: want})
	r.must(err)
	for _, names := range [][]types.QueueAttributeName{nil,
		{"Policy", "RedrivePolicy", "VisibilityTimeout", "MessageRetentionPeriod",
			"ReceiveMessageWaitTimeSeconds"}} {
		got := r.attributes(url, names...)
		for name, value := range want {
			if got[name] != value {
				r.errorf("%s is %q, want %q", name, got[name], value)
			}
		}
		if names != nil && len(got) != len(want) {
			r.errorf("%v for the names %v", got, names)
		}
	}
	if got := r.attributes(dead, "RedrivePolicy"); len(got) != 0 {
		r.errorf("a queue without a policy has %v", got)
	}
}

func purge(r *run) {
	url := r.queue(nil)
	r.send(url, "one")
	r.send(url, "two")
	_, err := r.client.PurgeQueue(r.ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(url)})
	r.must(err)
	r.counts("after the purge", url, [3]string{"0", "0", "0"})
}

func purgeTwice(r *run) {
	url := r.queue(nil)
	_, err := r.client.PurgeQueue(r.ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(url)})
	r.must(err)
	_, err = r.client.PurgeQueue(r.ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String(url)})
	r.refused("a purge within 60 seconds", err, "AWS.SimpleQueueService.PurgeQueueInProgress")
}

func deadLetterQueue(r *run) {
	dead := r.queue(nil)
	arn := r.attributes(dead)["QueueArn"]
	url := r.queue(map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` + arn +
		`","maxReceiveCount":2}`})
	sent := r.send(url, "poison")
	for range 2 {
		r.must(r.change(url, r.await(url).ReceiptHandle, 0))
	}
	if got := r.receive(url, 1); len(got) > 0 {
		r.errorf("a message was received a third time: %s", bodies(got))
	}
	m := r.await(dead)
	if *m.Body != "poison" || *m.MessageId != *sent.MessageId {
		r.errorf("the dead-letter queue has %s, %s", *m.MessageId, *m.Body)
	}
	r.counts("the source", url, [3]string{"0", "0", "0"})
}

// deadLetterSource: a message that was given up says where, and goes on counting.
func deadLetterSource(r *run) {
	dead := r.queue(nil)
	url := r.queue(map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"` +
		r.attributes(dead)["QueueArn"] + `","maxReceiveCount":1}`})
	r.send(url, "poison")
	r.must(r.change(url, r.await(url).ReceiptHandle, 0))
	r.receive(url, 1)
	m := r.await(dead)
	if m.Attributes["DeadLetterQueueSourceArn"] != r.attributes(url)["QueueArn"] ||
		m.Attributes["ApproximateReceiveCount"] != "2" {
		r.errorf("attributes %v", m.Attributes)
	}
	_, err := r.client.SetQueueAttributes(r.ctx, &sqs.SetQueueAttributesInput{QueueUrl: aws.String(url),
		Attributes: map[string]string{
			"RedrivePolicy": `{"deadLetterTargetArn":"` + r.attributes(dead)["QueueArn"] +
				`-missing","maxReceiveCount":1}`,
		}})
	r.refused("a dead-letter queue that does not exist", err, invalidValue)
}
