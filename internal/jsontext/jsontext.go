// Package jsontext reads and writes JSON text, strictly. All JSON of sealbus goes through it: events,
// signatures, keys and bundles.
//
// It is stricter than encoding/json. Member names match exactly. A member that stands twice in an object
// (names are compared unescaped), invalid UTF-8, a lone surrogate, bytes after the value and nesting deeper
// than MaxDepth are errors. Nothing uses reflection, and what is read aliases the original bytes.
//
// # Canonical form
//
// AppendCanonical writes sealbus's canonical JSON: a profile of RFC 8785 with one form per exact value. It
// departs from RFC 8785 in numbers, since a signature over data must not let two different numbers share one
// form, nor change a number that a reader of big integers still reads exactly:
//
//   - A number whose exact decimal value is an integer of at most 21 digits, however spelled, is written in
//     plain digits, also beyond 2^53. Zero is 0, negative zero included.
//   - Every other number is written as RFC 8785 section 3.2.2.3 writes its float64. It is refused unless that
//     is exactly, as a decimal, the number that was written: 12.50 becomes 12.5, and 1e400 is refused.
//   - A text has at most 1,000 numbers below 1e-307 (other than zero) that have a form: they are slow to
//     convert.
//
// Time is linear in the text, apart from sorting the members of objects that are not in order yet. Memory is
// a small multiple of the text, however deeply it is nested.
//
// # The standard library
//
// The names follow package encoding/json/jsontext, which Go 1.26 has under GOEXPERIMENT=jsonv2 only: Kind,
// Value, Decoder with PeekKind, ReadValue, SkipValue and InputOffset, AppendQuote, AppendUnquote. Once it is
// there for everybody it can do the work of Decoder and of strings. There are two differences. The first
// error of a Decoder sticks, so that a codec may read a whole shape and look once. Member and Element stand
// for the tokens of objects and arrays. The canonical form stays ours, since numbers differ.
package jsontext

import "fmt"

// MaxDepth is the deepest nesting of arrays and objects that is read. A scalar has depth 0, [] has depth 1.
// Other readers stop anywhere between 100 and 10,000. All of them should be able to read what we sign.
const MaxDepth = 64

// Kind is the first byte of a value, or of the end of one. All numbers have '0'.
//
//	'n' null, 'f' false, 't' true, '"' string, '0' number, '{' and '}' object, '[' and ']' array
//	0   none of these
type Kind byte

// Value is one JSON value as it stands in a text, without white space around it.
type Value []byte

// IsValid reports whether v is exactly one strict JSON value.
func (v Value) IsValid() bool {
	end, _, err := scan(v, 0)
	return err == nil && end == len(v)
}

// IsCanonical reports whether v is exactly one strict JSON value in its canonical form.
func (v Value) IsCanonical() bool {
	end, isCanonical, err := scan(v, 0)
	return err == nil && isCanonical && end == len(v)
}

// Fault says what was wrong with a JSON text.
type Fault uint8

// The faults.
const (
	Syntax    Fault = iota + 1 // not JSON (RFC 8259), or bytes after the value
	UTF8                       // a string is not valid UTF-8
	Surrogate                  // a string has an unpaired surrogate escape
	Duplicate                  // an object has two members of one name
	Depth                      // nested deeper than MaxDepth
	Number                     // a number has no canonical form (AppendCanonical only)
)

var faultNames = [...]string{
	Syntax: "syntax", UTF8: "utf8", Surrogate: "surrogate", Duplicate: "duplicate", Depth: "depth", Number: "number",
}

// String is the fault in lower case.
func (f Fault) String() string {
	if f < Syntax || f > Number {
		return fmt.Sprintf("Fault(%d)", uint8(f))
	}
	return faultNames[f]
}

// Error says what was wrong and where. It never holds a value of the text, only member names.
type Error struct {
	Fault Fault

	// Pointer is the JSON Pointer (RFC 6901) of the value at fault, relative to the value that was read. For
	// a Duplicate it is that of the second member, for a broken member name that of the object. A pointer of
	// more than 256 bytes is cut there and ends in "…".
	Pointer string

	Offset int // byte offset in the text
	Msg    string
}

// Error quotes the pointer: member names may hold anything.
func (e *Error) Error() string {
	return fmt.Sprintf("JSON: %s at %q (offset %d)", e.Msg, e.Pointer, e.Offset)
}

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
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.'
}

// stringEnd is the index of the quote that ends the string at b[i], or -1.
func stringEnd(b []byte, i int) int {
	for i++; ; {
		i, _ = plain(b, i)
		switch {
		case i >= len(b):
			return -1
		case b[i] == '"':
			return i
		case b[i] == '\\':
			i++
		}
		i++
	}
}
