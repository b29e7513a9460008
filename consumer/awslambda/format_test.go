package awslambda_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// The shape of a message decides what it is; a message that could be two things is neither.
func TestShapeDecidesTheFormat(t *testing.T) {
	w := newWorld(t)
	bus := func(layout envelope.Layout, item string) string {
		entry, err := w.sealed(item).EventBridge(layout)
		if err != nil {
			t.Fatal(err)
		}
		return string(awslambdatest.EventBridge(t, entry, nil))
	}
	with := func(member, doc string) string { return "{" + member + "," + doc[1:] }
	const auto, onlyBus, onlyEvent = awslambda.FormatAuto, awslambda.FormatEventBridge,
		awslambda.FormatCloudEvent
	for _, test := range []struct {
		name   string
		format awslambda.Format
		body   string
		reason envelope.Reason // "" = handled
	}{
		{"EventBridge", auto, bus(envelope.Structured, "x"), ""},
		{"EventBridge, embedded", auto, bus(envelope.Embedded, "x"), ""},
		{"CloudEvent", auto, string(w.sealed("x").JSON()), ""},
		{"white space", auto, "\n " + bus(envelope.Structured, "x") + "\n", ""},
		{"escaped name", auto, strings.Replace(bus(envelope.Structured, "x"), `"detail-type"`,
			`"det\u0061il-type"`, 1), ""},
		{"EventBridge alone", onlyBus, bus(envelope.Structured, "x"), ""},
		{"CloudEvent alone", onlyEvent, string(w.sealed("x").JSON()), ""},
		{"CloudEvent where EventBridge is", onlyBus, string(w.sealed("x").JSON()), envelope.ReasonMalformed},
		{"EventBridge where CloudEvent is", onlyEvent, bus(envelope.Structured, "x"),
			envelope.ReasonMalformed},
		{"both, EventBridge", auto, with(`"specversion":"1.0"`, bus(envelope.Structured, "x")),
			envelope.ReasonMalformed},
		{"both, CloudEvent", auto, with(`"detail-type":"x"`, string(w.sealed("x").JSON())),
			envelope.ReasonMalformed},
		{"EventBridge and record", auto, with(`"unverified_id":"x"`, bus(envelope.Structured, "x")),
			envelope.ReasonMalformed},
		{"CloudEvent and record", auto, with(`"unverified_id":"x"`, string(w.sealed("x").JSON())),
			envelope.ReasonMalformed},
		{"detail-type twice", auto, with(`"detail-type":"x"`, bus(envelope.Structured, "x")),
			envelope.ReasonMalformed},
		{"detail-type in another case", auto, strings.Replace(bus(envelope.Structured, "x"), `"detail-type"`,
			`"Detail-Type"`, 1), envelope.ReasonMalformed},
		{"neither", auto, `{}`, envelope.ReasonMalformed},
		{"a batch", auto, string(awslambdatest.SQS(t, w.delivery("x"))), envelope.ReasonMalformed},
		{"null", auto, `null`, envelope.ReasonMalformed},
		{"an array", auto, `[` + bus(envelope.Structured, "x") + `]`, envelope.ReasonMalformed},
		{"two", auto, bus(envelope.Structured, "x") +
			bus(envelope.Structured, "x"), envelope.ReasonMalformed},
		{"text", auto, `forged`, envelope.ReasonMalformed},
		{"nothing", auto, ``, envelope.ReasonMalformed},
		{"large", auto, `{"detail-type":"` + strings.Repeat("x", 2<<20) + `"}`, envelope.ReasonTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.T, w.bin.records, w.opts.Format = t, nil, test.format
			w.want(w.invoke(awslambdatest.SQS(t, []byte(test.body))))
			if test.reason == "" {
				same(t, "handled", w.taken(), []string{"x"})
				same(t, "in quarantine", w.bin.reasons(), nil)
				return
			}
			same(t, "handled", w.taken(), nil)
			same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{test.reason})
			if got := w.bin.records[0].Message.Body; !bytes.Equal(got, []byte(test.body)) {
				t.Errorf("the quarantine has other bytes: %.100q", got)
			}
		})
	}
}

