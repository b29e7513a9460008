package awslambda_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/awslambda"
	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/keys/trust"
)

func text(t testing.TB, body []byte) string {
	doc, err := json.Marshal(string(body))
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// wrappers are those that a message comes in, by the names of consumer.Options.Wrapper.
var wrappers = map[string]func(t testing.TB, event []byte) string{
	"sns": func(t testing.TB, event []byte) string {
		return `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:111111111111:t","Message":` + text(t, event) + `}`
	},
	"on-failure": func(_ testing.TB, event []byte) string {
		return `{"version":"1.0","requestContext":{"condition":"RetriesExhausted"},"requestPayload":` +
			string(event) + `,"responseContext":{}}`
	},
	"sqs": func(t testing.TB, event []byte) string {
		return `[{"messageId":"1","body":` + text(t, event) + `,"attributes":{},"eventSource":"aws:sqs"}]`
	},
	"kinesis": func(_ testing.TB, event []byte) string {
		return `{"Records":[{"eventSource":"aws:kinesis","kinesis":{"sequenceNumber":"1","data":"` +
			base64.StdEncoding.EncodeToString(event) + `"}}]}`
	},
	"kafka": func(_ testing.TB, event []byte) string {
		return `{"eventSource":"aws:kafka","records":{"t-0":[{"topic":"t","partition":0,"offset":1,"value":"` + base64.StdEncoding.EncodeToString(event) + `"}]}}`
	},
	"logs": func(t testing.TB, event []byte) string {
		return `{"timestamp":1,"ingestionTime":2,"message":` + text(t, event) + `}`
	},
	"text-detail": func(t testing.TB, event []byte) string {
		var m map[string]json.RawMessage
		if err := json.Unmarshal(event, &m); err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(event), `"detail":`+string(m["detail"]), `"detail":`+
			text(t, m["detail"]), 1)
	},
}

// Each wrapper is taken off by both functions. An event is handled once, wrapped or not. Its account counts
// only with the name of the wrapper, and what is refused is in quarantine as it was delivered.
func TestWrappersAreTakenOff(t *testing.T) {
	const account = "111111111111"
	for name, wrap := range wrappers {
		t.Run(string(name), func(t *testing.T) {
			w := newWorld(t)
			w.opts.Parallel = 1 // the copies one after the other
			event := w.deliver(w.sealed("a"), &envelopetest.Delivered{Account: account})
			body := []byte(wrap(t, event))
			w.want(w.invoke(awslambdatest.SQS(t, body, event)))
			if got := awslambdatest.Invoke(t, w.eventBridge(), body); got.Err != nil {
				t.Error(got.Err)
			}
			same(t, "handled", w.taken(), []string{"a"})

			signer := w.org.Signer()
			bundle, err := trust.NewBundle(trust.BundleOptions{}, &trust.Key{
				Verifier: signer.Verifier(), Producer: "orders",
				Sources: []string{"https://orders.example/*"}, Types: []string{"*"},
				Accounts: []string{account},
			})
			if err != nil {
				t.Fatal(err)
			}
			w.trust = bundle
			for _, named := range []string{"", "sns", "on-failure", name} {
				w.core.Wrapper, w.bin.records = named, nil
				event := w.deliver(w.sealed("b"), &envelopetest.Delivered{Account: account})
				body := []byte(wrap(t, event))
				w.want(w.invoke(awslambdatest.SQS(t, body)))
				if named == name {
					same(t, "handled", w.taken(), []string{"b"})
					continue
				}
				same(t, "handled", w.taken(), nil)
				same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonAccountMismatch})
				if m := w.bin.records[0].Message; !bytes.Equal(m.Body, body) || m.Format != consumer.Wrapped {
					t.Errorf("in quarantine: %s %s", m.Format, m.Body)
				}
			}
		})
	}
}

// A replay name in a wrapper counts only with both: that EventBridge alone writes, and the name of the
// wrapper.
func TestWrappedReplay(t *testing.T) {
	w := newWorld(t)
	body := []byte(wrappers["sns"](t, w.deliver(w.sealed("a"), &envelopetest.Delivered{ReplayName: "april"})))
	sealed := w.org.Now()
	w.org.Advance(30 * 24 * time.Hour)
	w.trust = w.newTrust()
	w.core.Permissions = []consumer.Permission{{
		ID: "p", ReplayName: "april", From: sealed.Add(-time.Hour), To: sealed.Add(time.Hour),
		Until: w.org.Now().Add(time.Hour),
	}}
	for _, test := range []struct {
		only  bool
		named string
		want  []string
	}{{false, "", nil}, {true, "", nil}, {false, "sns", nil}, {true, "kafka", nil},
		{true, "sns", []string{"a"}}} {
		w.opts.OnlyEventBridgeWrites, w.core.Wrapper = test.only, test.named
		w.want(w.invoke(awslambdatest.SQS(t, body)))
		same(t, fmt.Sprintf("handled with %v", test), w.taken(), test.want)
	}
}

