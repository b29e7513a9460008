package sqs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Reopen sends an authentic record, from any Store, to the queue of its consumer. The consumer recognises it
// as a consumer.QuarantineRecord, and takes it if its Options.Quarantine has the key. Once the error is nil,
// the record may be removed from the quarantine. The error wraps quarantine.ErrTooLarge if the record does
// not fit into a message.
//
// In a FIFO queue the record is in a group of its own, so it holds up no other message, and none holds it
// up. A record that is sent twice is in the queue twice, also in a FIFO queue. With one deduplication ID,
// SQS would acknowledge a second copy within five minutes and drop it. The record would then be removed from
// quarantine, although the first copy may be gone. Reopen needs the permission sqs:SendMessage on the queue.
func Reopen(ctx context.Context, client Sender, queueURL string, e quarantine.Entry) error {
	if e.Record == nil {
		return errors.New("quarantine/sqs: this entry is not authentic, and only an authentic record can be reopened")
	}
	if err := errors.Join(nilcheck.Check("the client", client), checkURL(queueURL)); err != nil {
		return fmt.Errorf("quarantine/sqs: %w", err)
	}
	if len(e.Document) > defaultMaxBytes {
		return fmt.Errorf("%w: %d bytes, a message holds %d: hand it to the consumer without a queue",
			quarantine.ErrTooLarge, len(e.Document), defaultMaxBytes)
	}
	in := &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String(string(e.Document))}
	if strings.HasSuffix(queueURL, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = &e.ID, aws.String(rand.Text())
	}
	ctx, done := context.WithTimeout(ctx, defaultTimeout)
	defer done()
	if err := send(ctx, client, in); err != nil {
		return failed(queueURL, "sqs:SendMessage", err)
	}
	return nil
}
