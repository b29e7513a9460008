package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Parse reads one event in structured mode (CloudEvents 1.0, JSON Event Format). Data aliases b, unless it
// had to be decoded; everything else is a copy. An error is an *Error.
//
// A null attribute and an empty optional one are absent, and so is an empty data_base64; "data": null is the
// JSON value null. Data is JSON if IsJSON(DataContentType), whichever member carried it.
func Parse(b []byte) (*Event, error) { return parse(b, false) }

// ParseSealed is Parse for an event that was sealed: a member whose name is no attribute name was added on
// its way, by a tracer mostly, and is no part of the event. Only its name is kept, in Event.Ignored. Such a
// name is an error if a reader that ignores case would take the member for one of the event: see CaseTwin.
func ParseSealed(b []byte) (*Event, error) { return parse(b, true) }

func parse(b []byte, sealed bool) (*Event, error) {
	if len(b) > MaxEvent {
		return nil, &Error{TooLarge: true, Msg: "the event is larger than 1 MiB"}
	}
	p := parser{r: jsontext.NewDecoder(b), e: &Event{}, sealed: sealed}
	p.text.Grow(min(len(b), textGuess))
	obj := p.r.Object()
	for p.r.Member(&obj) {
		p.member(obj.Name)
	}
	if err := p.r.Err(); err != nil {
		e, ok := err.(*Error)
		if !ok {
			e = &Error{Err: err}
		}
		e.Member = clip(obj.Name) // where the decoder stopped
		return nil, e
	}
	if err := p.r.End(); err != nil {
		return nil, &Error{Err: err}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return p.e, nil
}

// textGuess is what the attributes of a sealed event take, dssematerial included: so most events need one
// allocation for all their strings, and none pins more than this for nothing.
const textGuess = 2 << 10

type parser struct {
	r       jsontext.Decoder
	e       *Event
	text    strings.Builder   // backs every string of the event: one allocation for all of them
	data    jsontext.Document // the value of data; its Value is nil if absent
	encoded []byte            // the text of data_base64; nil if absent
	sealed  bool              // members with other names than attributes have are ignored
}

func (p *parser) member(name []byte) {
	switch string(name) {
	case "data":
		p.data, p.e.hasData = p.r.ReadDocument(), true
	case "data_base64":
		p.e.hasData = true
		if p.r.PeekKind() == 'n' {
			p.r.SkipValue()
		} else {
			p.encoded = p.r.Bytes()
		}
	case "dssematerial":
		p.e.Material = p.string(MaxMaterial)
	default:
		if field := p.e.core(name); field != nil {
			*field = p.string(MaxAttribute)
			return
		}
		p.extension(name)
	}
}

// core is the field of an attribute of the standard, nil for any other name.
func (e *Event) core(name []byte) *string {
	switch string(name) {
	case "specversion":
		return &e.SpecVersion
	case "id":
		return &e.ID
	case "source":
		return &e.Source
	case "type":
		return &e.Type
	case "datacontenttype":
		return &e.DataContentType
	case "dataschema":
		return &e.DataSchema
	case "subject":
		return &e.Subject
	case "time":
		return &e.Time
	}
	return nil
}

func (p *parser) extension(name []byte) {
	if !validName(name) {
		p.ignore(name)
		return
	}
	typ, value := p.value()
	if value == "" || p.r.Err() != nil || p.full() {
		return
	}
	if p.e.Extensions == nil {
		p.e.Extensions = make([]Attribute, 0, 8)
	}
	p.e.Extensions = append(p.e.Extensions, Attribute{Name: p.keep(name), Type: typ, Value: value})
}

// ignore reads past a member that is no part of the event. It is JSON like all others, and counts like an
// attribute.
func (p *parser) ignore(name []byte) {
	folded := fold(name)
	isMember := folded == "data" || folded == "data_base64" || folded == AttrMaterial || folded == EmbeddedMember
	switch {
	case !p.sealed:
		p.r.Fail(&Error{Msg: "an attribute name has 1 to 64 characters of a-z and 0-9"})
	case string(name) == "detail-type" || string(name) == "unverified_id": // a delivery, a quarantine record
		p.r.Fail(&Error{Msg: "is a member of another format: the message is two things at once"})
	case isMember || p.e.core([]byte(folded)) != nil:
		p.r.Fail(errCaseTwin("", folded)) // which it is, the caller adds
	case !p.full():
		p.e.Ignored = append(p.e.Ignored, p.keep(name[:min(len(name), maxIgnoredName)]))
		p.r.SkipValue()
	}
}

// full fails if there is no room for one more extension attribute, or member that is ignored.
func (p *parser) full() bool {
	if len(p.e.Extensions)+len(p.e.Ignored) < MaxExtensions {
		return false
	}
	p.r.Fail(&Error{TooLarge: true, Msg: "more than 128 extension attributes and members that are none"})
	return true
}

// value reads the value of an extension attribute; "" is an absent one.
func (p *parser) value() (Type, string) {
	switch c := p.r.PeekKind(); {
	case c == 't' || c == 'f':
		return Boolean, p.keep(p.r.ReadValue())
	case c == '0':
		raw := p.r.ReadValue()
		if len(raw) > maxDigits || !plainInteger(string(raw)) {
			p.r.Fail(&Error{Msg: "an Integer is a plain decimal of 32 bits"})
			return 0, ""
		}
		return Integer, p.keep(raw)
	case c == '{' || c == '[':
		p.r.Fail(&Error{Msg: "an attribute is a string, an integer or a boolean"})
		return 0, ""
	}
	return String, p.string(MaxAttribute)
}

// string reads the text of an attribute of at most limit bytes; null is "".
func (p *parser) string(limit int) string {
	if p.r.PeekKind() == 'n' {
		p.r.SkipValue()
		return ""
	}
	text := p.r.Bytes()
	if len(text) > limit {
		p.r.Fail(tooLong(limit))
		return ""
	}
	s := p.keep(text)
	if !validText(s) {
		p.r.Fail(errText())
	}
	return s
}

// keep copies text into the one allocation. A string that was handed out stays valid when the builder
// grows: it grows into new memory.
func (p *parser) keep(text []byte) string {
	start := p.text.Len()
	p.text.Write(text)
	return p.text.String()[start:]
}

func (p *parser) finish() error {
	if err := p.e.checkCore(); err != nil {
		return err
	}
	for i := range p.e.Extensions {
		name := p.e.Extensions[i].Name
		if twin := p.e.CaseTwin(name); twin != "" {
			return errCaseTwin(twin, name)
		}
	}
	// datacontenttype may follow the data, so what the data is can only be told now.
	json := IsJSON(p.e.DataContentType)
	switch {
	case p.data.Value != nil && p.encoded != nil:
		return &Error{Member: "data_base64", Msg: "data and data_base64 are both present"}
	case len(p.encoded) > 0:
		return p.setEncoded(json)
	case p.data.Value == nil:
		return nil
	case json:
		p.e.setJSON(p.data.Value, p.data)
		return nil
	}
	return p.setText()
}

// checkCore checks what is required of the attributes of the standard once all are read.
func (e *Event) checkCore() error {
	if e.SpecVersion != "1.0" {
		return &Error{Member: "specversion", Msg: `must be "1.0"`}
	}
	for _, a := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if a.value == "" {
			return &Error{Member: a.name, Msg: "is missing or empty"}
		}
	}
	if e.Time != "" {
		if _, err := ParseTime(e.Time); err != nil {
			return &Error{Member: "time", Err: err}
		}
	}
	return nil
}

