package jsontext

import (
	"cmp"
	"slices"
	"unicode/utf8"
)

// Document is a JSON value that was read strictly and that knows its canonical form: writing it does not
// read the value again. It aliases the text that it was read from.
type Document struct {
	Value       Value
	IsCanonical bool // Value is in canonical form

	text    []byte // Value is text[start:end]
	start   int
	end     int
	members *index // nil: all objects are in order
	refused bool   // some number has no canonical form
}

// AppendCanonical appends the canonical form. On an error, always an *Error with the Fault Number, dst comes
// back as it was.
func (d *Document) AppendCanonical(dst []byte) ([]byte, error) {
	if d.refused {
		s := scanner{b: d.text, keep: true, numbers: fatal} // finds the number
		s.read(d.start)
		return dst, s.err()
	}
	dst = slices.Grow(dst, len(d.Value))
	if d.IsCanonical {
		return append(dst, d.Value...), nil
	}
	e := emitter{b: d.text, dst: dst, index: d.members}
	e.span(d.start, d.end, 0)
	return e.dst, nil
}

// AppendCanonical appends the canonical form of the JSON text to dst. White space around the value is
// allowed. The two must not overlap, since the canonical form may be the longer one (1e20). On an error, always an
// *Error, dst comes back as it was. The Fault is Number only if nothing else is wrong with the text.
func AppendCanonical(dst, text []byte) ([]byte, error) {
	d := NewDecoder(text)
	doc := d.ReadDocument()
	if err := d.End(); err != nil {
		return dst, err
	}
	return doc.AppendCanonical(dst)
}

// emitter writes the canonical form of a text that was read without error, numbers included.
type emitter struct {
	b     []byte
	dst   []byte
	index *index // nil if all objects are in order
}

// span writes the tokens of b[i:end]; objects is how many objects of b begin before i.
// It calls itself, through object, no deeper than MaxDepth.
func (e *emitter) span(i, end, objects int) {
	for i < end {
		switch c := e.b[i]; c {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			i = e.string(i)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			end, plain := numberEnd(e.b, i)
			if plain {
				e.dst = append(e.dst, e.b[i:end]...)
			} else {
				d, _ := parseDecimal(e.b[i:end])
				e.dst, _ = d.appendCanonical(e.dst)
			}
			i = end
		case '{':
			if e.index != nil {
				i, objects = e.object(objects)
				continue
			}
			fallthrough
		default:
			e.dst = append(e.dst, c)
			i++
		}
	}
}

// object writes the object of that number and returns where to go on after it.
func (e *emitter) object(number int) (i, objects int) {
	o := e.index.objects[number]
	e.dst = append(e.dst, '{')
	for n, m := range e.index.members[o.first : o.first+o.count] {
		if n > 0 {
			e.dst = append(e.dst, ',')
		}
		e.span(m.name, m.end, m.objects)
	}
	e.dst = append(e.dst, '}')
	return o.end, o.next
}

func (e *emitter) string(i int) int {
	e.dst = append(e.dst, '"')
	for i++; ; {
		end, _ := plain(e.b, i)
		e.dst = append(e.dst, e.b[i:end]...)
		if e.b[end] == '"' {
			e.dst = append(e.dst, '"')
			return end + 1
		}
		var r rune
		r, i, _ = unescape(e.b, end)
		e.dst = appendRune(e.dst, r)
	}
}

// index holds, for a text with unordered objects, where each object's members are, in canonical order.
// A nil index is one that records nothing.
//
// Members of an object are collected at the end of pending and leave it, sorted, when the object closes,
// so that an object's members are adjacent whatever is nested in them.
type index struct {
	keep    bool // else only look for duplicates
	pending []member
	members []member
	objects []object // in the order of their opening braces
}

// member is a member of an object: b[name:end] is `"name":value`.
type member struct {
	name, end int
	objects   int // how many objects begin before its value
}

type object struct {
	first, count int // in index.members
	end          int // offset after the brace
	next         int // how many objects begin before end
}

// openObject is an object that is being read.
type openObject struct {
	number    int
	pending   int // where its members begin in pending
	unordered bool
}

// compareNames orders the strings whose opening quotes are at b[i] and b[j] by their UTF-16 code units
// (RFC 8785 section 3.2.3). Both must have been read without error.
func compareNames(b []byte, i, j int) int {
	for i, j = i+1, j+1; ; {
		c, d := b[i], b[j]
		switch {
		case c == '\\' || d == '\\':
			r, x := runeAt(b, i)
			q, y := runeAt(b, j)
			if r != q {
				if (r >= 0x10000) != (q >= 0x10000) && min(r, q) >= 0xE000 {
					r, q = q, r // in UTF-16, a surrogate comes before U+E000 to U+FFFF
				}
				return cmp.Compare(r, q)
			}
			i, j = x, y
		case c != d:
			return cmp.Compare(rank(c), rank(d))
		case c == '"':
			return 0
		default:
			i, j = i+1, j+1
		}
	}
}

// rank orders bytes that differ after an equal prefix, both in UTF-8, as the UTF-16 code units would be.
// The end of a string comes first. Then UTF-8 has the order of code points, and UTF-16 too, but for the
// lead bytes of U+E000 to U+FFFF, which come after all surrogates.
func rank(c byte) byte {
	switch c {
	case '"':
		return 0
	case 0xEE, 0xEF:
		return c + 0x10
	}
	return c
}

// runeAt is the character at b[i] and the index after it; the end of the string is -1.
func runeAt(b []byte, i int) (r rune, end int) {
	switch c := b[i]; {
	case c == '"':
		return -1, i
	case c == '\\':
		r, end, _ = unescape(b, i)
		return r, end
	default:
		r, n := utf8.DecodeRune(b[i:])
		return r, i + n
	}
}
