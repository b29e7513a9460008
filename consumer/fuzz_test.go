package consumer

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// A record, read without looking at its MAC, is the same record after writing and reading it again, but for
// text that is repaired when it is written. Without the right MAC, Parse believes nothing.
func FuzzRecord(f *testing.F) {
	under := func(name, letter string) QuarantineKeys {
		k, err := NewQuarantineKeys(name, bytes.Repeat([]byte(letter), MinQuarantineKey))
		if err != nil {
			panic(err)
		}
		return k
	}
	for _, r := range []Record{
		{},
		{Consumer: "a", At: time.Unix(1, 5), Reason: envelope.ReasonExpired, Cause: "\"",
			Message: Message{Body: []byte("{}")}},
		{At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), UnverifiedID: "\x00",
			Message: Message{Format: EventBridge, Account: "1"}},
		{Cause: "\ufffe"},
		{Quarantine: "q", Message: Message{Format: QuarantineRecord, ReplayName: "r", Body: []byte("x")}},
	} {
		doc, err := under("q", "k").Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc)
	}
	f.Add([]byte(`{"cause":"\uffff","mac":""}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if r, err := under("q", "o").Parse(doc); !errors.Is(err, ErrNotAuthentic) {
			t.Fatalf("under another key: %+v, %v", r, err)
		}
		r, _, err := readRecord(doc)
		if err != nil {
			return
		}
		if r.Quarantine == "" || !exact(r.Quarantine) {
			r.Quarantine = "q" // no quarantine has such a name
		}
		keys := under(r.Quarantine, "k")
		written, err := keys.Marshal(*r)
		if err != nil {
			t.Fatalf("%+v cannot be written again: %v", r, err)
		}
		again, err := keys.Parse(written)
		if err != nil {
			t.Fatalf("%+v cannot be read again: %v", r, err)
		}
		if r.Message.Body = append([]byte{}, r.Message.Body...); !r.At.Equal(again.At) {
			t.Fatalf("at %v became %v", r.At, again.At)
		}
		r.At = again.At
		for _, s := range []*string{
			&r.Consumer, &r.Quarantine, (*string)(&r.Reason), &r.Cause, &r.UnverifiedID, &r.UnverifiedSource,
			&r.UnverifiedType, &r.Message.Account, &r.Message.ReplayName,
		} {
			*s = toUTF8(*s)
		}
		if !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v", r, again)
		}
	})
}
