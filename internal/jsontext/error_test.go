package jsontext

import (
	"errors"
	"strings"
	"testing"
)

var broken = []struct {
	text    string
	fault   Fault
	pointer string
	offset  int
}{
	{"", Syntax, "", 0},
	{" \n", Syntax, "", 2},
	{"\ufeff1", Syntax, "", 0},
	{"nul", Syntax, "", 0},
	{"True", Syntax, "", 0},
	{"'a'", Syntax, "", 0},
	{"/**/1", Syntax, "", 0},
	{"\u00a01", Syntax, "", 0},
	{"\v1", Syntax, "", 0},
	{"1 2", Syntax, "", 2},
	{"1\x00", Syntax, "", 1},
	{"truex", Syntax, "", 4},
	{`""""`, Syntax, "", 2},
	{"[1]]", Syntax, "", 3},
	{"{}{}", Syntax, "", 2},
	{"[", Syntax, "/0", 1},
	{"[1", Syntax, "", 2},
	{"[1 2]", Syntax, "", 3},
	{"[1,]", Syntax, "/1", 3},
	{"[,1]", Syntax, "/0", 1},
	{"[1,,2]", Syntax, "/1", 3},
	{"[1}", Syntax, "", 2},
	{"]", Syntax, "", 0},
	{"{", Syntax, "", 1},
	{`{"a"`, Syntax, "", 4},
	{`{"a":`, Syntax, "/a", 5},
	{`{"a":1`, Syntax, "", 6},
	{`{"a":1,}`, Syntax, "", 7},
	{`{,"a":1}`, Syntax, "", 1},
	{`{"a" 1}`, Syntax, "", 5},
	{`{"a"=1}`, Syntax, "", 4},
	{`{a:1}`, Syntax, "", 1},
	{`{1:1}`, Syntax, "", 1},
	{`{"a":1 "b":2}`, Syntax, "", 7},
	{`{"a":1]`, Syntax, "", 6},
	{`{"a":[1,{"b":tru}]}`, Syntax, "/a/1/b", 13},
	{`{"b":1,"a":[1,{"b":tru}]}`, Syntax, "/a/1/b", 19},
	{`"abc`, Syntax, "", 4},
	{`"abcdefghij`, Syntax, "", 11},
	{`"`, Syntax, "", 1},
	{`"\`, Syntax, "", 1},
	{`"\"`, Syntax, "", 3},
	{"\"a\nb\"", Syntax, "", 2},
	{"\"abcdefgh\x1fb\"", Syntax, "", 9},
	{"\"\x00\"", Syntax, "", 1},
	{`["\x"]`, Syntax, "/0", 2},
	{`["\U0041"]`, Syntax, "/0", 2},
	{`["\u12"]`, Syntax, "/0", 2},
	{`["\u12g4"]`, Syntax, "/0", 2},
	{`["\u+123"]`, Syntax, "/0", 2},
	{`"\u12`, Syntax, "", 1},
	{`{"\x":1}`, Syntax, "", 2},

	{"\"\xff\"", UTF8, "", 1},
	{"\"abcdefgh\x80\"", UTF8, "", 9},
	{"[\"é\",\"\xc3\"]", UTF8, "/1", 7},
	{"\"\xc0\x80\"", UTF8, "", 1},         // overlong
	{"\"\xed\xa0\x80\"", UTF8, "", 1},     // a surrogate
	{"\"\xf4\x90\x80\x80\"", UTF8, "", 1}, // beyond U+10FFFF
	{"\"\ufffd\xe2\x82\"", UTF8, "", 4},   // cut short, after a true U+FFFD
	{"{\"\xff\":1}", UTF8, "", 2},

	{`"\ud800"`, Surrogate, "", 1},
	{`"\udc00"`, Surrogate, "", 1},
	{`"a\udbff\ud800"`, Surrogate, "", 2},
	{`"\ud83dx"`, Surrogate, "", 1},
	{`"\ud83d\n"`, Surrogate, "", 1},
	{`"\ud83d\u0041"`, Surrogate, "", 1},
	{`"\ude02\ud83d"`, Surrogate, "", 1},
	{`{"a":{"\ud800":1}}`, Surrogate, "/a", 7},

	{`{"a":1,"a":2}`, Duplicate, "/a", 7},
	{`{"a":1,"b":2,"a":3}`, Duplicate, "/a", 13},
	{`{"b":1,"a":2,"b":3,"a":4}`, Duplicate, "/b", 13},
	{`{"a":1,"\u0061":2}`, Duplicate, "/a", 7},
	{`{"/":1,"\/":2}`, Duplicate, "/~1", 7},
	{`{"é":1,"\u00e9":2}`, Duplicate, "/é", 8},
	{`{"😂":1,"x":0,"\ud83d\uDE02":2}`, Duplicate, "/😂", 16},
	{`{"":1,"":2}`, Duplicate, "/", 6},
	{`[0,{"x":{"k":1,"k":1}}]`, Duplicate, "/1/x/k", 15},
	{`{"z":0,"y":[{"~/k":1,"~/k":1}]}`, Duplicate, "/y/0/~0~1k", 21},
	{`{"z":0,"y":{"a":0,"a":0},"y":0}`, Duplicate, "/y/a", 18},

	{strings.Repeat("[", 65) + strings.Repeat("]", 65), Depth, strings.Repeat("/0", 64), 64},
	{strings.Repeat("[", 10_000_000), Depth, strings.Repeat("/0", 64), 64},
	{strings.Repeat(`{"a":`, 10_000_000/5), Depth, strings.Repeat("/a", 64), 320},
	{`{"b":0,"a":` + strings.Repeat("[", 64), Depth, "/a" + strings.Repeat("/0", 63), 74},
}

func TestErrors(t *testing.T) {
	for _, test := range broken {
		_, err := AppendCanonical(nil, []byte(test.text))
		checkFault(t, "Append", test.text, err, test.fault, test.pointer, test.offset)
	}
}

// Scan says the same about all that is wrong within the value; what follows is not its business.
func TestScanErrors(t *testing.T) {
	for _, test := range broken {
		end, ok, err := scan([]byte(test.text), 0)
		if err == nil {
			if test.fault != Syntax || end != len(strings.TrimRight(test.text[:test.offset], " ")) {
				t.Errorf("scan(%.80q): %d, no error", test.text, end)
			}
			continue
		}
		if end != 0 || ok {
			t.Errorf("scan(%.80q): %d %v with an error", test.text, end, ok)
		}
		if !strings.HasPrefix(test.text, " ") {
			checkFault(t, "Scan", test.text, err, test.fault, test.pointer, test.offset)
		}
	}
}

func checkFault(t *testing.T, what, text string, err error, fault Fault, pointer string, offset int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Fault != fault || e.Pointer != pointer || e.Offset != offset {
		t.Errorf("%s(%.80q): %v, want %v at %q, offset %d", what, text, err, fault, pointer, offset)
	}
}

func TestNumberErrors(t *testing.T) {
	checkError(t, []byte(`{"b":[1,{"a":1e400}]}`), Number, "/b/1/a")
	checkError(t, []byte(`{"b":[1,{"z":0,"a":1e400}],"a":1e-400}`), Number, "/b/1/a") // the first in the text
	checkError(t, []byte(`{"b":1,"a":1e400}`), Number, "/a")
	checkError(t, []byte(`{"a":1e400,"b":0,"a":1}`), Duplicate, "/a") // all else comes first
	checkError(t, []byte(`{"a":1e400,"a":1}`), Duplicate, "/a")
	checkError(t, []byte(`[1e400,`), Syntax, "/1")
	checkError(t, []byte(`[1e400] x`), Syntax, "")
}

func TestErrorLeavesDst(t *testing.T) {
	dst := append(make([]byte, 0, 64), "kept"...)
	for _, text := range []string{`[1,`, `[1e400]`, `{"b":1,"a":1,"b":2}`} {
		got, err := AppendCanonical(dst, []byte(text))
		if err == nil || string(got) != "kept" {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func TestPointerIsBounded(t *testing.T) {
	for _, name := range []string{strings.Repeat("k", 1<<20), strings.Repeat("é", 1<<20),
		strings.Repeat("/", 300), strings.Repeat("k", 255)} {
		_, err := AppendCanonical(nil, []byte(`{"`+name+`":{"`+name+`":[1e400]}}`))
		var e *Error
		if !errors.As(err, &e) || len(e.Pointer) > maxPointer+len("…") || len(e.Pointer) < maxPointer-2 ||
			!strings.HasSuffix(e.Pointer, "…") {
			t.Fatalf("%.20s: %.600v", name, err)
		}
		if len(e.Error()) > 700 {
			t.Errorf("the error is %d bytes long", len(e.Error()))
		}
	}
	checkError(t, []byte(`{"`+strings.Repeat("k", 255)+`":1e400}`), Number, "/"+strings.Repeat("k", 255))
}

func TestErrorText(t *testing.T) {
	_, err := AppendCanonical(nil, []byte(`{"pin\u001b\u000a":{"a":"secret","a":"secret"}}`))
	for _, bad := range []string{"secret", "\x1b", "\n"} {
		if strings.Contains(err.Error(), bad) {
			t.Errorf("%q holds %q", err.Error(), bad)
		}
	}
	if !strings.Contains(err.Error(), `/a"`) || !strings.HasPrefix(err.Error(), "JSON: ") {
		t.Errorf("%q does not say where", err.Error())
	}
	if Fault(0).String() != "Fault(0)" || Fault(99).String() != "Fault(99)" || Number.String() != "number" {
		t.Error("Fault.String")
	}
}
