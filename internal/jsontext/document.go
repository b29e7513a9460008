package jsontext

import "slices"

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

// AppendCanonical appends the canonical form of the JSON text to dst. White space around the value is allowed.
// The two must not overlap, since the canonical form may be the longer one (1e20). On an error, always an
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
			i = e.number(i)
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

func (e *emitter) number(i int) int {
	end, plain := numberEnd(e.b, i)
	if plain {
		e.dst = append(e.dst, e.b[i:end]...)
	} else {
		e.dst, _ = appendNumber(e.dst, e.b[i:end])
	}
	return end
}
