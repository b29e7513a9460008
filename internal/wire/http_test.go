package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// An HTTP message that ParseHTTP accepts is written so that it reads back the same, by lines that net/http
// takes. An error is an *Error.
func FuzzParseHTTP(f *testing.F) {
	for _, text := range samples(f) {
		e, err := Parse([]byte(text))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(httpText(e))
	}
	f.Add([]byte("CE-Id:%41\r\nce-source: \"/\\a\"\r\nx:y\r\nce-type:t\r\nce-specversion:1.0\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		e, err := ParseHTTP(in)
		if !bytes.Equal(before, in) {
			t.Fatal("the message was changed")
		}
		if fault, ok := errors.AsType[*Error](err); err != nil && (!ok || fault == nil || e != nil) {
			t.Fatalf("got %v, %v", e, err)
		}
		if err != nil {
			return
		}
		for name, value := range e.Headers() {
			if http.CanonicalHeaderKey(name) != name || name != "Content-Type" &&
				strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Fatalf("no header line: %q: %q", name, value)
			}
		}
		again, err := ParseHTTP(httpText(e))
		if err != nil {
			t.Fatalf("%v: %q", err, httpText(e))
		}
		// Structured mode says the same: all of what ParseHTTP accepts has a JSON form.
		structured, err := ParseSealed(e.Append(nil))
		if err != nil {
			t.Fatalf("%v: %s", err, e.Append(nil))
		}
		want := string(e.Append(nil))
		if string(again.Append(nil)) != want || string(structured.Append(nil)) != want {
			t.Fatalf("got\n%s\n%s\nwant\n%s", again.Append(nil), structured.Append(nil), want)
		}
	})
}

func httpText(e *Event) []byte {
	var b bytes.Buffer
	for name, value := range e.Headers() {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	b.WriteString("\r\n")
	b.Write(e.Data)
	return b.Bytes()
}

func TestHTTPModeOf(t *testing.T) {
	for contentType, want := range map[string]HTTPMode{
		"":                             BinaryMode,
		"application/json":             BinaryMode,
		"application/cloudevent+json":  BinaryMode,
		"application/cloudevents+json": StructuredMode,
		" Application/CloudEvents+JSON ; charset=\"utf-8\"":    StructuredMode,
		"application/cloudevents+json; charset=UTF-8; x=y":     StructuredMode,
		"application/cloudevents-batch+json; charset=utf-8":    BatchMode,
		"application/cloudevents":                              UnknownMode,
		"application/cloudevents+avro":                         UnknownMode,
		"application/cloudevents+json+x":                       UnknownMode,
		"application/cloudevents+json; charset=latin1":         UnknownMode,
		"application/cloudevents+json; charset=a; charset=b":   UnknownMode,
		"application/cloudevents+json, application/json":       UnknownMode,
		"application/cloudevents-batch+json; charset=us-ascii": UnknownMode,
	} {
		if got := HTTPModeOf(contentType); got != want {
			t.Errorf("%q: %v, want %v", contentType, got, want)
		}
	}
}

// The memory of a message with very many lines is bounded by its attributes: 128 and those of the standard.
func TestParseHTTPStopsAtTheLimits(t *testing.T) {
	for name, c := range map[string]struct {
		message string
		large   bool
	}{
		"lines":      {strings.Repeat("ce-x: \r\n", 1) + manyLines(200), true},
		"no end":     {strings.Repeat("a", MaxHTTPHeader), false},
		"no end, on": {strings.Repeat("a", MaxHTTPHeader+1), true},
		"end at":     {strings.Repeat("a:\r\n", MaxHTTPHeader/4) + "\r\n", true},
	} {
		_, err := ParseHTTP([]byte(c.message))
		if fault, ok := errors.AsType[*Error](err); !ok || fault.TooLarge != c.large {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "ce-x%d:\r\n", i)
	}
	return b.String() + "\r\n"
}
