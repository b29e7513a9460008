package jsontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// read walks a whole document through Object, Member, Array and Element, as a codec does, and writes what
// it saw.
func read(r *Decoder, out *strings.Builder) {
	switch r.PeekKind() {
	case '{':
		out.WriteByte('{')
		for obj := r.Object(); r.Member(&obj); {
			fmt.Fprintf(out, "%q:", obj.Name)
			read(r, out)
		}
		out.WriteByte('}')
	case '[':
		out.WriteByte('[')
		for array := r.Array(); r.Element(&array); {
			read(r, out)
			out.WriteByte(' ')
		}
		out.WriteByte(']')
	case '"':
		fmt.Fprintf(out, "%q", r.String())
	default:
		out.Write(r.ReadValue())
	}
}

func walk(doc string) (string, error) {
	var out strings.Builder
	r := NewDecoder([]byte(doc))
	read(&r, &out)
	return out.String(), r.End()
}

func TestDecoder(t *testing.T) {
	for doc, want := range map[string]string{
		` {"a" : [ 1 , true,null,"x\u00e9\ud83d\ude00\n"] , "b":{} } `: `{"a":[1 true null "xé😀\n" ]"b":{}}`,
		`[]`:                 `[]`,
		`"\"\\\/\b\f\n\r\t"`: `"\"\\/\b\f\n\r\t"`,
		"\t-1.5e3\n":         `-1.5e3`,
		`{"":1,"\u0061":2}`:  `{"":1"a":2}`,
		`"\uFFFF\u0000"`:     fmt.Sprintf("%q", "\uffff\x00"),
	} {
		got, err := walk(doc)
		if err != nil || got != want {
			t.Errorf("%s: got %s, %v", doc, got, err)
		}
	}
	for _, doc := range []string{nested(MaxDepth), manyMembers(16, "last"), manyMembers(17, "last"),
		manyMembers(40, "last")} {
		if _, err := walk(doc); err != nil {
			t.Errorf("%.60s: %v", doc, err)
		}
	}
}

func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// manyMembers has n members a0, a1, ... the last of which is called last.
func manyMembers(n int, last string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i := range n - 1 {
		fmt.Fprintf(&b, `"a%d":0,`, i)
	}
	return b.String() + `"` + last + `":0}`
}

func TestDecoderRefuses(t *testing.T) {
	docs := []string{
		``, ` `, `{`, `[`, `"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{a:1}`,
		`{1:1}`, `{"a":1 "b":1}`,
		`[1`, `[1,`, `[1,]`, `[,]`, `[1 2]`, `[1}`, `{"a":1]`, `1 2`, `{}{}`, `[]]`, "{}\x00", `nul`, `tru`,
		`+1`, `01`, `.5`, `1.`, `-`,
		"\ufeff{}", "\v1", "\u00a01",
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"a":{"b":1,"b":1}}`,
		`"\x"`, `"\u12"`, `"\u12g4"`, `"\`, `"\u`, `"\"`, "\"\n\"", "\"\x00\"", "\"\\\n\"", "\"\\n\n\"",
		"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\\n\xff\"", "\"\xc3\\u00a9\"", "{\"\xff\":1}",
		`"\ud800"`, `"\udc00"`, `"\ud800\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\u"`, `"\ud800\u12"`,
		`{"\ud800":1}`,
		nested(MaxDepth + 1), strings.Repeat(`{"a":`, 65) + `1` + strings.Repeat(`}`, 65),
		strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<20),
	}
	for n := 2; n < 40; n++ { // around the number of names that are kept without a map
		docs = append(docs, manyMembers(n, "a0"), manyMembers(n, fmt.Sprintf("a%d", n-2)))
	}
	for _, doc := range docs {
		if got, err := walk(doc); err == nil {
			t.Errorf("%.60q: got %.60q", doc, got)
		}
	}
}

