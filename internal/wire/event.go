// Package wire reads and writes the JSON format of CloudEvents 1.0, strictly and in one pass over the
// original bytes, and converts to and from the official SDK's event.Event.
//
// The SDK's own JSON codec is not used: what it reads and what it writes differ from the bytes that were
// signed (a duplicate member wins, data is re-escaped, trailing bytes pass).
package wire

import (
	"fmt"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// The limits. What exceeds one is refused with Error.TooLarge.
const (
	// MaxEvent is the most bytes of one event: what the largest carrier (an EventBridge request) takes.
	MaxEvent = 1 << 20
	// MaxMaterial is the most bytes of the text of dssematerial: ten ML-DSA-65 signatures fit.
	MaxMaterial = 64 << 10
	// MaxAttribute is the most bytes of the text of any other attribute: what HTTP servers take as one header.
	MaxAttribute = 8 << 10
	// MaxExtensions is the most extension attributes: each costs a digest when sealing and when opening.
	MaxExtensions = 128
	// MaxBatch is the most events in one batch: each costs a signature check.
	MaxBatch = 1000

	// MaxName is the longest attribute name. The standard recommends at most 20 characters and forbids
	// none, so a longer name than this is malformed, not too large.
	MaxName = 64
)

// Type is a type of the CloudEvents type system (CloudEvents 1.0, "Type System").
type Type uint8

// The types. The zero Type is none of them.
const (
	Boolean Type = iota + 1
	Integer
	String
	Binary
	URI
	URIReference
	Timestamp
)

var typeNames = [...]string{
	Boolean: "Boolean", Integer: "Integer", String: "String", Binary: "Binary",
	URI: "URI", URIReference: "URI-reference", Timestamp: "Timestamp",
}

// String is the name of t as the standard writes it.
func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType is the Type with this name.
func ParseType(name string) (Type, bool) {
	for t := Boolean; t <= Timestamp; t++ {
		if typeNames[t] == name {
			return t, true
		}
	}
	return 0, false
}

// Attribute is an extension attribute. Value is its canonical text: "true" or "false", a plain decimal, the
// standard base64 of a Binary, and otherwise the text itself. On the wire only Boolean, Integer and String
// can be told apart: Parse gives no other Type.
type Attribute struct {
	Name  string
	Type  Type
	Value string
}

// Form says what the data of an event is.
type Form uint8

const (
	// NoData is an event without data.
	NoData Form = iota
	// JSONData is a JSON value.
	JSONData
	// BinaryData is bytes of any other content type.
	BinaryData
)

// Event is a CloudEvents 1.0 event.
type Event struct {
	// The attributes of the standard, "" if absent. Time keeps the text that was received.
	SpecVersion, ID, Source, Type, DataContentType, DataSchema, Subject, Time string

	// Material is the text of dssematerial, "" if absent or empty.
	Material string

	// Extensions are all other attributes in order of appearance, without null and empty ones.
	Extensions []Attribute

	// Ignored are the names of the members that are no part of the event, as ParseSealed met them: an
	// attacker's text, cut where it is longer than any name that matters.
	Ignored []string

	// Form says what Data is.
	Form Form

	// Data is the data, nil for NoData. JSONData: the JSON value as received, without white space around
	// it if it came as the member data, and exactly the decoded bytes if it came as data_base64.
	Data []byte

	// Document is JSONData as it was read: it writes the canonical form without reading Data again. It is of
	// no use once Data is replaced.
	Document jsontext.Document

	// Canonical says that Data is JSONData in the canonical form of internal/jsontext.
	Canonical bool

	// Base64 says that the data came, or shall go, as data_base64.
	Base64 bool

	hasData bool // a member data or data_base64 was there, be it empty
}

// CoreNames appends the names of the attributes of the standard, and of the data, that are there.
func (e *Event) CoreNames(names []string) []string {
	names = append(names, "id", "source", "specversion", "type")
	for _, a := range [...]struct{ name, value string }{
		{"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema}, {"subject", e.Subject}, {"time", e.Time},
	} {
		if a.value != "" {
			names = append(names, a.name)
		}
	}
	if e.Form != NoData {
		names = append(names, "data")
	}
	return names
}

// Error says which member of an event is at fault, and how. Without TooLarge and Unsupported the event is
// malformed.
type Error struct {
	Member      string // the name of the member, shortened; "" if the fault is in no member
	TooLarge    bool   // a limit of this package is exceeded
	Unsupported bool   // well formed, but the SDK's event cannot represent it
	Msg         string
	Err         error // the cause, if there is one: *jsontext.Error or another of jsontext
}

func (e *Error) Error() string {
	msg := e.Msg
	if e.Err != nil {
		msg = strings.TrimPrefix(msg+": "+e.Err.Error(), ": ")
	}
	if e.Member == "" {
		return msg
	}
	return fmt.Sprintf("%q: %s", e.Member, msg)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
