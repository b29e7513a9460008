// Package awslambdatest invokes functions of package awslambda in tests, as Lambda does: with the JSON that
// AWS documents and a deadline. It reads the response as an event source mapping does.
//
//	org := envelopetest.NewOrg(t, "orders", "https://orders.example/*")
//	entry, _ := org.Event(t, "com.example.order.placed", order).EventBridge(envelope.Structured)
//	payload := awslambdatest.SQS(t, awslambdatest.EventBridge(t, entry, nil))
//	got := awslambdatest.Invoke(t, handler, payload)
//	// got.Err, got.Failed: message-1 and so on
package awslambdatest

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Timeout is how long an invocation of Invoke may take.
const Timeout = 30 * time.Second

// Result is the result of an invocation.
type Result struct {
	Response []byte // JSON, as Lambda gets it; nil if the invocation failed
	Err      error  // the error of the function, or of writing its response; nil = it succeeded

	// Failed are the messages that an event source mapping with ReportBatchItemFailures delivers again, by
	// messageId, in the order of the batch. It is empty if the payload is no batch of SQS messages.
	Failed []string
}

// Invoke invokes the handler, which is what lambda.Start takes, for at most Timeout.
func Invoke[Response any](t testing.TB, handler func(context.Context, json.RawMessage) (Response, error),
	payload []byte) *Result {
	t.Helper()
	return InvokeFor(t, Timeout, handler, payload)
}

// InvokeFor is Invoke with another timeout. Like Lambda, it gives the handler a context that ends at the
// timeout. Unlike Lambda, it does not kill a handler that goes on, but waits for it.
func InvokeFor[Response any](t testing.TB, timeout time.Duration,
	handler func(context.Context, json.RawMessage) (Response, error), payload []byte) *Result {
	t.Helper()
	ids := messageIDs(t, payload)
	// Lambda gives the deadline by the wall clock.
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(timeout).Round(0))
	defer cancel()
	response, err := handler(ctx, slices.Clone(payload))
	if err != nil {
		return &Result{Err: err, Failed: ids}
	}
	doc, err := json.Marshal(response)
	if err != nil {
		return &Result{Err: err, Failed: ids}
	}
	return &Result{Response: doc, Failed: failed(ids, doc)}
}

// messageIDs are the messages of a batch of SQS messages; nil if the payload is none.
func messageIDs(t testing.TB, payload []byte) []string {
	t.Helper()
	if !json.Valid(payload) {
		t.Fatal("awslambdatest: the payload is not JSON, and Lambda invokes a function with JSON only")
	}
	var batch struct {
		Records []struct {
			ID string `json:"messageId"`
		}
	}
	if json.Unmarshal(payload, &batch) != nil {
		return nil
	}
	var ids []string
	for _, r := range batch.Records {
		if r.ID != "" {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// failed reads the response of a function behind SQS. A fault in the response makes all messages fail.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func failed(ids []string, response []byte) []string {
	named, err := itemFailures(response)
	if err != nil {
		return ids
	}
	unknown := map[string]bool{} // of those that are named
	for _, id := range named {
		unknown[id] = true
	}
	var list []string
	for _, id := range ids {
		if _, isNamed := unknown[id]; isNamed {
			list, unknown[id] = append(list, id), false
		}
	}
	for _, is := range unknown {
		if is {
			return ids
		}
	}
	return list
}

var errResponse = errors.New("not a partial batch response")

// itemFailures are the identifiers in a response. An empty response or list, or null, is one without
// failures.
func itemFailures(response []byte) (ids []string, err error) {
	r := jsontext.NewDecoder(response)
	if isNull(&r) {
		return nil, nil
	}
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "batchItemFailures" || isNull(&r) {
			r.SkipValue()
			continue
		}
		for list := r.Array(); r.Element(&list); {
			ids = append(ids, itemIdentifier(&r))
		}
	}
	return ids, r.End()
}

func itemIdentifier(r *jsontext.Decoder) (id string) {
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "itemIdentifier" {
			r.SkipValue()
			continue
		}
		id = r.String()
	}
	if id == "" {
		r.Fail(errResponse)
	}
	return id
}

func isNull(r *jsontext.Decoder) bool { return r.PeekKind() == 'n' }
