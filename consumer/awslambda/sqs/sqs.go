// Package sqs holds messages in Amazon SQS while the trust of a function is unavailable: the function changes
// their visibility timeout. They then use up fewer of the queue's maxReceiveCount.
//
//	hold, err := sqs.New(sqs.NewFromConfig(cfg), queueURL) // the client is that of the AWS SDK
//	lambda.Start(awslambda.SQS(c, handle, &awslambda.Options{Hold: hold}))
//
// It needs the permission sqs:ChangeMessageVisibility on this one queue.
//
// Threats: none of its own. Forged events do not make trust unavailable, so they hold nothing. If a call
// fails, the messages come again after the visibility timeout of the queue, as they do without this package.
//
// Stable: New, Holder.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// maxEntries is how many messages one call takes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
const maxEntries = 10

// Client is what Holder uses of *sqs.Client.
type Client interface {
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput,
		opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

var (
	_ Client           = (*sqs.Client)(nil)
	_ awslambda.Holder = (*Holder)(nil)
)

// Holder holds messages of one queue. It is safe for concurrent use.
type Holder struct {
	client Client
	url    string
}

// New makes the Holder of the queue in front of the function, by its URL.
func New(client Client, queueURL string) (*Holder, error) {
	if err := nilcheck.Check("awslambda/sqs: the client", client); err != nil {
		return nil, err
	}
	if queueURL == "" {
		return nil, errors.New("awslambda/sqs: no URL of the queue: give the queue that invokes the function")
	}
	return &Holder{client, queueURL}, nil
}

// Hold makes the messages invisible for that time, in whole seconds. The error names how many are not.
func (h *Holder) Hold(ctx context.Context, receipts []string, d time.Duration) error {
	failed := 0
	var errs []error
	for some := range slices.Chunk(receipts, maxEntries) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &h.url}
		for i := range some {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &some[i],
				VisibilityTimeout: int32(d / time.Second)})
		}
		out, err := h.client.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			failed, errs = failed+len(some), append(errs, err)
			continue
		}
		for _, f := range out.Failed {
			failed, errs = failed+1, append(errs, fmt.Errorf("%s: %s", aws.ToString(f.Code), aws.ToString(f.Message)))
		}
	}
	if failed > 0 {
		return fmt.Errorf("awslambda/sqs: %d of %d messages: %w", failed, len(receipts), errors.Join(errs...))
	}
	return nil
}
