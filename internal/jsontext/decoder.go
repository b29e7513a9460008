package jsontext

import (
	"fmt"
	"strconv"
)

// Decoder is a cursor over one JSON text. The first error sticks: callers may read a whole shape and look at
// Err (or End) once.
//
//	d := jsontext.NewDecoder(doc)
//	for obj := d.Object(); d.Member(&obj); {
//		switch string(obj.Name) {
//		case "version": n = d.Int()
//		default: d.SkipValue()
//		}
//	}
//	err := d.End()
type Decoder struct {
	b     []byte
	i     int
	depth int
	err   error
}

// Object is the state of one JSON object being read; Name is the member that Member stopped at.
type Object struct {
	Name  []byte
	start int // of the member that Name belongs to
	n     int
	// The names so far: most objects are small and need no allocation. No slice of small is kept, which
	// would move the whole Object to the heap.
	small [16][]byte
	many  map[string]struct{}
}

// Array is the state of one JSON array being read.
type Array struct{ n int }

// NewDecoder reads doc, which is not copied: byte slices that come back may alias it.
func NewDecoder(doc []byte) Decoder {
	return Decoder{b: doc, i: SkipSpace(doc, 0)}
}

// Fail makes err the decoder's error, unless it has one.
func (d *Decoder) Fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Failf is Fail with fmt.Errorf.
func (d *Decoder) Failf(format string, args ...any) { d.Fail(fmt.Errorf(format, args...)) }

// Err is the first error so far.
func (d *Decoder) Err() error { return d.err }

// End is the first error, or one if bytes follow the value.
func (d *Decoder) End() error {
	if d.err == nil && d.i != len(d.b) {
		d.Fail(&Error{Fault: Syntax, Offset: d.i, Msg: "something follows the JSON value"})
	}
	return d.err
}

// InputOffset is the index of the next byte that is not white space.
func (d *Decoder) InputOffset() int { return d.i }

// PeekKind is the kind of the next value or closing bracket, 0 if there is none and after an error.
func (d *Decoder) PeekKind() Kind {
	switch c := d.peek(); c {
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return '0'
	case 'n', 'f', 't', '"', '{', '}', '[', ']':
		return Kind(c)
	}
	return 0
}

// peek is the next byte, or 0.
func (d *Decoder) peek() byte {
	if d.err != nil || d.i >= len(d.b) {
		return 0
	}
	return d.b[d.i]
}

// Object enters an object.
func (d *Decoder) Object() Object {
	d.enter('{', "an object")
	return Object{}
}

// Member moves to the next member of o and reports whether there is one. Its value must then be read or
// skipped before Member is called again.
func (d *Decoder) Member(o *Object) bool {
	if !d.next('}', o.n == 0) {
		return false
	}
	o.n++
	if d.peek() != '"' {
		d.Failf("a member name was expected at offset %d", d.i)
		return false
	}
	o.start = d.i
	o.Name = d.Bytes()
	if d.err != nil || !o.remember(d) {
		return false
	}
	if d.peek() != ':' {
		d.Failf("':' was expected at offset %d", d.i)
		return false
	}
	d.i = SkipSpace(d.b, d.i+1)
	return d.err == nil
}

// remember notes the name of the o.n-th member and fails if an earlier one had it.
func (o *Object) remember(d *Decoder) bool {
	twice := false
	if o.n <= len(o.small) {
		for _, name := range o.small[:o.n-1] {
			twice = twice || string(name) == string(o.Name)
		}
		o.small[o.n-1] = o.Name
	} else {
		if o.many == nil {
			o.many = make(map[string]struct{}, 4*len(o.small))
			for _, name := range o.small {
				o.many[string(name)] = struct{}{}
			}
		}
		_, twice = o.many[string(o.Name)]
		o.many[string(o.Name)] = struct{}{}
	}
	if twice {
		d.Failf("duplicate member %.64q", o.Name)
	}
	return !twice
}

// Array enters an array.
func (d *Decoder) Array() Array {
	d.enter('[', "an array")
	return Array{}
}

// Element moves to the next element of a and reports whether there is one.
func (d *Decoder) Element(a *Array) bool {
	if !d.next(']', a.n == 0) {
		return false
	}
	a.n++
	return true
}

