// Package jsontext reads and writes JSON text, strictly. All JSON of sealbus goes through it: events,
// signatures, keys and bundles.
//
// It is stricter than encoding/json. Member names match exactly. These are errors: two members of one name in
// an object (the names are compared unescaped), invalid UTF-8, a lone surrogate, bytes after the value, and
// nesting deeper than MaxDepth. Nothing uses reflection. Values that are read alias the original bytes.
//
// # Canonical form
//
// AppendCanonical writes the canonical JSON of sealbus: a profile of RFC 8785 that has one form for each
// exact value. It departs from RFC 8785 in numbers. A signature over data must not let two different numbers
// share a form. Nor may it change a number that a reader of big integers reads exactly:
//
//   - A number whose exact decimal value is an integer of at most 21 digits, however spelled, is written in
//     plain digits, also beyond 2^53. Zero is 0, negative zero included.
//   - Every other number is written as RFC 8785 section 3.2.2.3 writes its float64. It is refused unless that
//     is exactly, as a decimal, the number that was written: 12.50 becomes 12.5, and 1e400 is refused.
//   - A text has at most 1,000 numbers below 1e-307 (other than zero) that have a form: they are slow to
//     convert.
//
// Reading takes time that is linear in the text, but for the members of objects that are not in canonical
// order: these are sorted, and copied once for each such object that they are in. Memory is a small multiple
// of the text, however deeply it is nested.
//
// # The standard library
//
// The names follow package encoding/json/jsontext, which Go 1.26 has under GOEXPERIMENT=jsonv2 only: Kind,
// Value, Decoder with PeekKind, ReadValue and SkipValue, AppendQuote, AppendUnquote. Once that package is
// generally available, it can do the work of Decoder and of strings. There are two differences. The first
// error of a Decoder sticks, so that a codec may read a whole shape and then look once. Member and Element
// stand for the tokens of objects and arrays. The canonical form stays here, since numbers differ.
package jsontext

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxDepth is the deepest nesting of arrays and objects that is read. A scalar has depth 0, [] has depth 1.
// Other readers stop anywhere between 100 and 10,000. All of them should be able to read what sealbus signs.
const MaxDepth = 64

// Kind is the first byte of a value, or punctuation. All numbers have '0'.
//
//	'n' null, 'f' false, 't' true, '"' string, '0' number, '{' and '}' object, '[' and ']' array, ',' and ':'
//	0   none of these
type Kind byte

// Value is one JSON value as it stands in a text, without white space around it.
type Value []byte

// IsValid reports whether v is exactly one strict JSON value.
func (v Value) IsValid() bool {
	d := NewDecoder(v)
	return len(d.ReadValue()) == len(v) && d.err == nil
}

// IsCanonical reports whether v is exactly one strict JSON value in its canonical form.
func (v Value) IsCanonical() bool {
	d := NewDecoder(v)
	doc := d.ReadDocument()
	return doc.IsCanonical && len(doc.Value) == len(v)
}

// Fault says what is wrong with a JSON text.
type Fault uint8

// The faults.
const (
	Syntax    Fault = iota + 1 // not JSON (RFC 8259), or bytes after the value
	UTF8                       // a string is not valid UTF-8
	Surrogate                  // a string has an unpaired surrogate escape
	Duplicate                  // an object has two members of one name
	Depth                      // nested deeper than MaxDepth
	Number                     // a number has no canonical form (AppendCanonical and Document.Err only)
)

var faultNames = [...]string{
	Syntax: "syntax", UTF8: "utf8", Surrogate: "surrogate", Duplicate: "duplicate", Depth: "depth",
	Number: "number",
}

// String is the fault in lower case.
func (f Fault) String() string {
	if f < Syntax || f > Number {
		return fmt.Sprintf("Fault(%d)", uint8(f))
	}
	return faultNames[f]
}

// Error says what is wrong with a JSON text, and where. It holds member names, and no other part of the text.
type Error struct {
	Fault Fault

	// Pointer is the JSON Pointer (RFC 6901) of the value at fault, relative to the value that was read. For
	// a Duplicate it is that of the second member, for a broken member name that of the object. A pointer of
	// more than 256 bytes is cut there and ends in "…".
	Pointer string

	Offset int // byte offset in the text
	Msg    string
}

// Error quotes the pointer, because member names may hold anything.
func (e *Error) Error() string {
	if e.Pointer == "" { // the whole text
		return fmt.Sprintf("JSON: %s (offset %d)", e.Msg, e.Offset)
	}
	return fmt.Sprintf("JSON: %s at %q (offset %d)", e.Msg, e.Pointer, e.Offset)
}

