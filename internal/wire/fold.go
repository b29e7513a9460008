package wire

import (
	"strings"
	"unicode/utf8"
)

// maxIgnoredName is how much of the name of an ignored member is kept. No longer name is one of an attribute
// in another case: a character that fold replaces has at most three bytes.
const maxIgnoredName = 3*MaxName + utf8.UTFMax

// CaseTwin is the ignored member that has this name but for the case of its letters, or "". A reader that
// ignores case, as encoding/json does, would take the one for the other.
func (e *Event) CaseTwin(name string) string {
	for _, other := range e.Ignored {
		if len(other) >= len(name) && fold(other) == name {
			return other
		}
	}
	return ""
}

// isMember reports whether an event has a member of that name, beside its other attributes, or a detail has
// the event in one.
func isMember(name string) bool {
	return name == "data" || name == "data_base64" || name == "dssematerial" || name == "cloudevent"
}

// isMarker reports whether messages of another format are told by a member of that name: an EventBridge
// delivery, a quarantine record. What could be two things is neither.
func isMarker(name string) bool { return name == "detail-type" || name == "unverified_id" }

// errCaseTwin is the error of the member twin.
func errCaseTwin(twin, name string) *Error {
	return &Error{Member: twin, Msg: "is " + name + " but for the case of its letters, and some readers ignore case"}
}

// fold is the name in lower case, as far as a name of an attribute can come out: A to Z, and the four
// characters beyond ASCII of which the lower or upper case is a letter of ASCII.
func fold[T string | []byte](name T) string {
	if len(name) > maxIgnoredName {
		return ""
	}
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r | 0x20
		case r == '\u017F': // LATIN SMALL LETTER LONG S
			return 's'
		case r == '\u212A': // KELVIN SIGN
			return 'k'
		case r == '\u0130', r == '\u0131': // the I with a dot, the i without one
			return 'i'
		}
		return r
	}, string(name))
}
