package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// pieces are what the ends of values, strings and escape sequences are made of.
var pieces = []string{`"`, `"`, `\`, `\\`, `\"`, `\\\"`, `{`, `}`, `[`, `]`, `{"a":`, `"}`, `,`, `:`, ` `,
	`0`, `-1.5`, `true`, `\u005c`, `word of text`, "\n", "\x00", "\x5b\xdb\xfb\x7d", "é", "\xff", `[]`, `{}`}

func randomPieces(r *rand.Rand, from []string, most int) []byte {
	var b []byte
	for range r.IntN(most) {
		b = append(b, from[r.IntN(len(from))]...)
	}
	return b
}

func hasCorpus(f *testing.F, target string) {
	f.Helper()
	if files, err := filepath.Glob("testdata/fuzz/" + target + "/*"); err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
}

// unquoteTwice is AppendUnquote in two walks and without copied words: the first finds errors.
func unquoteTwice(dst, src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] != '"' {
		return dst, &Error{Fault: Syntax, Msg: "a string was expected"}
	}
	end, _, _, err := readString(src, 0)
	if err != nil {
		return dst, err
	}
	if end != len(src) {
		return dst, &Error{Fault: Syntax, Offset: end, Msg: "something follows the JSON value"}
	}
	for i := 1; src[i] != '"'; {
		if src[i] != '\\' {
			dst = append(dst, src[i])
			i++
			continue
		}
		r, next, _ := unescape(src, i)
		dst, i = utf8.AppendRune(dst, r), next
	}
	return dst, nil
}

func checkUnquote(t *testing.T, src []byte) {
	t.Helper()
	want, wantErr := unquoteTwice([]byte("kept"), src)
	for _, room := range []int{0, 1, len(src), 100} {
		before := append(make([]byte, 0, len("kept")+room), "kept"...)
		got, err := AppendUnquote(before, src)
		if string(got) != string(want) || !reflect.DeepEqual(err, wantErr) {
			t.Fatalf("%q: got %q, %v; want %q, %v", src, got, err, want, wantErr)
		}
	}
	checkReadText(t, src)
	checkReadText(t, append(slices.Clip(src), " ,"...))
	checkAgainstJSON(t, src, want, wantErr)
}

// checkReadText holds ReadText to ReadSpan, and its text to that of the span.
func checkReadText(t *testing.T, doc []byte) {
	t.Helper()
	d, plain := NewDecoder(doc), NewDecoder(doc)
	text, span, ok := d.ReadText([]byte("kept"))
	wantSpan := plain.ReadSpan()
	want, err := unquoteTwice([]byte("kept"), wantSpan)
	if string(span) != string(wantSpan) || ok != (err == nil) || string(text) != string(want) ||
		d.Offset() != plain.Offset() || !reflect.DeepEqual(d.Err(), plain.Err()) {
		t.Fatalf("%q: read %q of %q, %v; want %q of %q, %v", doc, text, span, d.Err(), want, wantSpan, plain.Err())
	}
}

func checkAgainstJSON(t *testing.T, src, want []byte, wantErr error) {
	t.Helper()
	var text string
	err := json.Unmarshal(src, &text)
	e, _ := errors.AsType[*Error](wantErr)
	switch {
	case e == nil && (err != nil || "kept"+text != string(want)):
		t.Fatalf("%q: got %q; encoding/json has %q, %v", src, want, text, err)
	case e != nil && e.Fault == Syntax && err == nil && len(bytes.TrimSpace(src)) == len(src) && src[0] == '"':
		t.Fatalf("%q is refused: %v; encoding/json has %q", src, e, text)
	}
}

// Every byte, and every escape sequence of one byte, at every place of a text that is copied in words.
func TestAppendUnquoteInWords(t *testing.T) {
	for length := range 20 {
		for at := range length {
			for c := range 256 {
				text := []byte(`"` + strings.Repeat("~", length) + `"`)
				text[1+at] = byte(c)
				checkUnquote(t, text)
				text[at] = '\\' // at 0, of no string
				checkUnquote(t, text)
			}
		}
	}
	from := append([]string{`"`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\n`, `\/`, "\xc3", "\xa9", "😀",
		`\u0000`}, pieces...)
	r := rand.New(rand.NewPCG(8, 2))
	for range cases.Of(100_000) {
		checkUnquote(t, append(append([]byte{'"'}, randomPieces(r, from, 12)...), '"'))
		checkUnquote(t, append(append([]byte{'"'}, randomPieces(r, from[1:10], 12)...), '"'))
	}
}

// FuzzUnquote holds AppendUnquote to the way in two walks, errors included, and to encoding/json.
func FuzzUnquote(f *testing.F) {
	hasCorpus(f, "FuzzUnquote")
	f.Fuzz(func(t *testing.T, src []byte) {
		checkUnquote(t, src)
		checkUnquote(t, append(append([]byte{'"'}, src...), '"'))
	})
}

func BenchmarkAppendUnquote(b *testing.B) {
	var dst []byte
	for _, bm := range benchmarks {
		text := AppendQuote(nil, bm.text)
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				var err error
				if dst, err = AppendUnquote(dst[:0], text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A string with escapes takes one allocation: unquote asks for its own room, so that any room that a caller
// makes for the exact text would be thrown away.
func TestEscapedStringAllocatesOnce(t *testing.T) {
	doc := []byte(`"` + strings.Repeat(`a line\n`, 100) + `"`)
	if n := testing.AllocsPerRun(100, func() {
		r := NewDecoder(doc)
		_ = r.Bytes()
	}); n != 1 {
		t.Errorf("%v allocations", n)
	}
}
