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

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")

// ParsePointer parses a JSON Pointer.
func ParsePointer(text string) (Pointer, error) {
	p := Pointer{text: text}
	if text == "" {
		return p, nil
	}
	if text[0] != '/' {
		return p, errPointerSlash
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return p, errPointerEscape
		}
	}
	p.tokens = strings.Split(text[1:], "/")
	for i, t := range p.tokens {
		p.tokens[i] = pointerEscapes.Replace(t)
	}
	return p, nil
}

// String is the text of p.
func (p Pointer) String() string { return p.text }

// ParsePointers parses all, of which none may be, or lie within, another.
func ParsePointers(texts []string) (list []Pointer, err error) {
	for _, text := range texts {
		if list, err = AddPointer(list, text); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// AddPointer parses text and adds it to a list of which none may be, or lie within, another.
func AddPointer(list []Pointer, text string) ([]Pointer, error) {
	p, err := ParsePointer(text)
	if err != nil {
		return nil, fmt.Errorf("%.80q: %w", text, err)
	}
	for _, q := range list {
		if p.Within(q) || q.Within(p) {
			return nil, fmt.Errorf("%.80q and %.80q overlap: name the outer one only", q.text, p.text)
		}
	}
	return append(list, p), nil
}

// Within reports whether p points to what q does, or to a part of it.
func (p Pointer) Within(q Pointer) bool {
	return len(p.tokens) >= len(q.tokens) && slices.Equal(p.tokens[:len(q.tokens)], q.tokens)
}

// Span is where a value stands in a document.
type Span struct{ Start, End int }

// Find looks for the value that p points to in a document that is known to be strict JSON.
func (p Pointer) Find(doc []byte) (Span, bool) {
	at, found := FindAll(doc, []Pointer{p})
	return at[0], found[0]
}

// FindAll finds the values that the pointers point to, in one walk over a document that is known to be strict
// JSON.
func FindAll(doc []byte, list []Pointer) (at []Span, found []bool) {
	f := finding{doc: doc, list: list, at: make([]Span, len(list)), found: make([]bool, len(list))}
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	f.value(SkipSpace(doc, 0), 0, all)
	return f.at, f.found
}

// finding is one walk. It steps by brackets and strings only over parts that no pointer leads into.
type finding struct {
	doc   []byte
	list  []Pointer
	at    []Span
	found []bool
}

// value looks at the value at doc[i], to which those of the list that are wanted lead with their first depth
// tokens.
func (f *finding) value(i, depth int, wanted []int) {
	var deeper []int
	for _, n := range wanted {
		if len(f.list[n].tokens) > depth {
			deeper = append(deeper, n)
			continue
		}
		end := SpanEnd(f.doc, i)
		f.at[n], f.found[n] = Span{i, end}, end > i
	}
	if len(deeper) == 0 {
		return
	}
	eachChild(f.doc, i, func(name []byte, at int) bool {
		if inside := f.into(deeper, depth, name); len(inside) > 0 {
			f.value(at, depth+1, inside)
		}
		return true
	})
}

// into are those of the wanted whose next token is that name.
func (f *finding) into(wanted []int, depth int, name []byte) (list []int) {
	for _, n := range wanted {
		if f.list[n].tokens[depth] == string(name) {
			list = append(list, n)
		}
	}
	return list
}

// LeadsOutside reports whether p leads to a value in a strict document that lies within none of the covered
// ones. A reader such as encoding/json takes names that differ in case only for the same, so p leads to all
// of their spellings. Each is looked at, however many there are: a walk that stopped after some would overlook
// the next one.
func (p Pointer) LeadsOutside(doc []byte, covered []Pointer) bool {
	var walk func(i int, path []string) bool
	walk = func(i int, path []string) (clear bool) {
		if slices.ContainsFunc(covered, Pointer{tokens: path}.Within) {
			return false
		}
		if len(path) == len(p.tokens) {
			return true
		}
		eachChild(doc, i, func(name []byte, at int) bool {
			if strings.EqualFold(string(name), p.tokens[len(path)]) {
				clear = walk(at, append(path, string(name)))
			}
			return !clear
		})
		return clear
	}
	return walk(SkipSpace(doc, 0), nil)
}

// eachChild calls do for the members or elements of the value at doc[i], until it returns false. Elements are
// named in decimal without leading zeros (RFC 6901 section 4).
func eachChild(doc []byte, i int, do func(name []byte, at int) bool) {
	d := NewDecoder(doc[i:])
	switch d.PeekKind() {
	case '{':
		for obj := d.Object(); d.Member(&obj) && do(obj.Name, i+d.InputOffset()); {
			d.ReadSpan()
		}
	case '[':
		var room [20]byte
		a := d.Array()
		for n := int64(0); d.Element(&a) && do(strconv.AppendInt(room[:0], n, 10), i+d.InputOffset()); n++ {
			d.ReadSpan()
		}
	}
}

// Replacement is what stands in a document in place of what was in its span.
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

// maxPointer bounds Error.Pointer in bytes: a name may be a megabyte, and errors go to logs.
const maxPointer = 256

// pointer is the JSON Pointer (RFC 6901) of a path that is given from the inside out.
func pointer(b []byte, path []segment) string {
	var p []byte
	for i := len(path) - 1; i >= 0; i-- {
		end := len(p)
		if p = append(p, '/'); path[i].name < 0 {
			p = strconv.AppendInt(p, int64(path[i].element), 10)
		} else {
			p, end = appendToken(p, b, path[i].name)
		}
		if len(p) > maxPointer {
			return string(p[:min(end, maxPointer)]) + "…"
		}
	}
	return string(p)
}

// appendToken appends the name at b[i] as a reference token, and stops where p is too long: end is the
// length before the last character.
func appendToken(p, b []byte, i int) (token []byte, end int) {
	end = len(p)
	for r, next := runeAt(b, i+1); r >= 0 && len(p) <= maxPointer; r, next = runeAt(b, next) {
		end = len(p)
		switch r {
		case '~':
			p = append(p, "~0"...)
		case '/':
			p = append(p, "~1"...)
		default:
			p = append(p, string(r)...)
		}
	}
	return p, end
}
