// Package strictjson reads JSON documents of known shape (DSSE envelopes, payloads, JWKs, bundles) member
// by member, over the original bytes and without reflection. It is what encoding/json is not: member names
// match exactly, a duplicate member is an error wherever it stands, as are trailing bytes, invalid UTF-8
// and lone surrogates.
package strictjson

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/canonical"
)

// Reader is a cursor over one JSON document. The first error sticks: callers may read a whole shape and
// look at Err (or End) once.
//
//	r := strictjson.NewReader(doc)
//	for obj := r.Object(); r.Member(&obj); {
//		switch string(obj.Name) {
//		case "version": n = r.Int()
//		default: r.Skip()
//		}
//	}
//	err := r.End()
type Reader struct {
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

// NewReader reads doc, which is not copied: byte slices that come back may alias it.
func NewReader(doc []byte) Reader {
	r := Reader{b: doc}
	r.space()
	return r
}

// Fail makes err the reader's error, unless it has one.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Failf is Fail with fmt.Errorf.
func (r *Reader) Failf(format string, args ...any) { r.Fail(fmt.Errorf(format, args...)) }

// Err is the first error so far.
func (r *Reader) Err() error { return r.err }

// End is the first error, or one if bytes follow the document.
func (r *Reader) End() error {
	if r.err == nil && r.i != len(r.b) {
		r.Failf("bytes after the JSON value, at offset %d", r.i)
	}
	return r.err
}

// Kind is the first byte of the next value: one of { [ " t f n - 0-9, or 0 at the end.
func (r *Reader) Kind() byte {
	if r.err != nil || r.i >= len(r.b) {
		return 0
	}
	return r.b[r.i]
}

// Object enters an object.
func (r *Reader) Object() Object {
	r.enter('{', "an object")
	return Object{}
}

// Member moves to the next member of o and reports whether there is one. Its value must then be read or
// skipped before Member is called again.
func (r *Reader) Member(o *Object) bool {
	if !r.next('}', o.n == 0) {
		return false
	}
	o.n++
	if r.Kind() != '"' {
		r.Failf("a member name was expected at offset %d", r.i)
		return false
	}
	o.start = r.i
	o.Name = r.Bytes()
	if r.err != nil || !o.remember(r) {
		return false
	}
	if r.Kind() != ':' {
		r.Failf("':' was expected at offset %d", r.i)
		return false
	}
	r.i++
	r.space()
	return r.err == nil
}

// remember notes the name of the o.n-th member and fails if an earlier one had it.
func (o *Object) remember(r *Reader) bool {
	if o.n > len(o.small) {
		return o.rememberMany(r)
	}
	for _, name := range o.small[:o.n-1] {
		if string(name) == string(o.Name) {
			r.Failf("duplicate member %q", clip(o.Name))
			return false
		}
	}
	o.small[o.n-1] = o.Name
	return true
}

func (o *Object) rememberMany(r *Reader) bool {
	if o.many == nil {
		o.many = make(map[string]struct{}, 4*len(o.small))
		for _, name := range o.small {
			o.many[string(name)] = struct{}{}
		}
	}
	if _, dup := o.many[string(o.Name)]; dup {
		r.Failf("duplicate member %q", clip(o.Name))
		return false
	}
	o.many[string(o.Name)] = struct{}{}
	return true
}

// Array enters an array.
func (r *Reader) Array() Array {
	r.enter('[', "an array")
	return Array{}
}

// Element moves to the next element of a and reports whether there is one.
func (r *Reader) Element(a *Array) bool {
	if !r.next(']', a.n == 0) {
		return false
	}
	a.n++
	return true
}

func (r *Reader) enter(open byte, what string) {
	if r.Kind() != open {
		r.Failf("%s was expected at offset %d", what, r.i)
		return
	}
	if r.depth++; r.depth > canonical.MaxDepth {
		r.Failf("nested deeper than %d", canonical.MaxDepth)
		return
	}
	r.i++
	r.space()
}

// next steps over the comma before a further entry, or over the closing bracket.
func (r *Reader) next(end byte, first bool) bool {
	switch c := r.Kind(); {
	case r.err != nil:
		return false
	case c == end:
		r.i++
		r.depth--
		r.space()
		return false
	case first:
		return true
	case c == ',':
		r.i++
		r.space()
		if r.Kind() != end {
			return true
		}
	}
	r.Failf("',' or %q was expected at offset %d", end, r.i)
	return false
}

// String reads a string.
func (r *Reader) String() string { return string(r.Bytes()) }

// Bytes reads a string as UTF-8 bytes, which alias the document unless the string has escapes.
func (r *Reader) Bytes() []byte {
	if r.Kind() != '"' {
		r.Failf("a string was expected at offset %d", r.i)
		return nil
	}
	text, end, err := ReadString(r.b, r.i)
	if err != nil {
		r.Fail(err)
		return nil
	}
	r.i = end
	r.space()
	return text
}

// Int reads an integer in plain decimal digits. Its error does not quote the value: in a private file, a
// secret may stand there by mistake.
func (r *Reader) Int() int64 {
	at := r.i
	raw := r.Raw()
	if r.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != string(raw) {
		r.Failf("a plain integer was expected at offset %d", at)
	}
	return n
}

// Raw reads any value and returns its bytes as they stand, which alias the document. Its nesting adds to
// that of the objects and arrays around it.
func (r *Reader) Raw() []byte {
	raw, _ := r.Value()
	if r.err == nil && r.depth > 0 && !withinDepth(raw, r.depth) {
		r.Failf("nested deeper than %d", canonical.MaxDepth)
		return nil
	}
	return raw
}

// Value is Raw for a value that counts as a document of its own: canonical.MaxDepth is for it alone. It
// also reports whether the value is in canonical form.
func (r *Reader) Value() (raw []byte, isCanonical bool) {
	if r.err != nil {
		return nil, false
	}
	end, isCanonical, err := canonical.Scan(r.b, r.i)
	if err != nil {
		r.Fail(err)
		return nil, false
	}
	raw = r.b[r.i:end:end]
	r.i = end
	r.space()
	return raw, isCanonical
}

// Skip reads past any value.
func (r *Reader) Skip() { r.Raw() }

// Span reads past any value, by its brackets and strings only, and returns its bytes, which are not known to
// be JSON: for a part that another parser reads, with a depth of its own.
func (r *Reader) Span() []byte {
	if r.err != nil {
		return nil
	}
	end := SpanEnd(r.b, r.i)
	if end <= r.i {
		r.Failf("a value was expected at offset %d", r.i)
		return nil
	}
	span := r.b[r.i:end]
	r.i = end
	r.space()
	return span
}

// Since returns the bytes of o's current member, from its name to the end of its value, which was just read.
// White space may follow.
func (r *Reader) Since(o *Object) []byte {
	if r.err != nil {
		return nil
	}
	return r.b[o.start:r.i]
}

// SpanEnd is the index after the value at b[i], found as Span does, or i if there is none.
func SpanEnd(b []byte, i int) int {
	depth := 0
	for k := i; k < len(b); k++ {
		switch b[k] {
		case '"':
			if k = stringEnd(b, k); k < 0 {
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
			for k+1 < len(b) && isScalar(b[k+1]) {
				k++
			}
		}
		if depth <= 0 {
			return k + 1 + depth // a closing bracket that opened nothing is not ours
		}
	}
	return i
}

func isScalar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.'
}

// stringEnd returns the index of the quote that ends the string at b[i], or -1.
func stringEnd(b []byte, i int) int {
	for k := i + 1; k < len(b); k++ {
		switch b[k] {
		case '"':
			return k
		case '\\':
			k++
		}
	}
	return -1
}

// withinDepth reports whether a valid JSON value nests no deeper than is left at depth outer.
func withinDepth(raw []byte, outer int) bool {
	depth, deepest := outer, outer
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest <= canonical.MaxDepth
}

func (r *Reader) space() { r.i = SkipSpace(r.b, r.i) }

// SkipSpace returns the index of the first byte at or after i that is not JSON white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// The errors of ReadString.
var (
	ErrString    = errors.New("malformed JSON string")
	ErrUTF8      = errors.New("invalid UTF-8 in a string")
	ErrSurrogate = errors.New("unpaired surrogate in a string")
)

// ReadString reads the JSON string that begins (with its quote) at b[i]. It returns the text, which
// aliases b unless there are escapes, and the index after the closing quote.
func ReadString(b []byte, i int) (text []byte, end int, err error) {
	if i >= len(b) || b[i] != '"' {
		return nil, i, ErrString
	}
	start := i + 1
	ascii := true
	for i = start; i < len(b); i++ {
		i += plain(b[i:])
		if i == len(b) {
			break
		}
		c := b[i]
		switch {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return nil, i, ErrUTF8
			}
			return b[start:i:i], i + 1, nil
		case c == '\\':
			return unescape(b, start, i)
		case c < 0x20:
			return nil, i, ErrString
		case c >= 0x80:
			ascii = false
		}
	}
	return nil, i, ErrString
}

