package sqs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer/awslambda/sqs"
	"github.com/sealbus/sealbus/internal/localaws"
)

// Held messages stay in the queue and cannot be received; the error counts those that could not be held.
func TestHold(t *testing.T) {
	server, err := localaws.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client := awssqs.New(awssqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", "")})
	queue, err := client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("billing"),
		Attributes: map[string]string{"VisibilityTimeout": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 12
	for i := range n {
		if _, err := client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: queue.QueueUrl,
			MessageBody: aws.String(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() (receipts []string) {
		t.Helper()
		out, err := client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl,
			MaxNumberOfMessages: 10, VisibilityTimeout: 60})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range out.Messages {
			receipts = append(receipts, aws.ToString(m.ReceiptHandle))
		}
		return receipts
	}
	receipts := append(receive(), receive()...)
	if len(receipts) != n {
		t.Fatalf("%d received", len(receipts))
	}
	h, err := sqs.New(client, aws.ToString(queue.QueueUrl))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Hold(t.Context(), receipts, 15*time.Minute); err != nil {
		t.Fatal(err)
	}
	if again := receive(); len(again) > 0 {
		t.Errorf("%d received although they are held", len(again))
	}
	if err := h.Hold(t.Context(), []string{receipts[0], "no such"}, 0); err == nil {
		t.Error("an unknown receipt handle is no error")
	}
	if again := receive(); len(again) != 1 {
		t.Errorf("%d received, although one was let go", len(again))
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := sqs.New(nil, "https://sqs.us-east-1.amazonaws.com/111122223333/billing"); err == nil {
		t.Error("no client")
	}
	if _, err := sqs.New(awssqs.New(awssqs.Options{}), ""); err == nil {
		t.Error("no queue")
	}
}
