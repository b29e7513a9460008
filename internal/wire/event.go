// Package wire reads and writes the JSON format of CloudEvents 1.0, strictly and in one pass over the
// original bytes. It also converts events to and from the official SDK's event.Event, and reads and writes
// the payload that the signature of a sealed event covers.
//
// The SDK's own JSON codec is not used, because it does not keep the bytes that were signed: it lets the last
// of two equal members win, escapes data anew and accepts bytes behind the event.
package wire

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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

	hasData bool         // there was a member data or data_base64, perhaps an empty one
	room    [4]Attribute // most events have no more extensions, which then need no allocation
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
	for _, a := range e.texts() {
		dst = appendMember(dst, a.name, a.value)
	}
	for i := range e.Extensions {
		dst = e.Extensions[i].append(dst)
	}
	return appendMember(dst, "dssematerial", e.Material)
}

// texts are the attributes of the standard after specversion, in the order in which Append writes them.
func (e *Event) texts() [7]struct{ name, value string } {
	return [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"datacontenttype", e.DataContentType},
		{"dataschema", e.DataSchema}, {"subject", e.Subject}, {"time", e.Time},
	}
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

// size is how many bytes Append writes if nothing but quotes in extensions has to be escaped, or a little
// more. In a text of JSON, such as that of AttrRecipients, there are many quotes.
func (e *Event) size() int {
	const member, bytes = len(`,"":""`), len(`,"data_base64":""`)
	n := len(`{"specversion":""}`) + len(e.SpecVersion)
	for _, a := range e.texts() {
		if a.value != "" {
			n += member + len(a.name) + len(a.value)
		}
	}
	for i := range e.Extensions {
		a := &e.Extensions[i]
		n += member + len(a.Name) + len(a.Value) + strings.Count(a.Value, `"`)
	}
	if e.Material != "" {
		n += member + len(AttrMaterial) + len(e.Material)
	}
	if e.Base64 {
		return n + bytes + base64.StdEncoding.EncodedLen(len(e.Data))
	}
	return n + bytes + len(e.Data)
}

// trimSpace cuts off JSON white space around a JSON value.
func trimSpace(b []byte) []byte {
	b = b[jsontext.SkipSpace(b, 0):]
	for len(b) > 0 && jsontext.SkipSpace(b, len(b)-1) == len(b) {
		b = b[:len(b)-1]
	}
	return b
}

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

// TypeNamed is the type that the standard calls so; 0 = none.
func TypeNamed(name string) Type {
	if name == "" {
		return 0
	}
	return Type(max(0, slices.Index(typeNames[:], name)))
}

// CheckTypes is an error if a map of ExtensionTypes names what is no type.
func CheckTypes(extensions map[string]string) error {
	for name, of := range extensions {
		if TypeNamed(of) == 0 {
			return fmt.Errorf("ExtensionTypes[%q] is %q: give one of %q", name, of, typeNames[Boolean:])
		}
	}
	return nil
}

// String is the name of t as the standard writes it.
func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// Attribute is an extension attribute. Value is its canonical text: "true" or "false", a plain decimal, the
// standard base64 of a Binary, and otherwise the text itself. On the wire only Boolean, Integer and String
// can be told apart: Parse gives no other Type.
type Attribute struct {
	Name  string
	Type  Type
	Value string
}

// The names of the extension attributes that sealbus itself reads or writes.
const (
	AttrMaterial     = "dssematerial"
	AttrRecordedTime = "recordedtime"
	AttrOriginalTime = "originalrecordedtime" // the recordedtime before a forwarder sealed the event
	AttrExpiryTime   = "expirytime"
	AttrAudience     = "audience"
	AttrRecipients   = "jwerecipients" // of encrypted members: "recipients" (RFC 7516 section 7.2.1)

	// Of the delivery of a webhook: these may differ when the provider sends it again.
	AttrWebhookVerifiedAt = "webhookverifiedat"
	AttrWebhookKeyID      = "webhookkeyid"
	AttrWebhookSignature  = "webhooksignature"
	AttrWebhookID         = "webhookid" // the delivery ID, if the signature does not cover it
)

// DocumentedType is the type of an extension that the CloudEvents project documents
// (github.com/cloudevents/spec, cloudevents/extensions), and of those of sealbus. The name alone decides it.
func DocumentedType(name string) (Type, bool) {
	switch name {
	case AttrRecordedTime, AttrOriginalTime, AttrExpiryTime, "deprecationfrom", "deprecationsunset":
		return Timestamp, true
	case "sampledrate", "severitynumber", "opcuametadatamajorversion", "opcuametadataminorversion",
		"opcuastatus":
		return Integer, true
	case "deprecated", "bamptxcompleted":
		return Boolean, true
	case "dataref":
		return URIReference, true
	case "deprecationmigration":
		return URI, true
	case AttrAudience, AttrRecipients, "authtype", "authid", "authclaims",
		"bamtxid", "bampid", "bamptxid", "bamptxsid", "bamptxsstatus",
		"correlationid", "causationid", "dataclassification", "dataregulation", "datacategory",
		"partitionkey", "sequence", "sequencetype", "severitytext", "traceparent", "tracestate":
		return String, true
	}
	return 0, false
}

