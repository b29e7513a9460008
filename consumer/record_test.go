package consumer_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

func TestRecord(t *testing.T) {
	for _, format := range []consumer.Format{consumer.CloudEvent, consumer.EventBridge, consumer.QuarantineRecord} {
		want := record()
		want.Quarantine, want.Message.ReplayName, want.Message.Format = "bin", replayName, format
		doc := marshal(t, want, macKey)
		got, err := consumer.ParseRecord(doc, macKey)
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("read %+v, %v, want %+v", got, err, want)
		}
		if again := marshal(t, *got, macKey); !bytes.Equal(again, doc) {
			t.Errorf("written again: %s, at first %s", again, doc)
		}
	}
}

// Every field of a record is under its MAC: a new field that is forgotten there, or in the text, fails here.
func TestRecordIsWhole(t *testing.T) {
	full := record()
	full.Quarantine, full.Message.ReplayName = "bin", replayName
	unchanged := marshal(t, full, macKey)
	seen := map[string]string{string(unchanged): "none"}
	each(t, reflect.ValueOf(&full).Elem(), "", func(name string) {
		doc := marshal(t, full, macKey)
		if other := seen[string(doc)]; other != "" {
			t.Errorf("a change of %s is not in the record (as with %s)", name, other)
		}
		seen[string(doc)] = name
		got, err := consumer.ParseRecord(doc, macKey)
		if err != nil || !reflect.DeepEqual(*got, full) {
			t.Errorf("%s changed: read %+v, %v, want %+v", name, got, err, full)
		}
		forged := edit(doc, "mac", macOf(t, unchanged))
		if _, err := consumer.ParseRecord(forged, macKey); !errors.Is(err, consumer.ErrNotAuthentic) {
			t.Errorf("%s changed under the old MAC: %v", name, err)
		}
	})
	if len(seen) < 12 {
		t.Errorf("only %d fields", len(seen)-1)
	}
}

// each changes one field of v at a time and calls do.
func each(t *testing.T, v reflect.Value, path string, do func(name string)) {
	for i := range v.NumField() {
		f, name := v.Field(i), path+v.Type().Field(i).Name
		old := reflect.New(f.Type()).Elem()
		old.Set(f)
		switch value := f.Interface().(type) {
		case string, envelope.Reason:
			f.SetString(f.String() + "x")
		case []byte:
			f.SetBytes(append(bytes.Clone(value), 'x'))
		case consumer.Format:
			f.SetInt(int64(consumer.CloudEvent))
		case consumer.Message:
			each(t, f, name+".", do)
			continue
		default:
			at := start
			if !reflect.TypeOf(at).AssignableTo(f.Type()) {
				t.Fatalf("%s: this test does not know how to change it", name)
			}
			f.Set(reflect.ValueOf(at))
		}
		do(name)
		f.Set(old)
	}
}

func macOf(t *testing.T, doc []byte) string {
	t.Helper()
	_, mac, ok := bytes.Cut(doc, []byte(`"mac":"`))
	mac, _, ok2 := bytes.Cut(mac, []byte(`"`))
	if !ok || !ok2 {
		t.Fatalf("no MAC in %s", doc)
	}
	return string(mac)
}

// Records that were written before they named quarantine and replay are read as ever, and pass for no others.
func TestRecordOfTheFirstForm(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("testdata", "records", "first-form.json"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := consumer.ParseRecord(doc, macKey)
	if want := record(); err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	for _, member := range []string{"quarantine", "replay_name"} {
		for _, value := range []string{"", "x"} {
			if _, err := consumer.ParseRecord(edit(doc, member, value), macKey); !errors.Is(err, consumer.ErrNotAuthentic) {
				t.Errorf("%s %q added: %v", member, value, err)
			}
		}
	}
	w := newWorld(t)
	w.reopens()
	w.wantMessage(reopening(doc), consumer.Quarantined, envelope.ReasonMalformed) // authentic, but its body is no event
	if m := w.bin.records[0].Message; !reflect.DeepEqual(m, record().Message) {
		t.Errorf("the record holds %+v", m)
	}
}

func TestRecordBounds(t *testing.T) {
	r := record()
	r.Message.Body = make([]byte, consumer.MaxRecord/4*3)
	if _, err := consumer.MarshalRecord(r, macKey); err == nil {
		t.Error("a record was written that cannot be read again")
	}
	if _, err := consumer.ParseRecord(make([]byte, consumer.MaxRecord+1), macKey); !errors.Is(err, consumer.ErrNotAuthentic) {
		t.Error(err)
	}
	for _, key := range [][]byte{nil, macKey[1:]} {
		if _, err := consumer.MarshalRecord(record(), key); err == nil {
			t.Errorf("a key of %d bytes was taken for writing", len(key))
		}
		if _, err := consumer.ParseRecord(marshal(t, record(), macKey), key); err == nil {
			t.Errorf("a key of %d bytes was taken for reading", len(key))
		}
	}
}