// plain is the number of bytes that b begins with, a multiple of eight, which are surely neither '"', '\\',
// control characters nor beyond ASCII. Long strings (base64, mostly) are what this saves time on.
func plain(b []byte) (n int) {
	const low, high = 0x0101010101010101, 0x8080808080808080
	for ; len(b)-n >= 8; n += 8 {
		w := binary.LittleEndian.Uint64(b[n:])
		quote, backslash := w^low*'"', w^low*'\\'
		// x-low borrows into the high bit of each byte that is zero (and, harmlessly, perhaps of the next).
		if (w|(w-low*0x20)|(quote-low)|(backslash-low))&high != 0 {
			return n
		}
	}
	return n
}

// unescape reads on from the first backslash, at b[i], of the string whose text begins at b[start]. No text
// is longer than its spelling.
func unescape(b []byte, start, i int) (text []byte, end int, err error) {
	out := make([]byte, 0, max(stringEnd(b, i-1), i)-start)
	out = append(out, b[start:i]...)
	for i < len(b) {
		c := b[i]
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return nil, i, ErrUTF8
			}
			return out, i + 1, nil
		case c < 0x20:
			return nil, i, ErrString
		case c != '\\':
			out = append(out, c)
			i++
		default:
			if out, i, err = appendEscape(out, b, i); err != nil {
				return nil, i, err
			}
		}
	}
	return nil, i, ErrString
}

