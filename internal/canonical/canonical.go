// Package canonical is sealbus's canonical JSON: a profile of RFC 8785 with one form per exact value.
package canonical

// MaxDepth is the deepest nesting of arrays and objects that is read. A scalar has depth 0.
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

// Error says what was wrong and where.
type Error struct {
	Kind    Kind
	Pointer string // JSON Pointer (RFC 6901) of the value at fault
	Offset  int    // byte offset in the text
	Msg     string
}

func (e *Error) Error() string { return "canonical: " + e.Msg }

// Scan reads the one JSON value that begins at b[i], strictly, and returns the index after it and
// whether b[i:end] is already in canonical form. It allocates nothing for canonical input.
func Scan(b []byte, i int) (end int, isCanonical bool, err error) { panic("being written") }

// Append appends the canonical form of the JSON text to dst. White space around the value is allowed.
func Append(dst, text []byte) ([]byte, error) { panic("being written") }
