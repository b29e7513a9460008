package clitest

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/internal/localaws"
)

// Queue is a queue of the fake.
type Queue struct {
	Server *localaws.Server
	URL    string
	t      *testing.T
	client *sqs.Client
}

// NewQueue starts a fake AWS with a queue.
func NewQueue(b *Bench, attributes map[string]string) *Queue {
	b.T.Helper()
	server := b.FakeAWS(nil)
	q := &Queue{t: b.T, Server: server, client: sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		HTTPClient:  &http.Client{Transport: localaws.Transport{}},
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})}
	out, err := q.client.CreateQueue(b.T.Context(),
		&sqs.CreateQueueInput{QueueName: aws.String("billing"), Attributes: attributes})
	b.Check(err)
	q.URL = aws.ToString(out.QueueUrl)
	return q
}

// Send puts a message on the queue.
func (q *Queue) Send(body string) {
	q.t.Helper()
	if _, err := q.client.SendMessage(q.t.Context(),
		&sqs.SendMessageInput{QueueUrl: &q.URL, MessageBody: &body}); err != nil {
		q.t.Fatal(err)
	}
}

// Left is how many messages the queue has: those that can be seen, "+", and the others.
func (q *Queue) Left() string {
	q.t.Helper()
	out, err := q.client.GetQueueAttributes(q.t.Context(),
		&sqs.GetQueueAttributesInput{QueueUrl: &q.URL,
			AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		q.t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] + "+" +
		out.Attributes["ApproximateNumberOfMessagesNotVisible"]
}
