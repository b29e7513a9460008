package jsonwrite

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/canonical"
)

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":                       `""`,
		"plain":                  `"plain"`,
		`"\/`:                    `"\"\\/"`,
		"\b\f\n\r\t\x00\x1f\x7f": "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"",
		"<>&\u2028é😀":            "\"<>&\u2028é😀\"",
		"a\xffb\xe2\x82":         "\"a\uFFFDb\uFFFD\uFFFD\"",
		"\uFFFD":                 "\"\uFFFD\"",
	} {
		if got := string(AppendString(nil, in)); got != want {
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

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n", "\x00\x1f\x7f", "a\xffb", "é😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := AppendString(nil, s)
		if _, is, err := canonical.Scan(out, 0); err != nil || !is {
			t.Fatalf("%q is written as %s, which is not canonical: %v", s, out, err)
		}
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && back != s {
			t.Errorf("%q came back as %q", s, back)
		}
	})
}
