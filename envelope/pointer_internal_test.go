package envelope

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/cejson"
)

// lookup is RFC 6901 section 4 over what encoding/json read.
func lookup(v any, tokens []string) (any, bool) {
	for _, t := range tokens {
		switch c := v.(type) {
		case map[string]any:
			next, ok := c[t]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			n, err := strconv.Atoi(t)
			if err != nil || strconv.Itoa(n) != t || n < 0 || n >= len(c) {
				return nil, false
			}
			v = c[n]
		default:
			return nil, false
		}
	}
	return v, true
}

// isPointer is RFC 6901 section 3 by its letter.
func isPointer(text string) bool {
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(text)
	return (text == "" || text[0] == '/') && !strings.Contains(rest, "~")
}

// FuzzPointer holds what is a pointer against the RFC, and what is found, and what replacing it makes of the document, against encoding/json.
func FuzzPointer(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":{"b":[1,{"c":null}]}}`, "/a/b/1/c"}, {`[[1,2],"x"]`, "/0/1"}, {`{"a~/b":1,"":2}`, "/a~0~1b"}, {`{"":{"":3}}`, "//"},
		{`{"é":"\u0061","a":1}`, "/é"}, {`[1]`, "/-"}, {`[1,2]`, "/01"}, {`{"a":"]}"," b":[]}`, "/a"}, {` { "x" : [ 1 , 2 ] } `, "/x/1"}, {`1`, ""}, {`{"\u0061":1}`, "/a"},
	} {
		f.Add([]byte(seed[0]), seed[1])
	}
	f.Fuzz(func(t *testing.T, doc []byte, text string) {
		p, err := parsePointer(text)
		if (err == nil) != isPointer(text) || (CheckField(text) == nil) != (err == nil) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		if _, err := cejson.ScanJSON(doc); err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			return // deeper than it reads
		}
		want, ok := lookup(v, p.tokens)
		at, found := p.find(doc)
		if found != ok {
			t.Fatalf("%q in %q: found %v", text, doc, found)
		}
		if !found {
			return
		}
		var got any
		d = json.NewDecoder(bytes.NewReader(doc[at.start:at.end]))
		d.UseNumber()
		if err := d.Decode(&got); err != nil {
			t.Fatalf("%q in %q is %q: %v", text, doc, doc[at.start:at.end], err)
		}
		a, _ := json.Marshal(got)
		if b, _ := json.Marshal(want); !bytes.Equal(a, b) {
			t.Fatalf("%q in %q is %s, want %s", text, doc, a, b)
		}
		back := replace(replace(doc, []replacement{{at, []byte(`"secret"`)}}), []replacement{{span{at.start, at.start + len(`"secret"`)}, doc[at.start:at.end]}})
		if !bytes.Equal(back, doc) {
			t.Fatalf("%q came back as %q", doc, back)
		}
	})
}