// ErrFraction is the error of a Timestamp that AppendHashed appended without its fraction of a second.
var ErrFraction = errors.New("is not in whole seconds")

var errNotCanonical = errors.New("is not the canonical text of its type")

// AppendHashed appends the bytes that the standard hashes for a value of type t, whose text on the wire is
// text: a Boolean as true or false, an Integer in decimal, a Timestamp in UTC and whole seconds, a Binary as
// its bytes, all others as they are. A Timestamp with a fraction is appended without it, and the error is
// ErrFraction. After any other error, dst comes back as it was.
func AppendHashed(dst []byte, t Type, text string) ([]byte, error) {
	switch t {
	case Boolean:
		if text != "true" && text != "false" {
			return dst, errNotCanonical
		}
	case Integer:
		if _, ok := parseInteger(text); !ok {
			return dst, errNotCanonical
		}
	case Binary:
		return jsontext.Base64.AppendDecode(dst, []byte(text))
	case Timestamp:
		at, err := ParseTime(text)
		if err != nil {
			return dst, err
		}
		dst = at.AppendFormat(dst, time.RFC3339)
		if at.Nanosecond() != 0 {
			return dst, ErrFraction
		}
		return dst, nil
	}
	return append(dst, text...), nil
}

// CheckText refuses a text that no attribute can have: one of more than limit bytes, or with a control
// character, a noncharacter or invalid UTF-8 (CloudEvents 1.0, "Type System", String). The error is an *Error
// of the member name.
func CheckText(name, text string, limit int) error {
	if len(text) > limit {
		return &Error{Member: name, TooLarge: true, Msg: fmt.Sprintf("is longer than %d KiB", limit>>10)}
	}
	// Most text is printable ASCII: one flag for all of it, without a branch per byte.
	var odd byte
	for i := range len(text) {
		c := text[i]
		odd |= (c - 0x20) | (c + 1) // the high bit is set below 0x20 and from 0x7f on
	}
	if odd < 0x80 {
		return nil
	}
	for i, r := range text {
		isControl := r < 0x20 || 0x7f <= r && r <= 0x9f
		isNoncharacter := 0xfdd0 <= r && r <= 0xfdef || r&0xfffe == 0xfffe
		isInvalid := r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD")
		if isControl || isNoncharacter || isInvalid {
			return &Error{Member: name, Msg: "has a control character, a noncharacter or invalid UTF-8"}
		}
	}
	return nil
}

// The errors of ParseTime.
var (
	errTime     = errors.New("not an RFC 3339 timestamp, such as 2006-01-02T15:04:05Z")
	errFraction = errors.New("a timestamp has at most 9 fraction digits")
	errYear     = errors.New("a timestamp lies in the years 0001 to 9999 of UTC, after the first second")
)

// ParseTime reads an RFC 3339 timestamp with at most nine fraction digits, T and Z in upper case. Without a
// zone it is UTC. The result is in UTC, in the years 0001 to 9999, so that it can be written again. The first
// second of the year 0001 is refused: it is the zero time.Time, which stands for an absent time. Second 60 is
// refused, because a time.Time has none.
func ParseTime(text string) (time.Time, error) {
	const layout = "2006-01-02T15:04:05"
	// Package time also reads an hour of one digit. The colon tells that there are two.
	if len(text) < len(layout) || text[len("2006-01-02T15")] != ':' {
		return time.Time{}, errTime
	}
	zone := text[len(layout):]
	if strings.HasPrefix(zone, ".") {
		zone = strings.TrimLeft(zone[1:], "0123456789")
		if digits := len(text) - len(layout) - len(".") - len(zone); digits > 9 {
			return time.Time{}, errFraction
		}
	}
	t, err := time.Parse(time.RFC3339Nano, text[:len(text)-len(zone)]+"Z")
	if err != nil {
		return time.Time{}, errTime
	}
	if zone != "" && zone != "Z" {
		clock, err := time.Parse("15:04", zone[1:])
		if err != nil || len(zone) != len("+15:04") || zone[0] != '+' && zone[0] != '-' {
			return time.Time{}, errTime
		}
		east := time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute
		if zone[0] == '+' {
			east = -east
		}
		t = t.Add(east)
	}
	if t.Year() < 1 || t.Year() > 9999 || t.Truncate(time.Second).IsZero() {
		return time.Time{}, errYear
	}
	return t, nil
}

// parseInteger reads an Integer (32 bits, signed) in its one plain form.
func parseInteger(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(text, 10, 32)
	var plain [len("-2147483648")]byte
	return n, err == nil && string(strconv.AppendInt(plain[:0], n, 10)) == text
}

func validName[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return 0 < len(name) && len(name) <= MaxName
}

// append writes a as a member of an object, after a comma. Without quotes stands only a text that is a JSON
// boolean or number: the type alone does not decide, so the output is JSON for every Value.
func (a *Attribute) append(dst []byte) []byte {
	bare := a.Type == Boolean && (a.Value == "true" || a.Value == "false")
	if a.Type == Integer {
		_, bare = parseInteger(a.Value)
	}
	if bare {
		return append(appendName(dst, a.Name), a.Value...)
	}
	return appendMember(dst, a.Name, a.Value)
}