func (p *parser) setEncoded(json bool) error {
	data, err := jsontext.Base64.AppendDecode(nil, p.encoded)
	if err != nil {
		return &Error{Member: "data_base64", Err: err}
	}
	p.e.Form, p.e.Data, p.e.Base64 = BinaryData, data, true
	if !json {
		return nil
	}
	doc, err := readJSON(data)
	if err != nil {
		return &Error{Member: "data_base64", Msg: "the data is not JSON, as datacontenttype says", Err: err}
	}
	p.e.setJSON(data, doc)
	return nil
}

// setText takes the string that data is when the content type is not JSON.
func (p *parser) setText() error {
	if p.data.Value[0] != '"' {
		return &Error{Member: "data", Msg: "must be a string, or data_base64, since datacontenttype is not JSON"}
	}
	text, err := jsontext.AppendUnquote(nil, p.data.Value)
	if err != nil {
		return &Error{Member: "data", Err: err}
	}
	if len(text) > 0 {
		p.e.Form, p.e.Data = BinaryData, text
	}
	return nil
}

// clip shortens a name that may be of any length before it enters an error.
func clip[T string | []byte](name T) string {
	if len(name) > MaxName {
		return string(name[:MaxName]) + "..."
	}
	return string(name)
}

func validName[T string | []byte](name T) bool {
	for i := range len(name) {
		if c := name[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return 0 < len(name) && len(name) <= MaxName
}

// validText reports whether s is a CloudEvents String: UTF-8 without control characters and noncharacters.
func validText(s string) bool {
	// Most text is printable ASCII: one flag for all of it, without a branch per byte.
	var odd byte
	for i := range len(s) {
		c := s[i]
		odd |= (c - 0x20) | (c + 1) // the high bit is set below 0x20 and from 0x7f on
	}
	return odd < 0x80 || validRunes(s)
}

func validRunes(s string) bool {
	for i, r := range s {
		switch {
		case r < 0x20, 0x7f <= r && r <= 0x9f: // control characters
			return false
		case 0xfdd0 <= r && r <= 0xfdef, r&0xfffe == 0xfffe: // noncharacters
			return false
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"): // invalid UTF-8
			return false
		}
	}
	return true
}

func errText() *Error {
	return &Error{Msg: "has a control character, a noncharacter or invalid UTF-8"}
}

func tooLong(limit int) *Error {
	return &Error{TooLarge: true, Msg: "is longer than " + strconv.Itoa(limit>>10) + " KiB"}
}

// maxDigits is the length of the longest Integer, -2147483648.
const maxDigits = 11

// plainInteger reports whether text is an Integer (32 bits, signed) in its one plain form.
func plainInteger(text string) bool {
	n, err := strconv.ParseInt(text, 10, 32)
	var plain [maxDigits]byte
	return err == nil && string(strconv.AppendInt(plain[:0], n, 10)) == text
}

// ScanJSON checks that data is one JSON value, with white space around it or not, and reports whether data
// is its canonical form.
func ScanJSON(data []byte) (isCanonical bool, err error) {
	doc, err := readJSON(data)
	return doc.IsCanonical && len(doc.Value) == len(data), err
}

func readJSON(data []byte) (jsontext.Document, error) {
	r := jsontext.NewDecoder(data)
	doc := r.ReadDocument()
	return doc, r.End()
}

// setJSON takes data that is JSON; doc is what was read of it.
func (e *Event) setJSON(data []byte, doc jsontext.Document) {
	e.Form, e.Data, e.Document = JSONData, data, doc
	e.Canonical = doc.IsCanonical && len(doc.Value) == len(data)
}

// IsJSON reports whether data of this content type is JSON: the subtype is json or ends in +json, in any
// ASCII case and whatever parameters follow (CloudEvents 1.0, JSON Event Format, 3.1). No content type is
// JSON.
func IsJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, _ := strings.Cut(contentType, ";")
	kind, subtype, _ := strings.Cut(strings.Trim(media, " \t"), "/")
	const suffix = "+json"
	tail := subtype[max(0, len(subtype)-len(suffix)):]
	return kind != "" && (equalASCII(subtype, "json") || equalASCII(tail, suffix))
}

// equalASCII compares without regard to the case of ASCII letters, unlike strings.EqualFold, to which ſ is
// an s.
func equalASCII(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

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
