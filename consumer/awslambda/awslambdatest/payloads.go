package awslambdatest

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/testbed/org"
)

// Account is the AWS account in the payloads.
const Account = org.Account

// region is the AWS region in the payloads.
const region = "eu-central-1"

// EventBridge is an event as EventBridge delivers it to a function or a queue: the entry is what was
// published (envelope.Sealed.EventBridge). d may be nil. It is envelopetest.EventBridge.
func EventBridge(t testing.TB, entry *envelope.Entry, d *envelopetest.Delivered) []byte {
	t.Helper()
	return envelopetest.EventBridge(t, entry, d)
}

// SQS is a batch from a standard queue with a message for each body: message-1, message-2 and so on. A queue
// behind EventBridge has bodies as EventBridge and envelopetest.Broken.EventBridge make them.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func SQS(t testing.TB, bodies ...[]byte) []byte {
	t.Helper()
	list := make([]mint.Object, len(bodies))
	for i, body := range bodies {
		if !utf8.Valid(body) {
			t.Fatalf("awslambdatest: SQS has only text, the body of message-%d is not UTF-8", i+1)
		}
		list[i] = mint.SQSMessage(i+1, body, fmt.Sprintf("arn:aws:sqs:%s:%s:events", region, Account), nil)
	}
	return mint.SQSBatch(list)
}

// Grouped is a message of a FIFO queue.
type Grouped struct {
	Group string
	Body  []byte
}

// FIFO is a batch from a FIFO queue: message-1, message-2 and so on, in the order in which they were sent.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func FIFO(t testing.TB, messages ...Grouped) []byte {
	t.Helper()
	list := make([]mint.Object, len(messages))
	for i, m := range messages {
		if !utf8.Valid(m.Body) {
			t.Fatalf("awslambdatest: SQS has only text, the body of message-%d is not UTF-8", i+1)
		}
		list[i] = mint.SQSMessage(i+1, m.Body, fmt.Sprintf("arn:aws:sqs:%s:%s:events.fifo", region, Account),
			mint.Object{
				{Name: "SequenceNumber", Raw: mint.Quote(fmt.Sprintf("18849496460467%06d", i+1))},
				{Name: "MessageGroupId", Raw: mint.Quote(m.Group)},
				{Name: "MessageDeduplicationId", Raw: mint.Quote(fmt.Sprint(i + 1))},
			})
	}
	return mint.SQSBatch(list)
}