// Decoder is a cursor over one JSON text. Its first error sticks: callers may read a whole shape and then
// look at Err (or End) once.
//
//	d := jsontext.NewDecoder(doc)
//	for obj := d.Object(); d.Member(&obj); {
//		switch string(obj.Name) {
//		case "version": n = d.Int()
//		default: d.SkipValue()
//		}
//	}
//	err := d.End()
//
// A copy of a Decoder is one of its own that goes on from the same place.
type Decoder struct {
	b     []byte
	i     int // of the next byte that is not white space
	depth int // of the objects and arrays that the caller is in
	err   error
}

// Object is the state of one JSON object that is being read. Name is the member that Member stopped at.
type Object struct {
	Name  []byte
	Start int // the offset of Name in the text
	n     int
	// The names so far. Most objects are small and need no allocation. No slice of small is kept, because that
	// would move the whole Object to the heap.
	small [16][]byte
	many  map[string]struct{}
}

// Array is the state of one JSON array that is being read.
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

// PeekKind is the kind of the next value or punctuation. It is 0 if there is none, and after an error.
func (d *Decoder) PeekKind() Kind {
	if d.err != nil || d.i >= len(d.b) {
		return 0
	}
	switch c := d.b[d.i]; c {
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return '0'
	case 'n', 'f', 't', '"', '{', '}', '[', ']', ',', ':':
		return Kind(c)
	}
	return 0
}

// Object begins an object, which the first call of Member enters.
func (d *Decoder) Object() Object { return Object{} }

