package consumer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
)

var macKey = bytes.Repeat([]byte("k"), consumer.MinQuarantineKey)

func record() consumer.Record {
	return consumer.Record{
		Consumer: "test", At: start.Add(123456789), Reason: envelope.ReasonModified, Cause: "the data\nwas \"changed\"",
		Message:      consumer.Message{Body: []byte("\x00\xff{not json"), Format: consumer.EventBridge, Account: "111111111111"},
		UnverifiedID: "../../etc/passwd", UnverifiedSource: source, UnverifiedType: typ,
	}
}

// put stores the records and returns their files, in the order of their names.
func put(t *testing.T, records ...consumer.Record) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bin")
	q, err := consumer.QuarantineDir(dir, macKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := q.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		files = append(files, filepath.Join(dir, e.Name()))
	}
	return files
}

func TestQuarantineDir(t *testing.T) {
	want := record()
	later := record()
	later.At = later.At.Add(time.Hour)
	files := put(t, later, want, want) // the same record twice is one record
	if len(files) != 2 {
		t.Fatalf("%d files", len(files))
	}
	name := regexp.MustCompile(`^20260301T120000\.123456789Z-[0-9a-f]{32}\.json$`)
	if base := filepath.Base(files[0]); !name.MatchString(base) {
		t.Errorf("file name %s", base)
	}
	for path, mode := range map[string]os.FileMode{files[0]: 0o600, filepath.Dir(files[0]): os.ModeDir | 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
	got, err := consumer.ReadQuarantined(files[0], macKey)
	if err != nil || !reflect.DeepEqual(*got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

func TestQuarantineDirKeepsAnyText(t *testing.T) {
	r := record()
	r.UnverifiedID, r.Cause, r.Message.Body = "a\xff\x00b\u2028\uFFFE\uFFFF", "", nil
	got, err := consumer.ReadQuarantined(put(t, r)[0], macKey)
	if err != nil || got.UnverifiedID != "a\uFFFD\x00b\u2028\uFFFD\uFFFD" || len(got.Message.Body) != 0 {
		t.Errorf("read %+v, %v", got, err)
	}
}

// Not one byte of a record can be changed without being noticed, unless it is white space between members.
func TestQuarantineRecordIsAuthentic(t *testing.T) {
	path := put(t, record())[0]
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range doc {
		changed := bytes.Clone(doc)
		changed[i] ^= 1
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := consumer.ReadQuarantined(path, macKey); r != nil || !errors.Is(err, consumer.ErrNotAuthentic) {
			if i == len(doc)-1 && r != nil {
				continue // the line break
			}
			t.Errorf("byte %d (%q) changed: %v", i, doc[i], err)
		}
	}
	for name, changed := range map[string]string{
		"empty": "", "no object": "[]", "trailing": string(doc) + "{}", "unknown member": strings.Replace(string(doc), "{", `{"x":"y",`, 1),
		"duplicate": strings.Replace(string(doc), "{", `{"reason":"modified",`, 1), "no mac": string(edit(doc, "mac", nil)),
		"moved between fields": string(edit(edit(doc, "unverified_source", source+typ), "unverified_type", "")),
	} {
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := consumer.ReadQuarantined(path, macKey); r != nil || !errors.Is(err, consumer.ErrNotAuthentic) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestQuarantineKey(t *testing.T) {
	path := put(t, record())[0]
	other := bytes.Repeat([]byte("o"), consumer.MinQuarantineKey)
	if _, err := consumer.ReadQuarantined(path, other); !errors.Is(err, consumer.ErrNotAuthentic) {
		t.Errorf("another key: %v", err)
	}
	for _, key := range [][]byte{nil, macKey[1:]} {
		if _, err := consumer.QuarantineDir(t.TempDir(), key); err == nil {
			t.Errorf("a key of %d bytes was taken for writing", len(key))
		}
		if _, err := consumer.ReadQuarantined(path, key); err == nil {
			t.Errorf("a key of %d bytes was taken for reading", len(key))
		}
	}
	q, err := consumer.QuarantineDir(t.TempDir(), macKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, q)
		if strings.Contains(text, "kkkk") || strings.Contains(text, "6b6b") || strings.Contains(text, "107 107") || strings.Contains(text, "0x6b, 0x6b") {
			t.Errorf("%s prints the key: %s", verb, text)
		}
	}
}

func TestQuarantineDirFails(t *testing.T) {
	dir := t.TempDir()
	q, err := consumer.QuarantineDir(dir, macKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := q.Put(t.Context(), record()); err == nil {
		t.Error("no error without the directory")
	}
	file := put(t, record())[0]
	for _, path := range []string{file, filepath.Join(file, "below", "it"), ""} {
		if _, err := consumer.QuarantineDir(path, macKey); err == nil {
			t.Errorf("%q was taken for a directory", path)
		}
	}
}

// The directories on the way to it are made, for nobody else.
func TestQuarantineDirIsMade(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{filepath.Join(dir, "a", "b"), filepath.Join("c", "d") + "/", "e"} {
		for range 2 {
			q, err := consumer.QuarantineDir(path, macKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Put(t.Context(), record()); err != nil {
				t.Error(err)
			}
		}
	}
	for _, made := range []string{"a", "a/b", "c", "c/d", "e"} {
		if info, err := os.Stat(filepath.Join(dir, made)); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", made, info, err)
		}
	}
}

// The whole way: refused, put away, read again, and reopened after the policy was corrected.
func TestQuarantineAndReopen(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	q, err := consumer.QuarantineDir(dir, macKey)
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Quarantine, w.policy.Types = q, []string{"com.example.invoice.*"}
	w.want(w.event("1"), consumer.Quarantined, envelope.ReasonTypeNotAllowed)
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) != 1 {
		t.Fatalf("files %v", files)
	}
	r, err := consumer.ReadQuarantined(files[0], macKey)
	if err != nil {
		t.Fatal(err)
	}
	w.policy.Types = nil
	w.want(r.Message.Body, consumer.Handled, "")
}

func TestQuarantineFunc(t *testing.T) {
	w := newWorld(t)
	var got consumer.Record
	w.opts.Quarantine = consumer.QuarantineFunc(func(_ context.Context, r consumer.Record) error { got = r; return nil })
	w.want([]byte("{"), consumer.Quarantined, envelope.ReasonMalformed)
	if got.Reason != envelope.ReasonMalformed {
		t.Errorf("record %+v", got)
	}
}
