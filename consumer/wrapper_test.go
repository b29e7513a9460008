package consumer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys/trust"
)

// inSNS is what SNS makes of a message without raw message delivery.
func inSNS(body []byte) []byte {
	text, err := json.Marshal(string(body))
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil,
		`{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:eu-west-1:111111111111:t","Message":%s}`, text)
}

func wrapped(body []byte) consumer.Message {
	return consumer.Message{Body: body, Format: consumer.Wrapped}
}

const ours = "111111111111"

// bound binds the key of orders to an account.
func (w *world) bound() {
	w.keys[0].Accounts = []string{ours}
	w.publish(trust.BundleOptions{})
}

// The account in a wrapper counts only if the consumer's options name that very wrapper. The message stays in
// quarantine as it was delivered, and passes from there once the wrapper is named.
func TestWrappedAccount(t *testing.T) {
	w := newWorld(t)
	w.bound()
	w.reopens()
	msg := wrapped(inSNS(w.delivery(w.seal(placed("1"), envelope.SealOptions{}), ours)))
	for _, name := range []string{"", "kinesis"} {
		w.opts.Wrapper = name
		r := w.wantMessage(msg, consumer.Quarantined, envelope.ReasonAccountMismatch)
		if !strings.Contains(r.Verdict.Cause, "an SNS envelope") ||
			!strings.Contains(r.Verdict.Fix(), `consumer.Options.Wrapper, here "sns"`) {
			t.Errorf("%q: %s; %s", name, r.Verdict.Cause, r.Verdict.Fix())
		}
	}
	if rec := w.bin.records[0]; !bytes.Equal(rec.Message.Body, msg.Body) ||
		rec.Message.Format != consumer.Wrapped {
		t.Fatalf("record %+v", rec.Message)
	}
	w.opts.Wrapper = "sns"
	other := wrapped(inSNS(w.delivery(w.seal(placed("2"), envelope.SealOptions{}), "222222222222")))
	w.wantMessage(other, consumer.Quarantined, envelope.ReasonAccountMismatch)
	w.bin.records = w.bin.records[:1]
	w.reopen(consumer.Handled, "")
	w.wantMessage(msg, consumer.Duplicate, envelope.ReasonReplayed)

	w.opts.Wrapper = "" // what the transport states beside the body counts, as ever
	stated := wrapped(inSNS(w.delivery(w.seal(placed("3"), envelope.SealOptions{}), "222222222222")))
	stated.Account = ours
	w.wantMessage(stated, consumer.Handled, "")
	w.opts.Wrapper = "nonsense"
	if _, err := consumer.New("test", &w.trust, w.store, &w.policy, &w.opts); err == nil {
		t.Error("an unknown wrapper")
	}
}

// One event has one claim, however it was wrapped.
func TestWrappedClaim(t *testing.T) {
	w := newWorld(t)
	sealed := w.seal(placed("1"), envelope.SealOptions{})
	bus := w.delivery(sealed, ours)
	w.wantMessage(wrapped(inSNS(bus)), consumer.Handled, "")
	w.wantMessage(wrapped(inSNS(sealed.JSON())), consumer.Duplicate, envelope.ReasonReplayed)
	w.wantMessage(consumer.Message{Body: bus, Format: consumer.EventBridge}, consumer.Duplicate,
		envelope.ReasonReplayed)
	w.wantMessage(consumer.Message{Body: sealed.JSON()}, consumer.Duplicate, envelope.ReasonReplayed)
	w.wantMessage(consumer.Message{Body: bytes.Replace(bus, []byte(`"pen"`), []byte(`"pan"`), 1),
		Format: consumer.EventBridge}, consumer.Quarantined, envelope.ReasonModified)
	w.wantMessage(wrapped(inSNS(bytes.Replace(bus, []byte(`"pen"`), []byte(`"pan"`), 1))), consumer.Quarantined,
		envelope.ReasonModified)
	at := bytes.LastIndex(bus, []byte(source)) // outside of the detail
	w.wantMessage(wrapped(inSNS(append(bus[:at:at], "https://orders.example/xx"+
		string(bus[at+len(source):])...))), consumer.Quarantined, envelope.ReasonEnvelopeMismatch)
}

// A replay name counts only with the name of the wrapper.
func TestWrappedReplayName(t *testing.T) {
	w := newWorld(t)
	msg := wrapped(inSNS(w.delivery(w.seal(placed("1"), envelope.SealOptions{}), ours)))
	msg.ReplayName = replayName
	w.clock.Advance(30 * 24 * time.Hour)
	w.permitted()
	w.wantMessage(msg, consumer.Quarantined, envelope.ReasonExpired)
	w.opts.Wrapper = "sns"
	if r := w.wantMessage(msg, consumer.Handled, ""); r.Permission != "again-1" {
		t.Errorf("%+v", r)
	}
}

// For UnsafeMigration, source and detail-type in a wrapper count only with its name.
func TestWrappedMigration(t *testing.T) {
	w := newWorld(t)
	seen := migrates(w, new(error))
	legacy := fmt.Appendf(nil, `{"source":"legacy.orders","detail-type":%q,"account":"1","detail":{"a":1}}`,
		typ)
	legacy = bytes.Replace(legacy, []byte("legacy.orders"), []byte(w.opts.UnsafeMigration[0].Source), 1)
	w.wantMessage(consumer.Message{Body: legacy, Format: consumer.EventBridge}, consumer.Migrating,
		envelope.ReasonUnsigned)
	msg := wrapped(inSNS(legacy))
	w.wantMessage(msg, consumer.Quarantined, envelope.ReasonUnsigned)
	if len(*seen) != 1 {
		t.Fatalf("Handle was called %d times", len(*seen))
	}
	w.opts.Wrapper = "sns"
	w.wantMessage(msg, consumer.Migrating, envelope.ReasonUnsigned)
	if o := (*seen)[1]; !bytes.Equal(o.Message.Body, msg.Body) {
		t.Errorf("its Handle got %s", o.Message.Body)
	}
}

// A document without an event is malformed, and so is a wrapper where none is taken. The verdict names it.
func TestWrappedNamed(t *testing.T) {
	w := newWorld(t)
	sns := inSNS(w.event("1"))
	for name, test := range map[string]struct {
		msg   consumer.Message
		cause string
	}{
		"S3": {wrapped([]byte(`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`)),
			"a notification of S3"},
		"S3, as a CloudEvent":  {consumer.Message{Body: []byte(`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`)}, "a notification of S3"},
		"a test":               {consumer.Message{Body: []byte(`{"key1":"value1","key2":"value2","key3":"value3"}`)}, "Lambda console"},
		"SNS, as a CloudEvent": {consumer.Message{Body: sns}, "this is an SNS envelope"},
		"SNS, as EventBridge": {consumer.Message{Body: sns, Format: consumer.EventBridge},
			"this is an SNS envelope"},
		"SNS in SNS": {wrapped(inSNS(sns)), "no more than one wrapper"},
		"no wrapper": {wrapped(w.event("1")), "in none that is known"},
		"a record in SNS": {wrapped(inSNS(marshal(t, consumer.Record{}, macKey))),
			"a quarantine record"},
	} {
		r := w.wantMessage(test.msg, consumer.Quarantined, envelope.ReasonMalformed)
		if !strings.Contains(r.Verdict.Cause, test.cause) || r.Verdict.Advice == "" ||
			r.Verdict.Fix() != r.Verdict.Advice {
			t.Errorf("%s: %s; %s", name, r.Verdict.Cause, r.Verdict.Fix())
		}
	}
	if len(w.handled) > 0 {
		t.Errorf("%d were handled", len(w.handled))
	}
}
