package jsontext

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

var (
	errPointerSlash  = errors.New(`a JSON Pointer is empty or begins with "/"`)
	errPointerEscape = errors.New(`in a JSON Pointer, "~" is followed by 0 or 1`)
)

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~0", "~", "~1", "/")
)

// CheckPointer refuses a text that is no JSON Pointer (RFC 6901). It also refuses one that is, lies within or
// contains one of the others, which are JSON Pointers.
func CheckPointer(text string, others []string) error {
	if text != "" && text[0] != '/' {
		return fmt.Errorf("%.80q: %w", text, errPointerSlash)
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return fmt.Errorf("%.80q: %w", text, errPointerEscape)
		}
	}
	for _, other := range others {
		if strings.HasPrefix(text+"/", other+"/") || strings.HasPrefix(other+"/", text+"/") {
			return fmt.Errorf("%.80q and %.80q overlap: name the outer one only", other, text)
		}
	}
	return nil
}

// Span is where a value stands in a document. The zero Span is that of no value.
type Span struct{ Start, End int }

// FindAll finds the value that each JSON Pointer points to, in one walk over a document that is known to be
// strict JSON. The zero Span is that of a value that is not there.
func FindAll(doc []byte, pointers []string) []Span {
	f := finder{doc: doc}
	all := make([]target, len(pointers))
	for i, p := range pointers {
		all[i] = target{pointer: i, rest: p}
	}
	f.find(SkipSpace(doc, 0), all)
	at := make([]Span, len(pointers))
	for _, m := range f.found {
		at[m.pointer] = m.Span
	}
	return at
}

// LeadsOutside reports whether a JSON Pointer leads to a value in a strict document that lies within none of
// the covered ones. Readers such as encoding/json take names that differ only in case for the same, so it
// leads to all of their spellings. Each of them is looked at, however many there are: a walk that stopped
// after some would overlook the next one.
func LeadsOutside(doc []byte, pointer string, covered []string) bool {
	f := finder{doc: doc, fold: true}
	f.find(SkipSpace(doc, 0), []target{{rest: pointer}})
	spans := FindAll(doc, covered)
	return slices.ContainsFunc(f.found, func(m match) bool {
		return !slices.ContainsFunc(spans, func(s Span) bool { return s.Start <= m.Start && m.End <= s.End })
	})
}

// finder finds the values to which pointers lead.
type finder struct {
	doc   []byte
	fold  bool    // names may differ in case
	found []match // in the order of the document
}

// target is a pointer that leads into a value: by the member or the element token, and from there by rest.
type target struct {
	pointer     int
	token, rest string
}

// match is a value to which the pointer of that number leads.
type match struct {
	pointer int
	Span
}

// find looks at the value at f.doc[i], into which the rest of each target leads. It steps by brackets and
// strings only over parts that no pointer leads into.
func (f *finder) find(i int, targets []target) {
	var deeper []target
	for _, t := range targets {
		if t.rest == "" {
			f.found = append(f.found, match{t.pointer, Span{i, SpanEnd(f.doc, i)}})
			continue
		}
		end := len(t.rest)
		if n := strings.IndexByte(t.rest[1:], '/'); n >= 0 {
			end = 1 + n
		}
		deeper = append(deeper, target{t.pointer, pointerUnescapes.Replace(t.rest[1:end]), t.rest[end:]})
	}
	d := Decoder{b: f.doc, i: i}
	kind := d.PeekKind()
	if len(deeper) == 0 || kind != '{' && kind != '[' {
		return
	}
	obj, array := d.Object(), d.Array()
	var room [20]byte
	for n := int64(0); kind == '{' && d.Member(&obj) || kind == '[' && d.Element(&array); n++ {
		name := obj.Name
		if kind == '[' { // an element is named in decimal without leading zeros (RFC 6901 section 4)
			name = strconv.AppendInt(room[:0], n, 10)
		}
		var inside []target
		for _, t := range deeper {
			if t.token == string(name) || f.fold && strings.EqualFold(t.token, string(name)) {
				inside = append(inside, t)
			}
		}
		if len(inside) > 0 {
			f.find(d.i, inside)
		}
		d.ReadSpan()
	}
}

// Replacement takes the place of the bytes of a document that are in its span.
type Replacement struct {
	Span
	Text []byte
}

// Replace writes doc with replacements that do not overlap.
func Replace(doc []byte, with []Replacement) []byte {
	slices.SortFunc(with, func(a, b Replacement) int { return a.Start - b.Start })
	size := len(doc)
	for i := range with {
		size += len(with[i].Text)
	}
	out, from := make([]byte, 0, size), 0
	for i := range with {
		out = append(append(out, doc[from:with[i].Start]...), with[i].Text...)
		from = with[i].End
	}
	return append(out, doc[from:]...)
}