// Formats that are named take no wrapper, and say which one it was.
func TestWrappersAndFormats(t *testing.T) {
	w := newWorld(t)
	body := []byte(wrappers["sns"](t, w.delivery("a")))
	for _, format := range []awslambda.Format{awslambda.FormatEventBridge, awslambda.FormatCloudEvent} {
		w.opts.Format, w.bin.records = format, nil
		w.want(w.invoke(awslambdatest.SQS(t, body)))
		same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonMalformed})
		if cause := w.bin.records[0].Cause; !strings.Contains(cause, "an SNS envelope") {
			t.Error(cause)
		}
	}
	same(t, "handled", w.taken(), nil)
}

// A wrapper that holds no event is in quarantine, and named; what holds several messages fails as a whole,
// where an answer could not name those that failed.
func TestWrappersNamed(t *testing.T) {
	w := newWorld(t)
	kinesis := wrappers["kinesis"](t, w.delivery("a"))
	one := kinesis[len(`{"Records":[`) : len(kinesis)-len(`]}`)]
	for payload, want := range map[string]string{
		`{"Records":[{"eventSource":"aws:s3","s3":{}}]}`:    "a notification of S3",
		`{"key1":"value1","key2":"value2","key3":"value3"}`: "test event of the Lambda console",
		`{}`: "an empty object",
		wrappers["on-failure"](t, []byte(kinesis)): "no more than one wrapper",
	} {
		w.bin.records = nil
		if got := awslambdatest.Invoke(t, w.eventBridge(), []byte(payload)); got.Err != nil {
			t.Errorf("%s: %v", payload, got.Err)
		}
		w.want(w.invoke(awslambdatest.SQS(t, []byte(payload))))
		same(t, "in quarantine", w.bin.reasons(), []envelope.Reason{envelope.ReasonMalformed,
			envelope.ReasonMalformed})
		for _, r := range w.bin.records {
			if !strings.Contains(r.Cause, want) || string(r.Message.Body) != payload {
				t.Errorf("%s: %s", payload, r.Cause)
			}
		}
	}
	w.bin.records = nil
	for payload, want := range map[string]string{
		`{"Records":[` + one + `,` + one +
			`]}`: "2 messages (a record of Kinesis each)",
		`[` + one + `,` + one + `]`:                                      "batch size of 1",
		`{"deliveryStreamArn":"arn:aws:firehose:r:a:d","records":[{}]}`:  "Amazon Data Firehose",
		`{"Records":[` + one + `,{"body":"x","eventSource":"aws:sqs"}]}`: "several services",
	} {
		if got := awslambdatest.Invoke(t, w.eventBridge(), []byte(payload)); got.Err == nil ||
			!strings.Contains(got.Err.Error(), want) {
			t.Errorf("%s: %v", payload, got.Err)
		}
	}
	same(t, "in quarantine", w.bin.reasons(), nil)
	same(t, "handled", w.taken(), nil)
}

// A pipe sends its records as an array, and takes the same answer as an event source mapping.
func TestSQSFromAPipe(t *testing.T) {
	w := newWorld(t)
	w.failing("b")
	payload := awslambdatest.SQS(t, w.deliveries("a", "b", "c")...)
	var batch struct{ Records json.RawMessage }
	if err := json.Unmarshal(payload, &batch); err != nil {
		t.Fatal(err)
	}
	if got := w.invoke(batch.Records); string(got.Response) != `{"batchItemFailures":[{"itemIdentifier":"message-2"}]}` {
		t.Errorf("answered %s, %v", got.Response, got.Err)
	}
	same(t, "handled", w.sortedItems(), []string{"a", "b", "c"})
	for payload, want := range map[string]string{
		`{"Records":[{"EventSource":"aws:sns","Sns":{}}]}`:           "a function that SNS invokes has awslambda.EventBridge",
		`{"key1":"value1","key2":"value2","key3":"value3"}`:          "test event of the Lambda console",
		`[{"messageId":"1","body":"x","eventSource":"aws:kinesis"}]`: "aws:kinesis",
		`[{"body":"x"}]`: "without a messageId",
	} {
		if got := w.invoke([]byte(payload)); got.Err == nil || !strings.Contains(got.Err.Error(), want) {
			t.Errorf("%s: %v", payload, got.Err)
		}
	}
}
