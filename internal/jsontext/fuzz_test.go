package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/gowebpki/jcs"
)

func addSeeds(f *testing.F) {
	for _, test := range broken {
		if len(test.text) < 1000 {
			f.Add([]byte(test.text))
		}
	}
	s := newSpeller(4)
	for range 20 {
		f.Add([]byte(s.spell(s.value(2))))
	}
}

// FuzzCanonical compares with the reference, and with another implementation of RFC 8785: that one rounds
// the numbers that ours keeps, so it must find the same in the text and in our form of it. Ours refuses
// a text that the other one accepts only for a number or the depth.
func FuzzCanonical(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := AppendCanonical(nil, text)
		theirs, theirErr := jcs.Transform(text)
		if err != nil {
			checkRefusal(t, text, err, theirErr)
			return
		}
		checkForm(t, got)
		if theirErr != nil {
			t.Fatalf("%q is accepted, and not by jcs: %v", text, theirErr)
		}
		if rounded, err := jcs.Transform(got); err != nil || !bytes.Equal(rounded, theirs) {
			t.Fatalf("%q: jcs makes %q of the text and %q, %v of its form %q", text, theirs, rounded, err,
				got)
		}
		if !reasonable(text) {
			return
		}
		want, ok := reference(text)
		if !ok || want != string(got) {
			t.Fatalf("%q: got %q, want %q %v", text, got, want, ok)
		}
	})
}

func checkRefusal(t *testing.T, text []byte, err, theirErr error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(text) || len(e.Pointer) > maxPointer+len("…") {
		t.Fatalf("%q: %v", text, err)
	}
	if theirErr == nil && e.Fault != Number && e.Fault != Depth {
		t.Fatalf("%q is refused, and not by jcs: %v", text, err)
	}
	if e.Fault == Syntax && json.Valid(text) {
		t.Fatalf("%q is valid: %v", text, err)
	}
	if e.Fault == Number && reasonable(text) {
		if form, ok := reference(text); ok {
			t.Fatalf("%q is %q: %v", text, form, err)
		}
	}
}

// FuzzScan holds Scan to what Append and encoding/json say of the same text.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		form, err := AppendCanonical(nil, text)
		end, canonical, scanErr := scan(text, 0)
		var e *Error
		refused := errors.As(err, &e) && e.Fault == Number
		start := SkipSpace(text, 0)
		if start > 0 {
			if scanErr == nil {
				t.Fatalf("scan(%q): white space is no value", text)
			}
			end, canonical, scanErr = scan(text, start)
		}
		whole := scanErr == nil && SkipSpace(text, end) == len(text)
		if whole != (err == nil || refused) {
			t.Fatalf("%q: Scan says %d %v, Append %v", text, end, scanErr, err)
		}
		if scanErr != nil {
			return
		}
		value := text[start:end]
		if !json.Valid(value) {
			t.Fatalf("scan(%q) took %q", text, value)
		}
		if whole && canonical != (err == nil && bytes.Equal(form, value)) {
			t.Fatalf("scan(%q): canonical %v, Append makes %q", text, canonical, form)
		}
	})
}
