package consumer

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// What is read as a record, apart from its MAC, is the same record after writing and reading it again, but
// for text that is repaired when it is written; and nothing is believed without the MAC.
func FuzzRecord(f *testing.F) {
	key, other := bytes.Repeat([]byte("k"), MinQuarantineKey), bytes.Repeat([]byte("o"), MinQuarantineKey)
	for _, r := range []Record{
		{},
		{Consumer: "a", At: time.Unix(1, 5), Reason: envelope.ReasonExpired, Cause: "\"", Message: Message{Body: []byte("{}")}},
		{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), UnverifiedID: "\x00", Message: Message{Format: EventBridge, Account: "1"}},
		{Cause: "\ufffe"},
		{Quarantine: "q", Message: Message{Format: QuarantineRecord, ReplayName: "r", Body: []byte("x")}},
	} {
		doc, err := MarshalRecord(r, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(`{"cause":"\uffff","mac":""}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if r, err := ParseRecord(doc, other); !errors.Is(err, ErrNotAuthentic) {
			t.Fatalf("under another key: %+v, %v", r, err)
		}
		r, err := readRecord(doc)
		if err != nil {
			return
		}
		written, err := MarshalRecord(r.Record, key)
		if err != nil {
			t.Fatalf("%+v cannot be written again: %v", r, err)
		}
		again, err := ParseRecord(written, key)
		if err != nil {
			t.Fatalf("%+v cannot be read again: %v", r, err)
		}
		if r.Message.Body = append([]byte{}, r.Message.Body...); !r.At.Equal(again.At) {
			t.Fatalf("at %v became %v", r.At, again.At)
		}
		r.At = again.At
		if want := repaired(r.Record); !reflect.DeepEqual(&want, again) {
			t.Fatalf("%+v became %+v", want, again)
		}
	})
}
