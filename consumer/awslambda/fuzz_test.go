package awslambda

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/keys/trust"
)

// corpus fails unless the fuzz target has its committed inputs.
func corpus(f *testing.F, target string) {
	f.Helper()
	files, err := filepath.Glob("testdata/fuzz/" + target + "/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
}

// A consumer that trusts no one and has no quarantine can acknowledge nothing: whatever the payload is, the
// invocation fails, unless there was no message in it. And messages that are read are those that
// encoding/json reads.
func FuzzSQS(f *testing.F) {
	corpus(f, "FuzzSQS")
	bundle, err := trust.NewBundle(trust.BundleOptions{})
	if err != nil {
		f.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	policy := &envelope.Policy{Unsafe: envelope.Unsafe{AnySource: true}}
	c, err := consumer.New("fuzz", bundle, replay.NewMemory(&replay.MemoryOptions{Capacity: 1 << 10}), policy,
		&consumer.Options{
			Logger: quiet,
		})
	if err != nil {
		f.Fatal(err)
	}
	handler := consumer.Handler(func(_ context.Context, d consumer.Delivery[[]byte]) error { panic("handled: " + d.Event.ID()) })
	sqs := SQS(c, handler, &Options{Logger: quiet, OnlyEventBridgeWrites: true})
	direct := EventBridge(c, handler, &Options{Logger: quiet, OnlyEventBridgeWrites: true})
	f.Fuzz(func(t *testing.T, payload []byte) {
		records, err := readBatch(payload)
		response, failure := sqs(t.Context(), payload)
		if failure == nil && (err != nil || len(records) > 0 || len(response.BatchItemFailures) > 0) {
			t.Fatalf("acknowledged: %v of %d records, %v", response, len(records), err)
		}
		if _, err := direct(t.Context(), payload); err == nil {
			t.Fatal("an event was acknowledged")
		}
		if err == nil {
			compare(t, payload, records)
		}
	})
}

func compare(t *testing.T, payload []byte, records []record) {
	var batch map[string]json.RawMessage // maps, as fields of a struct would match in any case
	var want []map[string]json.RawMessage
	if json.Unmarshal(payload, &batch) != nil || json.Unmarshal(batch["Records"], &want) != nil {
		return // what is stepped over need not be JSON: Lambda sends nothing else
	}
	if len(records) != len(want) {
		t.Fatalf("%d records, encoding/json has %d", len(records), len(want))
	}
	for i, r := range records {
		var id, text string
		_ = json.Unmarshal(want[i]["messageId"], &id)
		body, err := jsontext.AppendUnquote(nil, r.quoted)
		if r.isText != (err == nil) || string(body) != string(r.body) {
			t.Fatalf("the body of record %d is %.100q, unquoted it is %.100q, %v", i, r.body, body, err)
		}
		if r.id != id {
			t.Fatalf("record %d is %q, encoding/json has %q", i, r.id, id)
		}
		if err == nil && (json.Unmarshal(want[i]["body"], &text) != nil || text != string(body)) {
			t.Fatalf("the body of record %d is %.100q, encoding/json has %.100q", i, body, text)
		}
	}
}