const escapeFrom, escapeTo = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

func appendEscape(out, b []byte, i int) ([]byte, int, error) {
	if i+1 >= len(b) {
		return out, i, ErrString
	}
	if b[i+1] != 'u' {
		for k := range len(escapeFrom) {
			if b[i+1] == escapeFrom[k] {
				return append(out, escapeTo[k]), i + 2, nil
			}
		}
		return out, i, ErrString
	}
	u, ok := hex4(b, i+2)
	if !ok {
		return out, i, ErrString
	}
	if !utf16.IsSurrogate(u) {
		return utf8.AppendRune(out, u), i + 6, nil
	}
	if i+7 >= len(b) || b[i+6] != '\\' || b[i+7] != 'u' {
		return out, i, ErrSurrogate
	}
	low, ok := hex4(b, i+8)
	if !ok {
		return out, i, ErrString
	}
	full := utf16.DecodeRune(u, low)
	if full == utf8.RuneError {
		return out, i, ErrSurrogate
	}
	return utf8.AppendRune(out, full), i + 12, nil
}

func hex4(b []byte, i int) (rune, bool) {
	if i+4 > len(b) {
		return 0, false
	}
	var u rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			u = u<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			u = u<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			u = u<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return u, true
}

// clip shortens untrusted text before it enters an error.
func clip(b []byte) string {
	const most = 64
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
