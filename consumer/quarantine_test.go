package consumer_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/envelope"
)

var macKey = bytes.Repeat([]byte("k"), consumer.MinQuarantineKey)

func record() consumer.Record {
	return consumer.Record{
		Consumer: "test", At: start.Add(123456789), Reason: envelope.ReasonModified,
		Cause: "the data\nwas \"changed\"",
		Message: consumer.Message{Body: []byte("\x00\xff{not json"), Format: consumer.EventBridge,
			Account: "111111111111"},
		UnverifiedID: "../../etc/passwd", UnverifiedSource: source, UnverifiedType: typ,
	}
}

// The whole way: refused, put away, read again, and reopened after the policy was corrected.
func TestQuarantineAndReopen(t *testing.T) {
	w := newWorld(t)
	q, err := quarantine.NewDir(t.TempDir(), quarantineKeys(t, "bin", macKey))
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Quarantine, w.policy.Types = q, []string{"com.example.invoice.*"}
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonTypeNotAllowed)
	var kept []quarantine.Entry
	for e, err := range q.List(t.Context(), nil) {
		if err != nil || e.Err != nil {
			t.Fatal(err, e.Err)
		}
		kept = append(kept, e)
	}
	if len(kept) != 1 || kept[0].Record.Quarantine != "bin" {
		t.Fatalf("in quarantine: %+v", kept)
	}
	w.policy.Types = nil
	w.wantMessage(reopening(kept[0].Document), consumer.Handled, "")
	w.want(kept[0].Record.Message.Body, consumer.Duplicate, envelope.ReasonReplayed)
}

// quarantineFunc is a Quarantine without keys.
type quarantineFunc func(ctx context.Context, r consumer.Record) error

func (f quarantineFunc) Put(ctx context.Context, r consumer.Record) error { return f(ctx, r) }
func (quarantineFunc) Keys() consumer.QuarantineKeys                      { return consumer.QuarantineKeys{} }
