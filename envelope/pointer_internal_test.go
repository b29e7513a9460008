package envelope

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// LookUpSlowly finds what a JSON Pointer that is one points to in a document that is one, with encoding/json.
func LookUpSlowly(doc []byte, text string) (json.RawMessage, bool) {
	raw := json.RawMessage(bytes.TrimSpace(doc))
	for _, token := range strings.Split(text, "/")[1:] {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		var object map[string]json.RawMessage
		var array []json.RawMessage
		found := false
		switch {
		case raw[0] == '{' && json.Unmarshal(raw, &object) == nil:
			raw, found = object[token]
		case raw[0] == '[' && json.Unmarshal(raw, &array) == nil:
			i, err := strconv.Atoi(token)
			if found = err == nil && strconv.Itoa(i) == token && i >= 0 && i < len(array); found {
				raw = array[i]
			}
		}
		if !found {
			return nil, false
		}
	}
	return raw, true
}

// isPointer is RFC 6901 section 3 by its letter.
func isPointer(text string) bool {
	rest := strings.ReplaceAll(strings.ReplaceAll(text, "~0", ""), "~1", "")
	return (text == "" || text[0] == '/') && !strings.Contains(rest, "~")
}

// wantCorpus fails unless the committed corpus of a target is there.
func wantCorpus(f *testing.F, name string) {
	f.Helper()
	if files, _ := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*")); len(files) == 0 {
		f.Fatalf("only %d files in the corpus of %s", len(files), name)
	}
}

// FuzzPointer: what is a pointer, what it points to, and what is within what, as encoding/json and the RFC
// have it.
func FuzzPointer(f *testing.F) {
	wantCorpus(f, "FuzzPointer")
	const doc = `{"a":{"b":[1,{"c":null}],"":"x"},"a/b":1,"m~n":2,"é\u0041":[[]],"0":[ 10 , 20 ]}`
	for _, text := range []string{"", "/", "/a", "/a/b", "/a/b/1/c", "/a/", "/a~1b", "/m~0n", "/éA/0", "/0/1",
		"/0/01", "/0/-", "/0/2", "/x", "a", "/~", "/~2", "/~01", "/a/b/99999999999999999999"} {
		f.Add([]byte(doc), text, "/a")
	}
	f.Fuzz(func(t *testing.T, doc []byte, text, other string) {
		err := jsontext.CheckPointer(text, nil)
		if (err == nil) != isPointer(text) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if jsontext.CheckPointer(other, nil) == nil {
			within := strings.HasPrefix(text+"/", other+"/") || strings.HasPrefix(other+"/", text+"/")
			if err := jsontext.CheckPointer(other, []string{text}); (err != nil) != within {
				t.Errorf("%q and %q: %v", text, other, err)
			}
		}
		if err := new(wire.Event).SetJSON(doc); err != nil {
			return
		}
		at := jsontext.FindAll(doc, []string{text})[0]
		ok := at.End > 0
		want, found := LookUpSlowly(doc, text)
		if ok != found || ok && !bytes.Equal(doc[at.Start:at.End], want) {
			t.Fatalf("%q in %s: %v %v, want %v %s", text, doc, ok, at, found, want)
		}
		if !ok {
			return
		}
		got := jsontext.Replace(doc, []jsontext.Replacement{{Span: at, Text: []byte("true")}})
		if back := jsontext.Replace(got, []jsontext.Replacement{{Span: jsontext.Span{Start: at.Start,
			End: at.Start + len("true")}, Text: slices.Clone(want)}}); !bytes.Equal(back, doc) {
			t.Errorf("replaced %s, and back %s", got, back)
		}
	})
}

// The walk over a document ends where all values are found. So every list of pointers, in any order and of
// any length, finds what each of them finds alone.
func TestManyPointersFindWhatEachFinds(t *testing.T) {
	doc := []byte(`{"a":{"b":[1,{"c":null}],"":"x"},"a/b":1,"m~n":2,"\u0078":[[]],"0":[ 10 , 20 ],"z":{"a":{"b":3}}}`)
	pointers := []string{"/z/a/b", "/a/b/0", "/a/b/1/c", "/a/", "/a~1b", "/m~0n", "/x/0", "/0/1", "/0/0", "/z/b",
		"/A", "/0/2", "/a/b/2"}
	for n := range 1 << len(pointers) {
		var some []string
		for i, p := range pointers {
			if n>>i&1 == 1 {
				some = append(some, p)
			}
		}
		for i, at := range jsontext.FindAll(doc, some) {
			want, found := LookUpSlowly(doc, some[i])
			if found != (at.End > 0) || found && !bytes.Equal(doc[at.Start:at.End], want) {
				t.Fatalf("%q of %q is at %v, want %s", some[i], some, at, want)
			}
		}
	}
}
