// Package wire reads and writes the JSON format of CloudEvents 1.0, strictly and in one pass over the
// original bytes. It also converts events to and from the official SDK's event.Event, and reads and writes
// the payload that the signature of a sealed event covers.
//
// The SDK's own JSON codec is not used, because it does not keep the bytes that were signed: it lets the last
// of two equal members win, escapes data anew and accepts bytes behind the event.
package wire

import (
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// The limits. An event that exceeds one is refused with Error.TooLarge.
const (
	// MaxEvent is the most bytes of one event: the largest carrier, an EventBridge request, takes no more.
	MaxEvent = 1 << 20
	// MaxMaterial is the most bytes of the text of dssematerial: ten ML-DSA-65 signatures fit.
	MaxMaterial = 64 << 10
	// MaxAttribute is the most bytes of the text of any other attribute: HTTP servers take no larger header.
	MaxAttribute = 8 << 10
	// MaxExtensions is the most extension attributes: each costs a digest when sealing and when opening.
	MaxExtensions = 128
	// MaxBatch is the most events in one batch: each costs a signature check.
	MaxBatch = 1000

	// MaxName is the most bytes of an attribute name. The standard recommends at most 20 characters. A name
	// longer than MaxName is malformed, not too large.
	MaxName = 64
)

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

	// Ignored are the names of the members that are no part of the event, in order of appearance. An attacker
	// may have written them. A name is cut if it is too long to be that of an attribute in another case.
	Ignored []string

	// Form says what Data is.
	Form Form

	// Data is the data, nil for NoData. JSONData that came as the member data is the JSON value as received,
	// without white space around it. Data that came as data_base64 is exactly the decoded bytes.
	Data []byte

	// Document is JSONData as it was read. It writes the canonical form without reading Data again. It is of
	// no use after Data was replaced.
	Document jsontext.Document

	// Canonical says that Data is JSONData in the canonical form of internal/jsontext.
	Canonical bool

	// Base64 says that the data came, or shall go, as data_base64.
	Base64 bool

	hasData bool // there was a member data or data_base64, perhaps an empty one
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

// Append writes e in structured mode to dst: the attributes of the standard in a fixed order, the extensions
// in their order, dssematerial, then the data. JSON data is written as it is, unless Base64 is set. Other
// data becomes a string if it came as one. Only the characters that JSON requires to be escaped are escaped.
// Parse reads the same Event back.
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
	n := len(`{"specversion":"","id":"","source":"","type":"","datacontenttype":"","dataschema":"",`) +
		len(`"subject":"","time":"","dssematerial":"","data_base64":""}`) +
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