// A refused message is reopened by sending its record, under every Format, to both kinds of function.
func TestReopen(t *testing.T) {
	keys, err := consumer.NewQuarantineKeys("q", bytes.Repeat([]byte("k"), consumer.MinQuarantineKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []awslambda.Format{awslambda.FormatAuto, awslambda.FormatEventBridge,
		awslambda.FormatCloudEvent} {
		w := newWorld(t)
		w.bin.keys = keys
		w.policy.Types = []string{"com.example.other"}
		w.want(w.invoke(awslambdatest.SQS(t, w.delivery("a"), w.delivery("b"))))
		same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonTypeNotAllowed,
			envelope.ReasonTypeNotAllowed})

		w.policy.Types, w.opts.Format = nil, format
		var records [][]byte
		for _, r := range w.bin.records {
			record, err := keys.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, record)
		}
		forged := bytes.Replace(records[0], []byte(`"mac":"`), []byte(`"mac":"AAAA`), 1)
		w.bin.records = nil
		w.want(w.invoke(awslambdatest.SQS(t, records[0], forged)))
		if got := awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), w.handle, &w.opts),
			records[1]); got.Err != nil {
			t.Error(got.Err)
		}
		same(t, "handled", w.sortedItems(), []string{"a", "b"})
		same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonBadSignature})
	}
}

// A replay has its permission only where EventBridge alone can have named it.
func TestReplayNameCountsOnlyFromEventBridge(t *testing.T) {
	w := newWorld(t)
	old := w.sealed("a")
	replayed := string(w.deliver(old, &envelopetest.Delivered{ReplayName: "april"}))
	sealed := w.org.Now()
	w.org.Advance(30 * 24 * time.Hour)
	w.trust = w.newTrust()
	w.core.Permissions = []consumer.Permission{{
		ID: "p", ReplayName: "april", From: sealed.Add(-time.Hour), To: sealed.Add(time.Hour),
		Until: w.org.Now().Add(time.Hour),
	}}
	as := func(member string) string { return strings.Replace(replayed, `"replay-name":"april"`, member, 1) }
	for _, test := range []struct {
		name, body string
		believed   bool
		reason     envelope.Reason
	}{
		{"not believed", replayed, false, envelope.ReasonExpired},
		{"another name", as(`"replay-name":"May"`), true, envelope.ReasonExpired},
		{"none", as(`"x":1`), true, envelope.ReasonExpired},
		{"null", as(`"replay-name":null`), true, envelope.ReasonExpired},
		{"a number", as(`"replay-name":1`), true, envelope.ReasonExpired},
		{"a list", as(`"replay-name":["april"]`), true, envelope.ReasonExpired},
		{"no name of a replay", as(`"replay-name":"` + strings.Repeat("april", 20) + `"`), true,
			envelope.ReasonExpired},
		{"another case", as(`"Replay-Name":"april"`), true, envelope.ReasonExpired},
		{"in the detail", strings.Replace(as(`"x":1`), `"detail":{`, `"detail":{"replay-name":"april",`, 1),
			true, envelope.ReasonExpired},
		{"twice", as(`"replay-name":"april","replay-name":"april"`), true, envelope.ReasonMalformed},
		{"in a CloudEvent", `{"replay-name":"april",` + string(old.JSON())[1:], true, envelope.ReasonExpired},
		{"believed", replayed, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w.T, w.bin.records, w.opts.OnlyEventBridgeWrites = t, nil, test.believed
			w.want(w.invoke(awslambdatest.SQS(t, []byte(test.body))))
			if test.reason == "" {
				same(t, "handled", w.taken(), []string{"a"})
				return
			}
			same(t, "handled", w.taken(), nil)
			same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{test.reason})
		})
	}
	if got := awslambdatest.Invoke(t, awslambda.EventBridge(w.consumer(), w.handle, &w.opts),
		[]byte(replayed)); got.Err != nil {
		t.Error(got.Err)
	}
	same(t, "handled again", w.taken(), nil)
}
