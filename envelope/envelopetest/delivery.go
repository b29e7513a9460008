package envelopetest

import (
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
)

// Delivered is what EventBridge adds to an event. The zero value is an ordinary delivery from Account.
type Delivered struct {
	Account    string // of the publisher; "" = Account
	ReplayName string // of the archive replay that it belongs to; "" = none
}

// EventBridge is an event as EventBridge delivers it to a function or a queue: the entry is what was
// published (envelope.Sealed.EventBridge). d may be nil.
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

// SQS is the event with which a standard queue invokes a Lambda function, with a message for each body:
// message-1, message-2 and so on. A queue behind EventBridge has bodies as EventBridge and Broken.EventBridge
// make them.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func SQS(t testing.TB, bodies ...[]byte) []byte {
	t.Helper()
	list := make([]mint.Object, len(bodies))
	for i, body := range bodies {
		if !utf8.Valid(body) {
			t.Fatalf("envelopetest: SQS has only text, the body of message-%d is not UTF-8", i+1)
		}
		list[i] = mint.SQSMessage(i+1, body, fmt.Sprintf("arn:aws:sqs:%s:%s:events", Region, Account), nil)
	}
	return mint.SQSBatch(list)
}
