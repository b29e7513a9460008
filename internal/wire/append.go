package wire

import (
	"encoding/base64"
	"slices"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

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