func TestAppendUnquoteErrors(t *testing.T) {
	for in, want := range map[string]Fault{
		`x`: Syntax, `"`: Syntax, `"\q"`: Syntax, "\"\x01\"": Syntax, ``: Syntax, `""x`: Syntax,
		` ""`: Syntax, `"" `: Syntax,
		"\"\xff\"": UTF8, "\"\\n\xff\"": UTF8,
		`"\ud800"`: Surrogate, `"\ud800\u0041"`: Surrogate, `"\udfff"`: Surrogate,
	} {
		text, err := AppendUnquote([]byte("kept"), []byte(in))
		if e, ok := err.(*Error); !ok || e.Fault != want || string(text) != "kept" {
			t.Errorf("%q: got %q, %v; want %v", in, text, err, want)
		}
		d := NewDecoder([]byte(in))
		if text := d.Bytes(); d.End() == nil && strings.TrimSpace(in) == in {
			t.Errorf("%q: the decoder got %q", in, text)
		}
	}
}

func TestBytesAlias(t *testing.T) {
	doc := []byte(`["plain","esc\u0061ped"]`)
	r := NewDecoder(doc)
	array := r.Array()
	r.Element(&array)
	plain := r.Bytes()
	r.Element(&array)
	escaped := r.Bytes()
	if &plain[0] != &doc[2] || cap(plain) != len(plain) {
		t.Error("a plain string is a copy, or appending to it would overwrite the document")
	}
	clear(doc)
	if string(escaped) != "escaped" {
		t.Errorf("got %q", escaped)
	}
}

func TestInt(t *testing.T) {
	for doc, want := range map[string]int64{`0`: 0, `-1`: -1, ` 9223372036854775807 `: 1<<63 - 1,
		`-9223372036854775808`: -1 << 63} {
		r := NewDecoder([]byte(doc))
		if got := r.Int(); got != want || r.End() != nil {
			t.Errorf("%s: got %d, %v", doc, got, r.End())
		}
	}
	for _, doc := range []string{``, `-0`, `1.0`, `1e2`, `01`, `"1"`, `true`, `null`, `9223372036854775808`} {
		r := NewDecoder([]byte(doc))
		if got := r.Int(); r.End() == nil {
			t.Errorf("%s: got %d", doc, got)
		}
	}
}

