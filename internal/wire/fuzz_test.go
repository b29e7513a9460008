package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func sorted(attributes []Attribute) []Attribute {
	attributes = slices.Clone(attributes)
	slices.SortFunc(attributes, func(a, b Attribute) int { return cmp.Compare(a.Name, b.Name) })
	return attributes
}

func seed(f *testing.F, wrap func(string) string) {
	for _, text := range samples(f) {
		f.Add([]byte(wrap(string(text))))
	}
}

// An event that Parse accepts is JSON, and is written so that it reads back the same.
func FuzzParse(f *testing.F) {
	seed(f, func(text string) string { return text })
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := Parse(in)
		if err != nil {
			var fault *Error
			if !errors.As(err, &fault) || e != nil {
				t.Fatalf("got %v, %v", e, err)
			}
			return
		}
		if !json.Valid(in) {
			t.Fatalf("accepted what is not JSON: %q", in)
		}
		if len(e.Append(nil)) > len(in) {
			t.Fatalf("Append writes more than was read")
		}
		roundTrip(t, e)
	})
}

// If all elements of a batch parse, the batch was the JSON array of exactly these.
func FuzzSplit(f *testing.F) {
	seed(f, func(text string) string { return "[" + text + " , " + text + "]" })
	f.Fuzz(func(t *testing.T, in []byte) {
		events, err := Split(in)
		if err != nil {
			return
		}
		for _, e := range events {
			if _, err := Parse(e); err != nil {
				return
			}
		}
		var want []json.RawMessage
		if err := json.Unmarshal(in, &want); err != nil || len(want) != len(events) {
			t.Fatalf("%d elements, encoding/json has %d (%v)", len(events), len(want), err)
		}
		for i := range want {
			if string(want[i]) != string(events[i]) {
				t.Fatalf("element %d: got %s, want %s", i, events[i], want[i])
			}
		}
	})
}

// A sequence is cut into objects with nothing but white space between them, and none is lost.
func FuzzSplitSequence(f *testing.F) {
	seed(f, func(text string) string { return text + "\n" + text })
	f.Fuzz(func(t *testing.T, in []byte) {
		events, err := SplitSequence(in)
		if err != nil {
			return
		}
		rest := bytes.TrimSpace(in)
		for i, e := range events {
			if !bytes.HasPrefix(rest, e) || e[0] != '{' || e[len(e)-1] != '}' && e[len(e)-1] != ']' {
				t.Fatalf("event %d is %q, of %q", i, e, rest)
			}
			rest = bytes.TrimLeft(rest[len(e):], " \t\r\n")
		}
		if len(rest) > 0 {
			t.Fatalf("%q is left", rest)
		}
	})
}

// An event that Parse accepts passes through the SDK's event without loss, or is refused.
func FuzzSDK(f *testing.F) {
	seed(f, func(text string) string { return text })
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := Parse(in)
		if err != nil {
			return
		}
		throughSDK(t, e)
		for i := range e.Extensions {
			retype(t, e.Extensions[i])
		}
	})
}

// retype gives the text of an attribute every Type: what ToSDK takes, FromSDK gives back.
func retype(t *testing.T, a Attribute) {
	for a.Type = Boolean; a.Type <= Timestamp; a.Type++ {
		e := &Event{SpecVersion: "1.0", ID: "1", Source: "/s", Type: "t", Extensions: []Attribute{a}}
		ev, err := e.ToSDK()
		if err != nil {
			continue
		}
		got, err := FromSDK(&ev)
		if err != nil || len(got.Extensions) != 1 {
			t.Fatalf("%+v: got %+v, %v", a, got, err)
		}
		want := a
		if a.Type == Timestamp {
			at, _ := ParseTime(a.Value)
			want.Value = at.Format(time.RFC3339Nano)
		}
		if got.Extensions[0] != want {
			t.Fatalf("got %+v, want %+v", got.Extensions[0], want)
		}
	}
}

// ParseTime accepts what package time accepts, but for what package time is lenient about, and gives the
// same instant.
func FuzzTime(f *testing.F) {
	for _, text := range []string{"2024-02-29T23:59:59.123456789+14:00", "2024-02-29T23:59:59",
		"0000-12-31T23:30:00-00:30", "2016-12-31T23:59:60Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTime(text)
		want, wantErr := time.Parse(time.RFC3339Nano, text)
		if wantErr != nil {
			want, wantErr = time.Parse(time.RFC3339Nano, text+"Z")
		}
		switch {
		case err == nil && (wantErr != nil || !got.Equal(want)):
			t.Fatalf("%q: got %v, package time has %v (%v)", text, got, want, wantErr)
		case err != nil && wantErr == nil && !lenient(text, want):
			t.Fatalf("%q: %v, package time has %v", text, err, want)
		case err == nil:
			again, err := ParseTime(got.Format(time.RFC3339Nano))
			if err != nil || again != got {
				t.Fatalf("%q: %v, again %v (%v)", text, got, again, err)
			}
		}
	})
}

// lenient reports whether text is one that package time accepts and ParseTime must not: a comma before
// the fraction, more than nine digits in it, a zone of 24 hours or 60 minutes, hours of one digit, a year
// that cannot be written in UTC.
func lenient(text string, t time.Time) bool {
	digits := strings.IndexFunc(strings.TrimPrefix(text[min(19, len(text)):], "."),
		func(r rune) bool { return r < '0' || r > '9' })
	zone, year := text[max(0, len(text)-6):], t.UTC().Year()
	return strings.Contains(text, ",") || digits > 9 || (digits < 0 && len(text) > 19+1+9) ||
		year < 1 || year > 9999 || t.Truncate(time.Second).IsZero() ||
		strings.HasSuffix(zone, ":60") || strings.Contains(zone, "+24:") || strings.Contains(zone, "-24:") ||
		len(text) > 12 && text[12] == ':'
}
