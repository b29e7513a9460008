package jsontext

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pointer is a JSON Pointer (RFC 6901) that was parsed.
type Pointer struct {
	text   string
	tokens []string // none: the whole document
}

var (
	errPointerSlash  = errors.New(`a JSON Pointer is empty or begins with "/"`)
	errPointerEscape = errors.New(`in a JSON Pointer, "~" is followed by 0 or 1`)
)

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~0", "~", "~1", "/")
)

// ParsePointer parses a JSON Pointer.
func ParsePointer(text string) (Pointer, error) {
	p := Pointer{text: text}
	if text == "" {
		return p, nil
	}
	if text[0] != '/' {
		return p, errPointerSlash
	}
	p.tokens = strings.Split(text[1:], "/")
	for i, token := range p.tokens {
		p.tokens[i] = pointerUnescapes.Replace(token)
		if pointerEscapes.Replace(p.tokens[i]) != token { // a token has one spelling
			return p, errPointerEscape
		}
	}
	return p, nil
}

// String is the text of p.
func (p Pointer) String() string { return p.text }

// ParsePointers parses all texts. No pointer may be another, or lie within another.
func ParsePointers(texts []string) (list []Pointer, err error) {
	for _, text := range texts {
		if list, err = AddPointer(list, text); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// AddPointer parses text and adds it to a list, in which no pointer may be another, or lie within another.
func AddPointer(list []Pointer, text string) ([]Pointer, error) {
	p, err := ParsePointer(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", text, err)
	}
	for _, q := range list {
		if strings.HasPrefix(text+"/", q.text+"/") || strings.HasPrefix(q.text+"/", text+"/") {
			return nil, fmt.Errorf("%.80q and %.80q overlap: name the outer one only", q.text, text)
		}
	}
	return append(list, p), nil
}

// Span is where a value stands in a document. The zero Span is that of no value.
type Span struct{ Start, End int }

// FindAll finds the value that each pointer points to, in one walk over a document that is known to be strict
// JSON. The zero Span is that of a value that is not there.
func FindAll(doc []byte, list []Pointer) []Span {
	f := finder{doc: doc, list: list}
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	f.find(SkipSpace(doc, 0), 0, all)
	at := make([]Span, len(list))
	for _, m := range f.found {
		at[m.pointer] = m.Span
	}
	return at
}

// LeadsOutside reports whether p leads to a value in a strict document that lies within none of the covered
// ones. Readers such as encoding/json take names that differ only in case for the same, so p leads to all of
// their spellings. Each of them is looked at, however many there are: a walk that stopped after some would
// overlook the next one.
func (p Pointer) LeadsOutside(doc []byte, covered []Pointer) bool {
	f := finder{doc: doc, list: []Pointer{p}, fold: true}
	f.find(SkipSpace(doc, 0), 0, []int{0})
	spans := FindAll(doc, covered)
	return slices.ContainsFunc(f.found, func(m match) bool {
		return !slices.ContainsFunc(spans, func(s Span) bool { return s.Start <= m.Start && m.End <= s.End })
	})
}

// finder finds the values to which pointers lead.
type finder struct {
	doc   []byte
	list  []Pointer
	fold  bool    // names may differ in case
	found []match // in the order of the document
}

// match is a value to which the pointer of that number leads.
type match struct {
	pointer int
	Span
}

// find looks at the value at doc[i], to which the wanted ones of the list lead with their first depth tokens.
// It steps by brackets and strings only over parts that no pointer leads into.
func (f *finder) find(i, depth int, wanted []int) {
	var deeper []int
	for _, n := range wanted {
		if len(f.list[n].tokens) > depth {
			deeper = append(deeper, n)
		} else {
			f.found = append(f.found, match{n, Span{i, SpanEnd(f.doc, i)}})
		}
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
		var inside []int
		for _, n := range deeper {
			token := f.list[n].tokens[depth]
			if token == string(name) || f.fold && strings.EqualFold(token, string(name)) {
				inside = append(inside, n)
			}
		}
		if len(inside) > 0 {
			f.find(d.i, depth+1, inside)
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
