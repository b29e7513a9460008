// Package wire reads and writes the JSON format of CloudEvents 1.0, strictly and in one pass over the
// original bytes, and converts to and from the official SDK's event.Event.
//
// The SDK's own JSON codec is not used: what it reads and what it writes differ from the bytes that were
// signed (a duplicate member wins, data is re-escaped, trailing bytes pass).
package wire

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// The limits. What exceeds one is refused with Error.TooLarge.
const (
	// MaxEvent is the most bytes of one event: what the largest carrier (an EventBridge request) takes.
	MaxEvent = 1 << 20
	// MaxMaterial is the most bytes of the text of dssematerial: ten ML-DSA-65 signatures fit.
	MaxMaterial = 64 << 10
	// MaxAttribute is the most bytes of the text of any other attribute: HTTP servers take no larger header.
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

	// Document is JSONData as it was read, with its canonical form. It is of no use once Data is replaced.
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
		{"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema},
		{"subject", e.Subject}, {"time", e.Time},
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

// Append writes e in structured mode to dst: the attributes in a fixed order, the extensions in theirs,
// dssematerial, then the data. JSON data is written as it is, unless Base64 says otherwise; other data goes
// as a string if it came so. Nothing is escaped but what JSON demands. What Parse read, Parse reads back to
// the same Event.
func (e *Event) Append(dst []byte) []byte {
	dst = e.appendAttributes(slices.Grow(dst, e.size()))
	switch {
	case len(e.Data) == 0 || e.Form == NoData:
	case e.Base64, e.Form == BinaryData && !utf8.Valid(e.Data):
		dst = append(dst, `,"data_base64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, e.Data)
		dst = append(dst, '"')
	case e.Form == JSONData:
		dst = append(dst, `,"data":`...)
		dst = append(dst, trimSpace(e.Data)...)
	default:
		dst = append(dst, `,"data":`...)
		dst = jsontext.AppendQuote(dst, e.Data)
	}
	return append(dst, '}')
}

// AppendAttributes writes the object that Append writes, without data.
func (e *Event) AppendAttributes(dst []byte) []byte {
	return append(e.appendAttributes(dst), '}')
}

// appendAttributes leaves the object open.
func (e *Event) appendAttributes(dst []byte) []byte {
	dst = append(dst, `{"specversion":`...)
	dst = jsontext.AppendQuote(dst, e.SpecVersion)
	dst = appendMember(dst, "id", e.ID)
	dst = appendMember(dst, "source", e.Source)
	dst = appendMember(dst, "type", e.Type)
	dst = appendMember(dst, "datacontenttype", e.DataContentType)
	dst = appendMember(dst, "dataschema", e.DataSchema)
	dst = appendMember(dst, "subject", e.Subject)
	dst = appendMember(dst, "time", e.Time)
	for i := range e.Extensions {
		dst = e.Extensions[i].append(dst)
	}
	return appendMember(dst, "dssematerial", e.Material)
}

func (a *Attribute) append(dst []byte) []byte {
	if !a.bare() {
		return appendMember(dst, a.Name, a.Value)
	}
	return append(appendName(dst, a.Name), a.Value...)
}

// bare reports whether the value is written without quotes. The text is looked at, not only the type, so
// that no value can make the output other than JSON.
func (a *Attribute) bare() bool {
	switch a.Type {
	case Boolean:
		return a.Value == "true" || a.Value == "false"
	case Integer:
		return plainInteger(a.Value)
	}
	return false
}

func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return jsontext.AppendQuote(appendName(dst, name), value)
}

func appendName(dst []byte, name string) []byte {
	dst = jsontext.AppendQuote(append(dst, ','), name)
	return append(dst, ':')
}

// size is what Append writes if nothing has to be escaped, or a little more.
func (e *Event) size() int {
	n := len(`{"specversion":"","id":"","source":"","type":"","datacontenttype":"","dataschema":"","subject":"",`) +
		len(`"time":"","dssematerial":"","data_base64":""}`) +
		len(e.SpecVersion) + len(e.ID) + len(e.Source) + len(e.Type) + len(e.DataContentType) +
		len(e.DataSchema) + len(e.Subject) + len(e.Time) + len(e.Material)
	for i := range e.Extensions {
		n += len(`,"":""`) + len(e.Extensions[i].Name) + len(e.Extensions[i].Value)
	}
	if e.Base64 {
		return n + base64.StdEncoding.EncodedLen(len(e.Data))
	}
	return n + len(e.Data)
}

// trimSpace cuts off JSON white space around a JSON value.
func trimSpace(b []byte) []byte {
	b = b[jsontext.SkipSpace(b, 0):]
	for len(b) > 0 && jsontext.SkipSpace(b, len(b)-1) == len(b) {
		b = b[:len(b)-1]
	}
	return b
}
