package consumer_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

func TestRecord(t *testing.T) {
	for _, format := range []consumer.Format{
		consumer.CloudEvent, consumer.EventBridge, consumer.QuarantineRecord, consumer.Wrapped,
	} {
		want := record()
		want.Quarantine, want.Message.ReplayName, want.Message.Format = "bin", replayName, format
		doc := marshal(t, want, macKey)
		got, err := parseAny(t, doc, macKey)
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
		got, err := parseAny(t, doc, macKey)
		if err != nil || !reflect.DeepEqual(*got, full) {
			t.Errorf("%s changed: read %+v, %v, want %+v", name, got, err, full)
		}
		forged := edit(doc, "mac", macOf(t, unchanged))
		if _, err := parseAny(t, forged, macKey); !errors.Is(err, consumer.ErrNotAuthentic) {
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
		if name == "Message.FirstReceived" || name == "Message.Caller" { // of a transport: Handle takes them away
			continue
		}
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

// A record under the label of before is refused as one under another key, and so is one that has no members
// for quarantine and replay.
func TestRecordUnderTheOldLabelIsRefused(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("testdata", "records", "old-label.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range [][]byte{
		doc, edit(doc, "quarantine", "bin"), edit(edit(doc, "quarantine", ""), "replay_name", ""),
		byHand(t, record(), macKey, "sealbus/v1/quarantine-record"),
	} {
		if r, err := parseAny(t, doc, macKey); !errors.Is(err, consumer.ErrNotAuthentic) || r != nil {
			t.Errorf("read %+v, %v", r, err)
		}
		w := newWorld(t)
		w.reopens()
		w.wantMessage(reopening(doc), consumer.Quarantined, envelope.ReasonBadSignature)
	}
	if r, err := parseAny(t, byHand(t, record(), macKey, recordLabel), macKey); err != nil || r == nil {
		t.Errorf("under the label of now: %v", err)
	}
}

func TestRecordBounds(t *testing.T) {
	r := record()
	r.Message.Body = make([]byte, consumer.MaxRecord/4*3)
	keys := quarantineKeys(t, "bin", macKey)
	if _, err := keys.Marshal(r); err == nil {
		t.Error("a record was written that cannot be read again")
	}
	if _, err := keys.Parse(make([]byte, consumer.MaxRecord+1)); !errors.Is(err, consumer.ErrNotAuthentic) {
		t.Error(err)
	}
}

// Not one byte of a record can be changed without being noticed, unless it is white space between members.
func TestRecordIsAuthentic(t *testing.T) {
	doc := marshal(t, record(), macKey)
	keys := quarantineKeys(t, "bin", macKey)
	for i := range doc {
		changed := bytes.Clone(doc)
		changed[i] ^= 1
		if r, err := keys.Parse(changed); r != nil || !errors.Is(err, consumer.ErrNotAuthentic) {
			if i == len(doc)-1 && r != nil {
				continue // the line break
			}
			t.Errorf("byte %d (%q) changed: %v", i, doc[i], err)
		}
	}
	for name, changed := range map[string]string{
		"empty": "", "no object": "[]", "trailing": string(doc) + "{}",
		"unknown member": strings.Replace(string(doc), "{", `{"x":"y",`, 1),
		"duplicate":      strings.Replace(string(doc), "{", `{"reason":"modified",`, 1),
		"no mac":         string(edit(doc, "mac", nil)),
		"moved between fields": string(edit(edit(doc, "unverified_source", source+typ), "unverified_type",
			"")),
		"another key":        string(marshal(t, record(), otherKey)),
		"another quarantine": string(byHand(t, consumer.Record{Quarantine: "dust"}, macKey, recordLabel)),
		"no quarantine":      string(byHand(t, consumer.Record{}, macKey, recordLabel)),
	} {
		if r, err := keys.Parse([]byte(changed)); r != nil || !errors.Is(err, consumer.ErrNotAuthentic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Any text that an event claims can be kept.
func TestRecordKeepsAnyText(t *testing.T) {
	r := record()
	r.UnverifiedID, r.Cause, r.Message.Body = "a\xff\x00b\u2028\uFFFE\uFFFF", "", nil
	got, err := parseAny(t, marshal(t, r, macKey), macKey)
	if err != nil || got.UnverifiedID != "a\uFFFD\x00b\u2028\uFFFD\uFFFD" || len(got.Message.Body) != 0 {
		t.Errorf("read %+v, %v", got, err)
	}
}

// parseAny reads a record of a quarantine of any name.
func parseAny(t *testing.T, doc, key []byte) (*consumer.Record, error) {
	t.Helper()
	keys, err := consumer.AnyQuarantine(key)
	if err != nil {
		t.Fatal(err)
	}
	return keys.Parse(doc)
}
