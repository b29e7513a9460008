package envelope

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// pointer is a JSON Pointer (RFC 6901) that was parsed.
type pointer struct {
	text   string
	tokens []string // none: the whole document
}

var (
	errPointerSlash  = errors.New(`a JSON Pointer is empty or begins with "/"`)
	errPointerEscape = errors.New(`in a JSON Pointer, "~" is followed by 0 or 1`)
)

var unescaping = strings.NewReplacer("~1", "/", "~0", "~")

func parsePointer(text string) (pointer, error) {
	p := pointer{text: text}
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
		p.tokens[i] = unescaping.Replace(t)
	}
	return p, nil
}

// CheckField is an error if text is no JSON Pointer (RFC 6901), by which fields are named.
func CheckField(text string) error {
	if _, err := parsePointer(text); err != nil {
		return fmt.Errorf("%.80q: %w", text, err)
	}
	return nil
}

// parsePointers parses all, of which none may be, or lie within, another.
func parsePointers(texts []string) ([]pointer, error) {
	var list []pointer
	for _, text := range texts {
		p, err := parsePointer(text)
		if err != nil {
			return nil, fmt.Errorf("%.80q: %w", text, err)
		}
		if list, err = addPointer(list, p); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func addPointer(list []pointer, p pointer) ([]pointer, error) {
	for _, q := range list {
		if p.within(q) || q.within(p) {
			return nil, fmt.Errorf("%.80q and %.80q overlap: name the outer one only", q.text, p.text)
		}
	}
	return append(list, p), nil
}

// within reports whether p points to what q does, or to a part of it.
func (p pointer) within(q pointer) bool {
	return len(p.tokens) >= len(q.tokens) && slices.Equal(p.tokens[:len(q.tokens)], q.tokens)
}

// span is where a value stands in a document.
type span struct{ start, end int }

// find looks for the value that p points to in a document that is known to be strict JSON.
func (p pointer) find(doc []byte) (span, bool) {
	at, found := findAll(doc, []pointer{p})
	return at[0], found[0]
}

// findAll finds the values that the pointers point to, in one walk over a document that is known to be strict
// JSON.
func findAll(doc []byte, list []pointer) (at []span, found []bool) {
	f := finding{doc: doc, list: list, at: make([]span, len(list)), found: make([]bool, len(list))}
	all := make([]int, len(list))
	for i := range all {
		all[i] = i
	}
	f.value(jsontext.SkipSpace(doc, 0), 0, all)
	return f.at, f.found
}

// finding is one walk. It steps over what nobody points into by brackets and strings only.
type finding struct {
	doc   []byte
	list  []pointer
	at    []span
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
		end := jsontext.SpanEnd(f.doc, i)
		f.at[n], f.found[n] = span{i, end}, end > i
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

// isClear reports whether p leads to a value in a strict document that lies within none of the encrypted
// ones. A reader such as encoding/json takes names that differ in case only for the same, so p leads to all
// of their spellings. Each is looked at, however many there are: a walk that stopped after some would let the
// next one pass in the clear.
func (p pointer) isClear(doc []byte, encrypted []pointer) bool {
	var walk func(i int, path []string) bool
	walk = func(i int, path []string) (clear bool) {
		if slices.ContainsFunc(encrypted, pointer{tokens: path}.within) {
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
	return walk(jsontext.SkipSpace(doc, 0), nil)
}

// eachChild calls do for the members or elements of the value at doc[i], until it returns false. Elements are
// named in decimal without leading zeros (RFC 6901 section 4).
func eachChild(doc []byte, i int, do func(name []byte, at int) bool) {
	d := jsontext.NewDecoder(doc[i:])
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

// replacement is what stands in a document in place of what was in its span.
type replacement struct {
	span
	text []byte
}

// replace writes doc with replacements that do not overlap.
func replace(doc []byte, with []replacement) []byte {
	slices.SortFunc(with, func(a, b replacement) int { return a.start - b.start })
	size := len(doc)
	for i := range with {
		size += len(with[i].text)
	}
	out, from := make([]byte, 0, size), 0
	for i := range with {
		out = append(append(out, doc[from:with[i].start]...), with[i].text...)
		from = with[i].end
	}
	return append(out, doc[from:]...)
}