func TestIntDoesNotQuote(t *testing.T) {
	for _, doc := range []string{`"5ecret"`, `5.5ecret`, `12345.5`, `{"5ecret":1}`} {
		r := NewDecoder([]byte(doc))
		r.Int()
		if err := r.End(); err == nil || strings.Contains(err.Error(), "5ecret") ||
			strings.Contains(err.Error(), "12345") {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// ReadValue counts what is around a value, ReadDocument does not.
func TestDepth(t *testing.T) {
	for _, test := range []struct {
		depth int
		value bool
		ok    bool
	}{{63, false, true}, {64, false, false}, {64, true, true}, {65, true, false}} {
		r := NewDecoder([]byte(`{"a":` + strings.Repeat(`["]\"",`, test.depth-1) + `[]` +
			strings.Repeat("]", test.depth-1) + `}`))
		obj := r.Object()
		r.Member(&obj)
		if test.value {
			r.ReadDocument()
		} else {
			r.SkipValue()
		}
		if r.Member(&obj); (r.End() == nil) != test.ok {
			t.Errorf("%+v: %v", test, r.End())
		}
	}
}

func TestDocumentCanonical(t *testing.T) {
	for doc, want := range map[string]bool{` {"a":1,"b":2} `: true, `{"b":2,"a":1}`: false, `{"a": 1}`: false,
		`1.0`: false, `"x"`: true} {
		r := NewDecoder([]byte(doc))
		if got := r.ReadDocument(); got.IsCanonical != want || string(got.Value) != strings.TrimSpace(doc) ||
			r.End() != nil {
			t.Errorf("%s: got %s, %v, %v", doc, got.Value, got.IsCanonical, r.End())
		}
	}
}

func TestSpanAndOffset(t *testing.T) {
	for _, value := range []string{
		`1`, `-1.5e+3`, `true`, `null`, `"]\\\"}"`, `{}`, `[]`, `{"a":[1,{"b":"}"}], "c" : null}`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	} {
		doc := `{"first":0, "a" : ` + value + ` , "last":2}`
		r := NewDecoder([]byte(doc))
		obj := r.Object()
		r.Member(&obj)
		if r.SkipValue(); doc[obj.Start:r.Offset()] != `"first":0` {
			t.Errorf("got %q", doc[obj.Start:r.Offset()])
		}
		r.Member(&obj)
		if span := r.ReadSpan(); string(span) != value {
			t.Errorf("got %.60q, want %.60q", span, value)
		}
		if member := doc[obj.Start:r.Offset()]; member != `"a" : `+value+` ` {
			t.Errorf("got %.60q", member)
		}
		if !r.Member(&obj) || r.Int() != 2 || r.Member(&obj) || r.End() != nil {
			t.Errorf("%.60s: %v", value, r.End())
		}
	}
}

func TestSpanRefuses(t *testing.T) {
	for _, value := range []string{``, `,`, `:`, `,5`, `:5`, `]`, `"`, `"\`, `"\"`, `[`, `{"a":`, `{"}`,
		`[1`} {
		r := NewDecoder([]byte(`{"a":` + value + `}`))
		obj := r.Object()
		r.Member(&obj)
		r.ReadSpan()
		if r.Member(&obj); r.End() == nil {
			t.Errorf("%s was taken for a value", value)
		}
		if r.ReadSpan() != nil {
			t.Errorf("%s: something was read after an error", value)
		}
	}
}

// The first error stays, and nothing is read after it.
func TestErrorSticks(t *testing.T) {
	first := errors.New("first")
	r := NewDecoder([]byte(`{"a":[1,"x"]}`))
	obj := r.Object()
	r.Fail(first)
	r.Failf("second")
	array := r.Array()
	whole := r.ReadDocument()
	if r.Member(&obj) || r.Element(&array) || r.PeekKind() != 0 || r.String() != "" || r.Bytes() != nil ||
		r.Int() != 0 || r.ReadValue() != nil || whole.Value != nil || whole.IsCanonical {
		t.Error("something was read after an error")
	}
	if r.Err() != first || r.End() != first {
		t.Errorf("got %v", r.Err())
	}
}

func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for _, doc := range []string{`{"` + long + `":1,"` + long + `":1}`, `[` + long + `]`} {
		if _, err := walk(doc); err == nil || len(err.Error()) > 300 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
	r := NewDecoder([]byte(strings.Repeat("1", 1<<16)))
	if r.Int(); r.Err() == nil || len(r.Err().Error()) > 300 {
		t.Error("no short error for a long number")
	}
}

func TestSmallObjectsAllocateNothing(t *testing.T) {
	doc := []byte(manyMembers(16, "last"))
	if n := testing.AllocsPerRun(100, func() {
		r := NewDecoder(doc)
		for obj := r.Object(); r.Member(&obj); {
			r.SkipValue()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Accepted text is JSON, with the strings that encoding/json has; and the walk agrees with one
// ReadDocument over the whole text.
func FuzzReader(f *testing.F) {
	files, err := filepath.Glob("testdata/fuzz/FuzzReader/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus (%v)", err)
	}
	for _, doc := range []string{`{"a":[1,"\u00e9\ud83d\ude00",null],"b":{"c":true}}`, `{"a":1,"\u0061":2}`,
		`"\ud800"`, "\"\xff\""} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		_, err := walk(string(doc))
		whole := NewDecoder(doc)
		raw := whole.ReadDocument().Value
		if (err == nil) != (whole.End() == nil) {
			t.Fatalf("the walk says %v, ReadDocument says %v", err, whole.End())
		}
		if err != nil {
			return
		}
		if !json.Valid(doc) {
			t.Fatalf("accepted what is not JSON: %q", doc)
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && raw[0] == '"' {
			if got, err := AppendUnquote(nil, raw); err != nil || string(got) != text {
				t.Fatalf("got %q, %v; encoding/json has %q", got, err, text)
			}
		}
	})
}
