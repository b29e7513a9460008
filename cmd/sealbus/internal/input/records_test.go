package input

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// A record is bounded, and what follows one that is too large is read.
func TestRecordReader(t *testing.T) {
	r := newRecordReader(strings.NewReader(`{"a":"`+strings.Repeat("x", 100)+`"}{"b":1}[1,2] x`), 64)
	var got []string
	for {
		rec, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		b := fmt.Sprintf("%d@%d %s", rec.number, rec.offset, rec.doc)
		if rec.err != nil {
			b += fmt.Sprint(rec.err.large)
		}
		got = append(got, b)
	}
	if want := []string{"1@0 true", `2@108 {"b":1}`, "3@115 [1,2]", "4@121 false"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	failing := newRecordReader(io.MultiReader(strings.NewReader(`{"a":1}{"b"`), failingReader{}), 64)
	if rec, err := failing.next(); err != nil || string(rec.doc) != `{"a":1}` {
		t.Errorf("%v, %v", rec, err)
	}
	if _, err := failing.next(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a reader that fails: %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Whatever is read is an object or array that was in the input, in its order, or an error; and what
// encoding/json reads as a sequence of objects is read as the same.
func FuzzRecordReader(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		r := newRecordReader(bytes.NewReader(doc), 1<<10)
		var got [][]byte
		bad := false
		for last := int64(-1); ; {
			rec, err := r.next()
			if err != nil {
				break
			}
			if rec.offset < last || rec.number != len(got)+1 && !bad || (rec.doc == nil) != (rec.err != nil) {
				t.Fatalf("record %+v after %d", rec, last)
			}
			if rec.err == nil && !bytes.Equal(doc[rec.offset:rec.offset+int64(len(rec.doc))], rec.doc) {
				t.Fatalf("%s is not at %d", rec.doc, rec.offset)
			}
			bad = bad || rec.err != nil
			last = rec.offset
			got = append(got, rec.doc)
		}
		var want []json.RawMessage
		for dec := json.NewDecoder(bytes.NewReader(doc)); ; {
			var v json.RawMessage
			err := dec.Decode(&v)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || v[0] != '{' && v[0] != '[' || len(v) > 1<<10 {
				return
			}
			want = append(want, v)
		}
		if len(got) != len(want) {
			t.Fatalf("%d records, encoding/json has %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("record %d is %s, encoding/json has %s", i, got[i], want[i])
			}
		}
	})
}

// A refusal names its reason as envelope has it.
func TestRefusal(t *testing.T) {
	for err, want := range map[error]envelope.Reason{
		inputErrorf("f", "c"):                          envelope.ReasonMalformed,
		&inputError{cause: "c", large: true}:           envelope.ReasonTooLarge,
		&wrapper.Problem{Cause: "c", Large: true}:      envelope.ReasonTooLarge,
		&wrapper.Problem{Cause: "c", Fix: "do"}:        envelope.ReasonMalformed,
		errors.New("PutEvents entry: it is no object"): envelope.ReasonMalformed,
	} {
		if v := (&Message{Err: err}).Refusal(); v.Reason != want || v.Cause != err.Error() || v.Fix() == "" {
			t.Errorf("%v: %+v", err, v)
		}
	}
}

// endless is a terminal: it gives an end at each Ctrl-D, and more text after it.
type endless struct{ ends int }

func (e *endless) Read([]byte) (int, error) { e.ends++; return 0, io.EOF }

func TestOneCtrlDEndsTheInput(t *testing.T) {
	var typed endless
	if _, err := newRecordReader(&endsOnce{r: &typed}, maxRecord).next(); !errors.Is(err, io.EOF) ||
		typed.ends != 1 {
		t.Errorf("%v after %d ends, want one", err, typed.ends)
	}
}

// The seeds are in testdata/fuzz.
func FuzzMessages(f *testing.F) {
	f.Fuzz(func(t *testing.T, doc []byte) {
		for _, from := range NewFrom().Words {
			list := messages(doc, from)
			if len(list) == 0 {
				t.Fatalf("%s: neither an event nor an error", from)
			}
			for _, m := range list {
				if m.Err == nil && m.Body == nil {
					t.Fatalf("%s: an entry that is neither an event nor an error", from)
				}
			}
		}
	})
}
