package envelopetest

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/testbed/mint"
	"github.com/sealbus/sealbus/internal/testbed/org"
)

// Delivered has the members that EventBridge adds to an event. The zero value is an ordinary delivery.
type Delivered struct {
	Account    string // the AWS account of the publisher; "" = 111122223333
	ReplayName string // the archive replay that it belongs to; "" = none
}

// EventBridge is the published entry (envelope.Sealed.EventBridge) as EventBridge delivers it to a function
// or a queue. A nil d is the zero Delivered.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
func EventBridge(t testing.TB, entry *envelope.Entry, d *Delivered) []byte {
	t.Helper()
	if d == nil {
		d = &Delivered{}
	}
	account := d.Account
	if account == "" {
		account = org.Account
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
		{Name: "region", Raw: `"eu-central-1"`},
		{Name: "resources", Raw: "[]"},
	}
	if d.ReplayName != "" {
		event = event.Add("replay-name", mint.Quote(d.ReplayName))
	}
	return []byte(event.Add("detail", string(entry.Detail)).String())
}
