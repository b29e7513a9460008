package interop_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
	"github.com/sealbus/sealbus/consumer/quarantine/sqs"
)

// TestQuarantineInFauxqs runs the contract of a quarantine over a queue that is not our own.
func TestQuarantineInFauxqs(t *testing.T) {
	quarantinetest.Run(t, func(t *testing.T) *quarantinetest.Place {
		s := startFauxqs(t)
		client := newQueueClient(s)
		out, err := client.CreateQueue(t.Context(),
			&awssqs.CreateQueueInput{QueueName: aws.String("quarantine")})
		if err != nil {
			t.Fatal(err)
		}
		return &quarantinetest.Place{
			Open: func(t *testing.T, keys consumer.QuarantineKeys) quarantine.Store {
				store, err := sqs.New(&hasty{client}, *out.QueueUrl, keys, nil)
				if err != nil {
					t.Fatal(err)
				}
				return store
			},
			Inject: func(t *testing.T, _ string, doc []byte) {
				body := strings.ToValidUTF8(string(doc), "?")
				if _, err := client.SendMessage(t.Context(),
					&awssqs.SendMessageInput{QueueUrl: out.QueueUrl, MessageBody: &body}); err != nil {
					t.Fatal(err)
				}
			},
			Down: func(*testing.T) { s.kill() },
			Fits: 740 << 10, TooLarge: 800 << 10, Unordered: true,
		}
	})
}

// hasty does not wait for messages: there is one server, and an empty answer of it is true.
type hasty struct{ *awssqs.Client }

func (h *hasty) ReceiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput,
	with ...func(*awssqs.Options)) (*awssqs.ReceiveMessageOutput, error) {
	short := *in
	short.WaitTimeSeconds = 0
	return h.Client.ReceiveMessage(ctx, &short, with...)
}
