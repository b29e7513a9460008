package awslambdatest

import (
	"crypto/md5" // what SQS calls md5OfBody; nothing relies on it
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/mint"
	"github.com/sealbus/sealbus/internal/mint/org"
)

// Account and Region are the AWS account (that of envelopetest) and region in the payloads.
const (
	Account = org.Account
	Region  = "eu-central-1"
)

// Delivered is what EventBridge adds to an event. The zero value is an ordinary delivery from Account.
type Delivered struct {
	Account    string // of the publisher; "" = Account
	ReplayName string // of the archive replay that it belongs to; "" = none
}

// EventBridge is an event as EventBridge delivers it to a function or a queue: the entry is what was published
// (envelope.Sealed.EventBridge). d may be nil.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
func EventBridge(t testing.TB, entry *envelope.Entry, d *Delivered) []byte {
	t.Helper()
	if d == nil {
		d = &Delivered{}
	}
	account := d.Account
	if account == "" {
		account = Account
	}
	at := entry.Time
	if at.IsZero() {
		at = time.Now()
	}
	event := mint.Object{
		{Name: "version", Raw: `"0"`},
		{Name: "id", Raw: `"12345678-1234-1234-1234-111122223333"`},
		{Name: "detail-type", Raw: mint.Quote(entry.DetailType)},
		{Name: "source", Raw: mint.Quote(entry.Source)},
		{Name: "account", Raw: mint.Quote(account)},
		{Name: "time", Raw: mint.Quote(at.UTC().Format("2006-01-02T15:04:05Z"))},
		{Name: "region", Raw: mint.Quote(Region)},
		{Name: "resources", Raw: "[]"},
	}
	if d.ReplayName != "" {
		event = event.Add("replay-name", mint.Quote(d.ReplayName))
	}
	return []byte(event.Add("detail", string(entry.Detail)).String())
}

// SQS is a batch from a standard queue with a message for each body: message-1, message-2 and so on.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func SQS(t testing.TB, bodies ...[]byte) []byte {
	t.Helper()
	list := make([]mint.Object, len(bodies))
	for i, body := range bodies {
		list[i] = message(t, i+1, body, "events", sent())
	}
	return batch(list)
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
		list[i] = message(t, i+1, m.Body, "events.fifo", sent().
			Add("SequenceNumber", mint.Quote(fmt.Sprintf("18849496460467%06d", i+1))).
			Add("MessageGroupId", mint.Quote(m.Group)).
			Add("MessageDeduplicationId", mint.Quote(fmt.Sprint(i+1))))
	}
	return batch(list)
}

func sent() mint.Object {
	return mint.Object{
		{Name: "ApproximateReceiveCount", Raw: `"1"`},
		{Name: "SentTimestamp", Raw: `"1545082649183"`},
		{Name: "SenderId", Raw: `"AIDAIENQZJOLO23YVJ4VO"`},
		{Name: "ApproximateFirstReceiveTimestamp", Raw: `"1545082649185"`},
	}
}

func message(t testing.TB, n int, body []byte, queue string, attributes mint.Object) mint.Object {
	t.Helper()
	if !utf8.Valid(body) {
		t.Fatalf("awslambdatest: SQS has only text, the body of message-%d is not UTF-8", n)
	}
	sum := md5.Sum(body)
	return mint.Object{
		{Name: "messageId", Raw: mint.Quote(fmt.Sprintf("message-%d", n))},
		{Name: "receiptHandle", Raw: mint.Quote(fmt.Sprintf("AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a-%d", n))},
		{Name: "body", Raw: mint.Quote(string(body))},
		{Name: "attributes", Raw: attributes.String()},
		{Name: "messageAttributes", Raw: "{}"},
		{Name: "md5OfBody", Raw: mint.Quote(hex.EncodeToString(sum[:]))},
		{Name: "eventSource", Raw: `"aws:sqs"`},
		{Name: "eventSourceARN", Raw: mint.Quote("arn:aws:sqs:" + Region + ":" + Account + ":" + queue)},
		{Name: "awsRegion", Raw: mint.Quote(Region)},
	}
}

func batch(messages []mint.Object) []byte {
	records := make([]string, len(messages))
	for i, m := range messages {
		records[i] = m.String()
	}
	return []byte(`{"Records":[` + strings.Join(records, ",") + `]}`)
}
