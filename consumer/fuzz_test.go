package consumer

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// What is read as a record, apart from its MAC, is the same record after writing and reading it again; and
// nothing is believed without the MAC.
func FuzzRecord(f *testing.F) {
	key := newMACKey(bytes.Repeat([]byte("k"), MinQuarantineKey))
	other := newMACKey(bytes.Repeat([]byte("o"), MinQuarantineKey))
	for _, r := range []Record{
		{},
		{Consumer: "a", At: time.Unix(1, 5), Reason: envelope.ReasonExpired, Cause: "\"", Message: Message{Body: []byte("{}")}},
		{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), UnverifiedID: "\x00", Message: Message{Format: EventBridge, Account: "1"}},
	} {
		f.Add(appendRecord(nil, &r, key))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if r, err := parseRecord(doc, other); err == nil {
			t.Fatalf("authentic under another key: %+v", r)
		}
		r, _, err := readRecord(doc)
		if err != nil {
			return
		}
		again, err := parseRecord(appendRecord(nil, r, key), key)
		if err != nil {
			t.Fatalf("%+v cannot be read again: %v", r, err)
		}
		if r.Message.Body = append([]byte{}, r.Message.Body...); !r.At.Equal(again.At) {
			t.Fatalf("at %v became %v", r.At, again.At)
		}
		r.At = again.At
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}