func (d *Decoder) enter(open byte, what string) {
	if d.peek() != open {
		d.Failf("%s was expected at offset %d", what, d.i)
		return
	}
	if d.depth++; d.depth > MaxDepth {
		d.Failf("nested deeper than %d", MaxDepth)
		return
	}
	d.i = SkipSpace(d.b, d.i+1)
}

// next steps over the comma before a further entry, or over the closing bracket.
func (d *Decoder) next(end byte, first bool) bool {
	switch c := d.peek(); {
	case d.err != nil:
		return false
	case c == end:
		d.depth--
		d.i = SkipSpace(d.b, d.i+1)
		return false
	case first:
		return true
	case c == ',':
		d.i = SkipSpace(d.b, d.i+1)
		if d.peek() != end {
			return true
		}
	}
	d.Failf("',' or %q was expected at offset %d", end, d.i)
	return false
}

// String reads a string.
func (d *Decoder) String() string { return string(d.Bytes()) }

// Bytes reads a string as UTF-8 bytes, which alias the text unless the string has escapes.
func (d *Decoder) Bytes() []byte {
	if d.peek() != '"' {
		d.Failf("a string was expected at offset %d", d.i)
		return nil
	}
	l := readLiteral(d.b, d.i)
	if l.fault != 0 {
		d.Fail(&Error{Fault: l.fault, Offset: l.end, Msg: l.message(d.b)})
		return nil
	}
	text := d.b[d.i+1 : l.end-1 : l.end-1]
	if l.escaped {
		text = appendUnescaped(make([]byte, 0, len(text)), text)
	}
	d.i = SkipSpace(d.b, l.end)
	return text
}

// Int reads an integer in plain decimal digits. Its error does not quote the value: in a private file, a
// secret may stand there by mistake.
func (d *Decoder) Int() int64 {
	at := d.i
	raw := d.ReadValue()
	if d.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(raw) {
		d.Failf("a plain integer was expected at offset %d", at)
	}
	return n
}

// ReadValue reads any value. Its nesting adds to that of the objects and arrays around it.
func (d *Decoder) ReadValue() Value {
	s := scanner{b: d.b, depth: d.depth}
	start := d.i
	if !d.read(&s) {
		return nil
	}
	return d.b[start:s.end:s.end]
}

// SkipValue reads past any value.
func (d *Decoder) SkipValue() { d.ReadValue() }

// ReadDocument reads a value that counts as a document of its own: MaxDepth is for it alone.
func (d *Decoder) ReadDocument() (doc Document) {
	s := scanner{b: d.b, keep: true, numbers: noted}
	start := d.i
	if !d.read(&s) {
		return doc
	}
	return Document{
		Value: d.b[start:s.end:s.end], IsCanonical: s.canonical,
		text: d.b, start: start, end: s.end, members: s.members, refused: s.refused,
	}
}

func (d *Decoder) read(s *scanner) bool {
	if d.err == nil && s.read(d.i) < 0 {
		d.err = s.err()
	}
	if d.err == nil {
		d.i = SkipSpace(d.b, s.end)
	}
	return d.err == nil
}

// ReadSpan reads past any value, by its brackets and strings only, and returns its bytes, which are not known
// to be JSON: for a part that another decoder reads, with a depth of its own.
func (d *Decoder) ReadSpan() []byte {
	if d.err != nil {
		return nil
	}
	end := SpanEnd(d.b, d.i)
	if end <= d.i {
		d.Failf("a value was expected at offset %d", d.i)
		return nil
	}
	span := d.b[d.i:end]
	d.i = SkipSpace(d.b, end)
	return span
}

// Inner is a decoder of the next value alone, with a depth of its own. Leave says where d goes on after it.
func (d *Decoder) Inner() Decoder { return Decoder{b: d.b, i: d.i, err: d.err} }

// Leave moves d to after the value that inner has read, and returns the bytes of that value.
func (d *Decoder) Leave(inner *Decoder) []byte {
	start, end := d.i, inner.i
	d.i = end
	for end > start && SkipSpace(d.b, end-1) > end-1 {
		end--
	}
	return d.b[start:end]
}

// Since returns the bytes of o's current member, from its name to the end of its value, which was just read.
// White space may follow.
func (d *Decoder) Since(o *Object) []byte {
	if d.err != nil {
		return nil
	}
	return d.b[o.start:d.i]
}
