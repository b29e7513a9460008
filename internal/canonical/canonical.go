// Package canonical is sealbus's canonical JSON: a profile of RFC 8785 with one form per exact value.
//
// It departs from RFC 8785 in what it does with numbers, because a signature over data must not let two
// numbers that differ share one form, nor change a number that a big-integer reader still reads exactly:
//
//   - A number whose exact decimal value is an integer of at most 21 digits, however spelled, is written in
//     plain digits, beyond 2^53 too. Zero, negative zero included, is 0.
//   - Every other number is written as RFC 8785 section 3.2.2.3 writes its float64, and is refused unless
//     that is exactly, as a decimal, the number that was written: 12.50 is 12.5, 1e400 is refused.
//   - A text has at most 1,000 numbers below 1e-307 (other than zero) that have a form: such are slow to convert.
//
// It is also stricter in what it reads: duplicate member names (compared unescaped), unpaired surrogates,
// invalid UTF-8 and nesting deeper than MaxDepth are errors.
//
// Time is linear in the text, but for sorting the members of objects that are not in order yet. Memory is a
// small multiple of the text, whatever is nested in what.
package canonical

import (
	"fmt"
	"slices"
)

// MaxDepth is the deepest nesting of arrays and objects that is read. A scalar has depth 0, [] has depth 1.
// Other readers stop anywhere between 100 and 10,000; what we sign should be legible to all of them.
const MaxDepth = 64

// Kind says what was wrong with a JSON text.
type Kind uint8

// The kinds of Error.
const (
	Syntax    Kind = iota + 1 // not JSON (RFC 8259), or bytes after the value
	UTF8                      // a string is not valid UTF-8
	Surrogate                 // a string has an unpaired surrogate escape
	Duplicate                 // an object has two members of one name
	Depth                     // nested deeper than MaxDepth
	Number                    // a number has no canonical form (Append only)
)

var kindNames = [...]string{Syntax: "syntax", UTF8: "utf8", Surrogate: "surrogate", Duplicate: "duplicate", Depth: "depth", Number: "number"}

// String is the kind in lower case.
func (k Kind) String() string {
	if k < Syntax || k > Number {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kindNames[k]
}

// Error says what was wrong and where. It never holds a value out of the text, only member names.
type Error struct {
	Kind Kind
	// Pointer is the JSON Pointer (RFC 6901) of the value at fault, relative to the value that was read:
	// for a Duplicate the second member, for a member name that is itself broken the object. One that
	// would be longer than 256 bytes is cut there and ends in "…".
	Pointer string
	Offset  int // byte offset in the text
	Msg     string
}

// Error quotes the pointer: member names may hold anything.
func (e *Error) Error() string {
	return fmt.Sprintf("canonical: %s at %q (offset %d)", e.Msg, e.Pointer, e.Offset)
}

// Scan reads the one JSON value that begins at b[i], strictly, and returns the index after it and
// whether b[i:end] is already in canonical form. It allocates nothing for canonical input.
// A number that has no canonical form is merely not canonical here. An error is always an *Error.
func Scan(b []byte, i int) (end int, isCanonical bool, err error) {
	s := scanner{b: b}
	if end = s.read(i); end < 0 {
		return i, false, s.err()
	}
	return end, s.canonical, nil
}

// Append appends the canonical form of the JSON text to dst. White space around the value is allowed.
// The two must not overlap, since the canonical form may be the longer one (1e20). On an error, always an
// *Error, dst comes back as it was; the Kind is Number only if nothing else is wrong with the text.
func Append(dst, text []byte) ([]byte, error) {
	start := skipSpace(text, 0)
	s := scanner{b: text, whole: true, numbers: noted}
	end := s.read(start)
	if end >= 0 && s.refused {
		s.numbers = fatal
		end = s.read(start)
	}
	if end < 0 {
		return dst, s.err()
	}
	dst = slices.Grow(dst, end-start)
	if s.canonical {
		return append(dst, text[start:end]...), nil
	}
	e := emitter{b: text, dst: dst, index: s.members}
	e.span(start, end, 0)
	return e.dst, nil
}