// Member moves to the next member of o and reports whether there is one. Its value must then be read or
// skipped before Member is called again.
func (d *Decoder) Member(o *Object) bool {
	if !d.next('{', o.n) {
		return false
	}
	if d.PeekKind() != '"' {
		d.Failf("a member name was expected at offset %d", d.i)
		return false
	}
	o.Start = d.i
	o.Name = d.Bytes()
	twice := false
	if o.n < len(o.small) {
		for _, name := range o.small[:o.n] {
			twice = twice || string(name) == string(o.Name)
		}
		o.small[o.n] = o.Name
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
	o.n++
	switch {
	case twice:
		d.Failf("duplicate member %.64q", o.Name)
	case d.PeekKind() != ':':
		d.Failf("':' was expected at offset %d", d.i)
	default:
		d.i = SkipSpace(d.b, d.i+1)
	}
	return d.err == nil
}

// Array begins an array, which the first call of Element enters.
func (d *Decoder) Array() Array { return Array{} }

// Element moves to the next element of a and reports whether there is one.
func (d *Decoder) Element(a *Array) bool {
	if !d.next('[', a.n) {
		return false
	}
	a.n++
	return true
}

// next steps over the open bracket before entry 0, over the comma before entry n, or over the closing
// bracket.
func (d *Decoder) next(open Kind, n int) bool {
	last := open + 2 // in ASCII
	if n == 0 {
		if d.PeekKind() != open {
			d.Failf("%q was expected at offset %d", open, d.i)
			return false
		}
		if d.depth++; d.depth > MaxDepth {
			d.Failf("nested deeper than %d", MaxDepth)
			return false
		}
		d.i = SkipSpace(d.b, d.i+1)
	}
	switch c := d.PeekKind(); {
	case d.err != nil:
		return false
	case c == last:
		d.depth--
		d.i = SkipSpace(d.b, d.i+1)
		return false
	case n == 0:
		return true
	case c == ',':
		d.i = SkipSpace(d.b, d.i+1)
		if d.PeekKind() != last {
			return true
		}
	}
	d.Failf("',' or %q was expected at offset %d", last, d.i)
	return false
}

// String reads a string.
func (d *Decoder) String() string { return string(d.Bytes()) }

// Bytes reads a string as UTF-8 bytes, which alias the text unless the string has escapes.
func (d *Decoder) Bytes() []byte {
	if d.PeekKind() != '"' {
		d.Failf("a string was expected at offset %d", d.i)
		return nil
	}
	end, escaped, _, err := readString(d.b, d.i)
	if err != nil {
		d.Fail(err)
		return nil
	}
	text := d.b[d.i+1 : end-1 : end-1]
	if escaped {
		text, _ = AppendUnquote(nil, d.b[d.i:end])
	}
	d.i = SkipSpace(d.b, end)
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
	return d.read(d.depth, noForm, nil).Value
}

// SkipValue reads past any value.
func (d *Decoder) SkipValue() { d.ReadValue() }

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

// ReadText is ReadSpan, and in the same walk appends the text of the value to dst. The text is not ok if the
// value is no string of strict JSON. dst gets room for all that is left to read, once.
func (d *Decoder) ReadText(dst []byte) (text, span []byte, ok bool) {
	if d.PeekKind() == '"' {
		var size int
		dst, size = unquote(dst, d.b[d.i:])
		if size > 0 {
			span = d.b[d.i : d.i+size]
			d.i = SkipSpace(d.b, d.i+size)
			return dst, span, true
		}
	}
	return dst, d.ReadSpan(), false
}

// Offset is where the next value or punctuation stands in the text: after what was read, and after white
// space.
func (d *Decoder) Offset() int { return d.i }

// SkipSpace returns the index of the first byte at or after i that is not JSON white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// SpanEnd returns the index after the value at b[i], found by its brackets and strings only, or i if there is
// none. The value is not known to be JSON: another reader is to read it.
func SpanEnd(b []byte, i int) int {
	depth := 0
	for k := i; k < len(b); k++ {
		switch b[k] {
		case '"':
			// Byte by byte: text with JSON in it has an escape sequence at every few bytes.
			for k++; k < len(b) && b[k] != '"'; k++ {
				if b[k] == '\\' {
					k++
				}
			}
			if k >= len(b) {
				return i
			}
		case '{', '[':
			depth++
			continue
		case '}', ']':
			depth--
		case ' ', '\t', '\n', '\r', ',', ':':
			if depth == 0 {
				return i // no value stands here
			}
			continue
		default:
			for ; k+1 < len(b); k++ { // over the rest of a number or a word
				if c := b[k+1]; (c|0x20 < 'a' || 'z' < c|0x20) && (c < '0' || '9' < c) &&
					c != '-' && c != '+' && c != '.' {
					break
				}
			}
		}
		if depth <= 0 {
			return k + 1 + depth // a closing bracket that opened nothing is not part of the value
		}
	}
	return i
}

var (
	pointerEscapes   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescapes = strings.NewReplacer("~0", "~", "~1", "/")
)

// CheckPointer refuses a text that is no JSON Pointer (RFC 6901). It also refuses one that is, lies within or
// contains one of the others, which are JSON Pointers.
func CheckPointer(text string, others []string) error {
	if text != "" && text[0] != '/' {
		return fmt.Errorf(`%.80q: a JSON Pointer is empty or begins with "/"`, text)
	}
	for i := range len(text) {
		if text[i] == '~' && (i+1 == len(text) || text[i+1] != '0' && text[i+1] != '1') {
			return fmt.Errorf(`%.80q: in a JSON Pointer, "~" is followed by 0 or 1`, text)
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
	f := finder{doc: doc, found: make([]match, 0, len(pointers))}
	var room [targetsAtHand]target
	all := room[:0]
	for i, p := range pointers {
		all = append(all, target{pointer: i, rest: p})
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

// targetsAtHand is how many targets take no allocation. Few events have more encrypted fields.
const targetsAtHand = 4

// match is a value to which the pointer of that number leads.
type match struct {
	pointer int
	Span
}

// find looks at the value at f.doc[i], into which the rest of each target leads. It steps by brackets and
// strings only over parts that no pointer leads into.
func (f *finder) find(i int, targets []target) {
	var room, insideRoom [targetsAtHand]target
	deeper := room[:0]
	for _, t := range targets {
		if t.rest == "" {
			f.found = append(f.found, match{t.pointer, Span{i, SpanEnd(f.doc, i)}})
			continue
		}
		end := len(t.rest)
		if n := strings.IndexByte(t.rest[1:], '/'); n >= 0 {
			end = 1 + n
		}
		token := t.rest[1:end]
		if strings.Contains(token, "~") {
			token = pointerUnescapes.Replace(token)
		}
		deeper = append(deeper, target{t.pointer, token, t.rest[end:]})
	}
	d := Decoder{b: f.doc, i: i}
	kind := d.PeekKind()
	if len(deeper) == 0 || kind != '{' && kind != '[' {
		return
	}
	obj, array := d.Object(), d.Array()
	var digits [20]byte
	left := len(deeper)
	for n := int64(0); kind == '{' && d.Member(&obj) || kind == '[' && d.Element(&array); n++ {
		name := obj.Name
		if kind == '[' { // an element is named in decimal without leading zeros (RFC 6901 section 4)
			name = strconv.AppendInt(digits[:0], n, 10)
		}
		inside := insideRoom[:0]
		for _, t := range deeper {
			if t.token == string(name) || f.fold && strings.EqualFold(t.token, string(name)) {
				inside = append(inside, t)
			}
		}
		if len(inside) > 0 {
			f.find(d.i, inside)
			if left -= len(inside); left == 0 && !f.fold {
				return // no other member has one of these names, and the rest may be long
			}
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
