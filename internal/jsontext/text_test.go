package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendQuote(t *testing.T) {
	for in, want := range map[string]string{
		"":                       `""`,
		"plain":                  `"plain"`,
		`"\/`:                    `"\"\\/"`,
		"\b\f\n\r\t\x00\x1f\x7f": "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"",
		"<>&\u2028é😀":            "\"<>&\u2028é😀\"",
		"a\xffb\xe2\x82":         "\"a\uFFFDb\uFFFD\uFFFD\"",
		"\uFFFD":                 "\"\uFFFD\"",
	} {
		if got := string(AppendQuote(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if got := string(AppendStrings([]byte("x"), []string{"a", "\n"})); got != `x["a","\n"]` {
		t.Errorf("list: %s", got)
	}
	if got := string(AppendStrings(nil, nil)); got != `[]` {
		t.Errorf("no list: %s", got)
	}
}

// EscapeForXML escapes the two characters, nothing else, and leaves alone what has none of them.
func TestEscapeForXML(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{}`, "\"\uffff\"": `"\uffff"`,
		"{\"\ufffe\":\"a\uffff\ufffeb\"}":              `{"\ufffe":"a\uffff\ufffeb"}`,
		"\"\uffef\uffbe\uffbf\ufffd\ufff0\U0001fffe\"": "\"\uffef\uffbe\uffbf\ufffd\ufff0\U0001fffe\"",
		`"\uffff\\"`: `"\uffff\\"`,
		"\"\xef\xbf": "\"\xef\xbf", "": "",
	} {
		in := []byte(text)
		got := EscapeForXML(in)
		if string(got) != want || string(in) != text {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if text == want && len(text) > 0 && &got[0] != &in[0] {
			t.Errorf("%q was copied", text)
		}
	}
}

func BenchmarkAppendQuote(b *testing.B) {
	text := strings.Repeat("aGVsbG8g", 100)
	dst := make([]byte, 0, 1<<10)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		dst = AppendQuote(dst[:0], text)
	}
}

func FuzzAppendQuote(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n", "\x00\x1f\x7f", "a\xffb", "é😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkQuote(t, s)
		out := AppendQuote(nil, s)
		if _, is, err := scan(out, 0); err != nil || !is {
			t.Fatalf("%q is written as %s, which is not canonical: %v", s, out, err)
		}
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && back != s {
			t.Errorf("%q came back as %q", s, back)
		}
		if text, err := AppendUnquote(nil, out); err != nil || utf8.ValidString(s) && string(text) != s {
			t.Errorf("%q came back as %q, %v", s, text, err)
		}
	})
}
