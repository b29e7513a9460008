package awslambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/envelope/envelopetest"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// seen is all that a consumer says and does with messages.
type seen struct {
	results []consumer.Result
	records []consumer.Record
	handled []string
}

func (s *seen) Delivered(_ context.Context, r consumer.Result) { s.results = append(s.results, r) }
func (s *seen) Keys() consumer.QuarantineKeys                  { return consumer.QuarantineKeys{} }
func (s *seen) Put(_ context.Context, r consumer.Record) error {
	s.records = append(s.records, r)
	return nil
}

// seeing is an adapter whose consumer is new, and what it sees. Its handler fails for the data {"fail":1}.
func seeing(t testing.TB, org *envelopetest.Org) (*adapter, *seen) {
	s := &seen{}
	quiet := slog.New(slog.DiscardHandler)
	c, err := consumer.New("fuzz", org.Trust(), replay.NewMemory(&replay.MemoryOptions{Now: org.Now}),
		org.Policy(), &consumer.Options{Quarantine: s, Observer: s, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	handler := func(_ context.Context, d consumer.Delivery[[]byte]) error {
		s.handled = append(s.handled, fmt.Sprintf("%s %s", d.Event.ID(), d.Data))
		if strings.Contains(string(d.Data), "fail") {
			return errors.New("failed")
		}
		return nil
	}
	return newAdapter(c, handler, &Options{Parallel: 1, Logger: quiet, OnlyEventBridgeWrites: true,
		Now: org.Now}), s
}

// spell writes text as a JSON string in one of several ways.
func spell(text []byte, way byte) []byte {
	if way%4 == 0 {
		return jsontext.AppendQuote(nil, text)
	}
	if way%4 == 1 {
		doc, _ := json.Marshal(string(text))
		return doc
	}
	out := []byte{'"'}
	for n, r := range string(text) { // some or all characters by their numbers
		if way%4 == 2 && n%3 != 0 {
			quoted := jsontext.AppendQuote(nil, string(r))
			out = append(out, quoted[1:len(quoted)-1]...)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, `\u%04X`, unit)
		}
	}
	return append(out, '"')
}

// deliverable are messages of all kinds: those that are handled, those that fail, and those that are refused.
func deliverable(f *testing.F, org *envelopetest.Org) (all [][]byte) {
	for _, data := range []map[string]any{{"item": "Schraube, \"verzinkt\" \\ 8 €"}, {"fail": 1}} {
		sealed := org.Event(f, "com.example.order.placed", data)
		all = append(all, sealed.JSON())
		for _, layout := range []envelope.Layout{envelope.Structured, envelope.Embedded} {
			entry, err := sealed.EventBridge(layout)
			if err != nil {
				f.Fatal(err)
			}
			delivery := envelopetest.EventBridge(f, entry, nil)
			all = append(all, delivery, fmt.Appendf(nil, `{"Type":"Notification","TopicArn":"a","Message":%s}`,
				jsontext.AppendQuote(nil, delivery)))
		}
	}
	return append(all, org.Broken(f, envelope.ReasonModified).EventBridge(), []byte(`{"key":"value"}`), nil,
		[]byte(`{"unverified_id":"x","specversion":"1.0"}`), []byte(`{"unverified_id":"x"}`),
		[]byte(`{"detail":{"specversion":"1.0"},"detail-type":"t"}`))
}

// FuzzBatch changes a message and hands it over in a batch, however it is spelled there, with another one and
// with a copy. Results, what is in quarantine, and what the handler got are as if each message had come
// alone, read by encoding/json.
func FuzzBatch(f *testing.F) {
	corpus(f, "FuzzBatch")
	org := envelopetest.NewOrg(f, "orders", "https://orders.example/*")
	messages := deliverable(f, org)
	f.Fuzz(func(t *testing.T, which, other, way byte, at uint16, with []byte) {
		body := bytes.Clone(messages[int(which)%len(messages)])
		if len(body) > 0 {
			at := int(at) % len(body)
			body = append(append(body[:at:at], with...), body[min(at+len(with), len(body)):]...)
		}
		if !utf8.Valid(body) {
			return // it is not a message of SQS
		}
		bodies := [][]byte{body, messages[int(other)%len(messages)], body}
		payload := []byte(`{"Records":[`)
		alone, want := seeing(t, org)
		for i, body := range bodies {
			quoted := spell(body, way)
			payload = fmt.Appendf(payload, `{"messageId":"%d","body":%s},`, i, quoted)
			var text string
			if err := json.Unmarshal(quoted, &text); err != nil || text != string(body) {
				t.Fatalf("%q is spelled %s: %v", body, quoted, err)
			}
			msg, _ := alone.message([]byte(text))
			_, _ = alone.consumer.Handle(t.Context(), msg, alone.handler)
		}
		batched, got := seeing(t, org)
		response, err := batched.sqs(t.Context(), append(payload[:len(payload)-1], `]}`...))
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("of %q came %+v, alone %+v", bodies, got, want)
		}
		failed := 0
		for _, r := range want.results {
			if r.Outcome == consumer.Retry {
				failed++
			}
		}
		if failed != len(response.BatchItemFailures) && (failed != len(bodies) || err == nil) {
			t.Fatalf("%d failed, answered %v, %v", failed, response, err)
		}
	})
}
