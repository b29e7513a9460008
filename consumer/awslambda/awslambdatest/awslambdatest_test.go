package awslambdatest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/sealbus/sealbus/consumer/awslambda/awslambdatest"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
)

// The rules by which Lambda reads a partial batch response, each as AWS documents it.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func TestFailed(t *testing.T) {
	all := []string{"message-1", "message-2", "message-3"}
	payload := awslambdatest.SQS(t, []byte("a"), []byte("b"), []byte("c"))
	for response, want := range map[string][]string{
		`null`:                       nil,
		`{}`:                         nil,
		`{"other":1}`:                nil,
		`{"batchItemFailures":null}`: nil,
		`{"batchItemFailures":[]}`:   nil,
		`{"batchItemFailures":[{"itemIdentifier":"message-3"},{"itemIdentifier":"message-1"}]}`: {"message-1",
			"message-3"},
		`{"batchItemFailures":[{"itemIdentifier":"message-2"},{"itemIdentifier":"message-2"}]}`: {"message-2"},
		// A response without the member.
		`{"BatchItemFailures":[{"itemIdentifier":"message-2"}]}`:                        nil,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`:                                 all,
		`{"batchItemFailures":[{"itemIdentifier":null}]}`:                               all,
		`{"batchItemFailures":[{"itemIdentifier":1}]}`:                                  all,
		`{"batchItemFailures":[{"ItemIdentifier":"message-2"}]}`:                        all,
		`{"batchItemFailures":[{}]}`:                                                    all,
		`{"batchItemFailures":["message-2"]}`:                                           all,
		`{"batchItemFailures":{}}`:                                                      all,
		`{"batchItemFailures":[{"itemIdentifier":"message-4"}]}`:                        all,
		`{"batchItemFailures":[{"itemIdentifier":"message-1"},{"itemIdentifier":"x"}]}`: all,
		`"message-1"`: all,
		`[]`:          all,
	} {
		got := awslambdatest.Invoke(t, func(context.Context, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(response), nil
		}, payload)
		if got.Err != nil || string(got.Response) != response || !slices.Equal(got.Failed, want) {
			t.Errorf("%s: %v, %v, want %v", response, got.Failed, got.Err, want)
		}
	}
}

func TestInvocationFails(t *testing.T) {
	payload := awslambdatest.FIFO(t, awslambdatest.Grouped{Group: "a", Body: []byte("1")},
		awslambdatest.Grouped{Group: "b", Body: []byte("2")})
	boom := errors.New("boom")
	for name, handler := range map[string]func(context.Context, json.RawMessage) (any, error){
		"error":   func(context.Context, json.RawMessage) (any, error) { return struct{}{}, boom },
		"no JSON": func(context.Context, json.RawMessage) (any, error) { return math.NaN(), nil },
	} {
		got := awslambdatest.Invoke(t, handler, payload)
		if got.Err == nil || got.Response != nil ||
			!slices.Equal(got.Failed, []string{"message-1", "message-2"}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := awslambdatest.Invoke(t, func(context.Context, json.RawMessage) (any, error) { return nil, boom }, []byte(`"x"`)); !errors.Is(got.Err, boom) || got.Failed != nil {
		t.Errorf("no batch: %+v", got)
	}
}

// The handler has a deadline, and a payload of its own.
func TestInvokeFor(t *testing.T) {
	payload := []byte(`{"a":1}`)
	got := awslambdatest.InvokeFor(t, time.Hour, func(ctx context.Context, raw json.RawMessage) (string,
		error) {
		clear(raw)
		end, ok := ctx.Deadline()
		if left := time.Until(end); !ok || left > time.Hour || left < 30*time.Minute {
			t.Errorf("%v are left", left)
		}
		return "ok", nil
	}, payload)
	if string(got.Response) != `"ok"` || string(payload) != `{"a":1}` {
		t.Errorf("%+v, %s", got, payload)
	}
}

// The payloads are what AWS's own library reads, without a member that it does not know.
func TestPayloads(t *testing.T) {
	strict := func(doc []byte, into any) {
		t.Helper()
		d := json.NewDecoder(bytes.NewReader(doc))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("%v: %s", err, doc)
		}
	}
	var sqs, fifo events.SQSEvent
	body := "\"<é😀>\"\n{\\"
	strict(awslambdatest.SQS(t, []byte("first"), []byte(body)), &sqs)
	strict(awslambdatest.FIFO(t, awslambdatest.Grouped{Group: "a", Body: []byte(body)}), &fifo)
	if len(sqs.Records) != 2 || sqs.Records[1].MessageId != "message-2" || sqs.Records[1].Body != body ||
		sqs.Records[1].EventSource != "aws:sqs" {
		t.Errorf("got %+v", sqs)
	}
	if len(fifo.Records) != 1 || fifo.Records[0].Attributes["MessageGroupId"] != "a" ||
		fifo.Records[0].Body != body || fifo.Records[0].Attributes["SequenceNumber"] == "" {
		t.Errorf("got %+v", fifo)
	}

	entry := &envelope.Entry{Source: "s", DetailType: "t", Detail: []byte(`{"a":1}`)}
	var plain, replayed events.EventBridgeEvent
	strict(awslambdatest.EventBridge(t, entry, nil), &plain)
	if plain.Source != "s" || plain.DetailType != "t" || string(plain.Detail) != `{"a":1}` ||
		plain.AccountID != awslambdatest.Account || plain.Time.IsZero() {
		t.Errorf("got %+v", plain)
	}
	doc := awslambdatest.EventBridge(t, entry, &envelopetest.Delivered{Account: "1", ReplayName: "april"})
	if err := json.Unmarshal(doc, &replayed); err != nil || replayed.AccountID != "1" ||
		!bytes.Contains(doc, []byte(`"replay-name":"april"`)) {
		t.Errorf("got %s, %v", doc, err)
	}
}

// fatal is a testing.TB whose Fatal can be seen.
type fatal struct {
	testing.TB
	called bool
}

func (f *fatal) Fatal(...any)          { f.called = true }
func (f *fatal) Fatalf(string, ...any) { f.called = true }

func TestWhatLambdaNeverSends(t *testing.T) {
	f := &fatal{TB: t}
	awslambdatest.Invoke(f, func(context.Context, json.RawMessage) (any, error) { return nil, nil },
		[]byte(`{`))
	if !f.called {
		t.Error("a payload that is no JSON was taken")
	}
	f = &fatal{TB: t}
	awslambdatest.SQS(f, []byte("\xff"))
	if !f.called {
		t.Error("a body that is no text was taken")
	}
}
