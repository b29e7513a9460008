package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

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

const badName = "an attribute name has 1 to 64 characters of a-z and 0-9"

// Parse reads one event that is to be sealed. It is ParseSealed without ignored members: each name must be
// that of an attribute.
func Parse(b []byte) (*Event, error) {
	e, err := ParseSealed(b)
	if err == nil && len(e.Ignored) > 0 {
		return nil, &Error{Member: clip(e.Ignored[0]), Msg: badName}
	}
	return e, err
}

// ParseSealed reads one event in structured mode (CloudEvents 1.0, JSON Event Format). Data aliases b, unless
// it had to be decoded. Everything else is a copy. An error is an *Error.
//
// A null attribute and an empty optional one are absent, and so is an empty data_base64. "data": null is the
// JSON value null. Data is JSON if IsJSON(DataContentType), in either of the two members.
//
// A member whose name is no attribute name was added on the way, mostly by a tracer, and is no part of the
// event. Only its name is kept, in Event.Ignored. Such a name is an error if a reader that ignores case could
// take the member for one of the event: see CaseTwin.
func ParseSealed(b []byte) (*Event, error) {
	if len(b) > MaxEvent {
		return nil, &Error{TooLarge: true, Msg: "the event is larger than 1 MiB"}
	}
	p := parser{r: jsontext.NewDecoder(b), e: &Event{}}
	p.text.Grow(min(len(b), textGuess))
	if err := p.read(true); err != nil {
		return nil, err
	}
	return p.e, nil
}

// read reads the event. If it is alone, nothing may follow it. After an error of the syntax, p.r has one,
// too.
func (p *parser) read(alone bool) error {
	e, obj := p.e, p.r.Object()
	for p.r.Member(&obj) {
		field := e.field(obj.Name)
		switch {
		case string(obj.Name) == "data":
			p.data, e.hasData = p.r.ReadDocument(), true
		case string(obj.Name) == "data_base64" && p.r.PeekKind() == 'n':
			p.r.SkipValue()
			e.hasData = true
		case string(obj.Name) == "data_base64":
			p.encoded, e.hasData = p.r.Bytes(), true
		case field == &e.Material:
			_, e.Material = p.value(MaxMaterial, true)
		case field != nil:
			_, *field = p.value(MaxAttribute, true)
		default:
			p.extra(obj.Name)
		}
	}
	if err := p.r.Err(); err != nil {
		fault, ok := err.(*Error)
		if !ok {
			fault = &Error{Err: err}
		}
		fault.Member = clip(obj.Name) // where the decoder stopped
		return fault
	}
	if alone {
		if err := p.r.End(); err != nil {
			return &Error{Err: err}
		}
	}
	if err := e.checkCore(); err != nil {
		return err
	}
	for i := range e.Extensions {
		name := e.Extensions[i].Name
		if twin := e.CaseTwin(name); twin != "" {
			return &Error{Member: twin, Msg: "is " + name + butForCase}
		}
	}
	return p.setData()
}

// textGuess is how much text the attributes of a sealed event have, dssematerial included. Most events need
// one allocation for all their strings, and no event keeps more memory than this without need.
const textGuess = 2 << 10

const butForCase = " but for the case of its letters, and some readers ignore case"

type parser struct {
	r       jsontext.Decoder
	e       *Event
	text    strings.Builder   // has every string of the event: one allocation for all of them
	data    jsontext.Document // the value of data; its Value is nil if absent
	encoded []byte            // the text of data_base64; nil if absent
}

// field is the field of an attribute that has one: those of the standard, and dssematerial. It is nil for any
// other name.
func (e *Event) field(name []byte) *string {
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
	case AttrMaterial:
		return &e.Material
	}
	return nil
}

// value reads the value of an attribute whose text has at most limit bytes. "" is an absent attribute. Only
// extension attributes have other types than String.
func (p *parser) value(limit int, mustBeString bool) (typ Type, text string) {
	typ = String
	var raw []byte
	switch kind := p.r.PeekKind(); {
	case kind == 'n':
		p.r.SkipValue()
		return String, ""
	case kind == '"' || mustBeString:
		raw = p.r.Bytes()
	case kind == '{' || kind == '[':
		p.r.Fail(&Error{Msg: "an attribute is a string, an integer or a boolean"})
	case kind == '0':
		typ, raw = Integer, p.r.ReadValue()
	default:
		typ, raw = Boolean, p.r.ReadValue()
	}
	text = p.keep(raw)
	if typ == Integer {
		if _, ok := parseInteger(text); !ok {
			p.r.Fail(&Error{Msg: "an Integer is a plain decimal of 32 bits"})
		}
	}
	if err := CheckText("", text, limit); err != nil {
		p.r.Fail(err)
	}
	return typ, text
}

// keep copies text into the one allocation. Its result stays valid when the builder grows, which it does into
// new memory.
func (p *parser) keep(text []byte) string {
	start := p.text.Len()
	p.text.Write(text)
	return p.text.String()[start:]
}

// extra reads an extension attribute, or a member that is no part of the event. The latter must be JSON and
// counts for the limit, too.
func (p *parser) extra(name []byte) {
	e, isExtension := p.e, validName(name)
	if isExtension {
		typ, value := p.value(MaxAttribute, false)
		if value == "" || p.r.Err() != nil {
			return
		}
		if e.Extensions == nil {
			e.Extensions = e.room[:0]
		}
		e.Extensions = append(e.Extensions, Attribute{Name: p.keep(name), Type: typ, Value: value})
	} else {
		switch folded := fold(name); {
		case string(name) == "detail-type", string(name) == "unverified_id": // delivery, quarantine record
			p.r.Fail(&Error{Msg: "is a member of another format: the message is two things at once"})
		case folded == "data", folded == "data_base64", folded == EmbeddedMember,
			e.field([]byte(folded)) != nil:
			p.r.Fail(&Error{Msg: "is " + folded + butForCase})
		}
		e.Ignored = append(e.Ignored, p.keep(name[:min(len(name), maxIgnoredName)]))
	}
	if len(e.Extensions)+len(e.Ignored) > MaxExtensions {
		p.r.Fail(&Error{TooLarge: true, Msg: "more than 128 extension attributes and members that are none"})
	}
	if !isExtension {
		p.r.SkipValue()
	}
}

// checkCore checks that the attributes of the standard are there if they are required, and that Time is one.
func (e *Event) checkCore() error {
	if e.SpecVersion != "1.0" {
		return &Error{Member: "specversion", Msg: `must be "1.0"`}
	}
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type},
	} {
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

// setData says what the data is. It depends on datacontenttype, which may come after the data.
func (p *parser) setData() error {
	e, isJSON := p.e, IsJSON(p.e.DataContentType)
	switch {
	case p.data.Value != nil && p.encoded != nil:
		return &Error{Member: "data_base64", Msg: "data and data_base64 are both present"}
	case len(p.encoded) > 0:
		data, err := jsontext.Base64.AppendDecode(nil, p.encoded)
		if err != nil {
			return &Error{Member: "data_base64", Err: err}
		}
		e.Form, e.Data, e.Base64 = BinaryData, data, true
		if !isJSON {
			return nil
		}
		if err := e.SetJSON(data); err != nil {
			return &Error{Member: "data_base64",
				Msg: "the data is not JSON, as datacontenttype says", Err: err}
		}
	case p.data.Value == nil:
		return nil
	case isJSON:
		e.Form, e.Data, e.Document, e.Canonical = JSONData, p.data.Value, p.data, p.data.IsCanonical
	case p.data.Value[0] != '"':
		return &Error{Member: "data",
			Msg: "must be a string, or data_base64, since datacontenttype is not JSON"}
	default:
		text, err := jsontext.AppendUnquote(nil, p.data.Value)
		if err != nil {
			return &Error{Member: "data", Err: err}
		}
		if len(text) > 0 {
			e.Form, e.Data = BinaryData, text
		}
	}
	return nil
}

// SetJSON makes data the data of e: one JSON value, with white space around it or not. The error is one of
// jsontext, and leaves e as it was.
func (e *Event) SetJSON(data []byte) error {
	r := jsontext.NewDecoder(data)
	doc := r.ReadDocument()
	if err := r.End(); err != nil {
		return err
	}
	e.Form, e.Data, e.Document = JSONData, data, doc
	e.Canonical = doc.IsCanonical && len(doc.Value) == len(data)
	return nil
}

// IsJSON reports whether data of this content type is JSON: the subtype is json or ends in +json, in any
// ASCII case and with any parameters (CloudEvents 1.0, JSON Event Format, 3.1). No content type is JSON.
func IsJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, _ := strings.Cut(contentType, ";")
	kind, subtype, _ := strings.Cut(strings.Trim(media, " \t"), "/")
	subtype = strings.ToLower(subtype) // beyond ASCII, no character becomes a letter of "json"
	return kind != "" && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// clip shortens a name that may be of any length before it enters an error.
func clip[T string | []byte](name T) string {
	if len(name) > MaxName {
		return string(name[:MaxName]) + "..."
	}
	return string(name)
}

// maxIgnoredName is how many bytes of the name of an ignored member are kept. No longer name is one of an
// attribute in another case: a character that fold replaces has at most three bytes.
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

// fold is the name in lower case. It replaces A to Z, and the four characters beyond ASCII whose lower or
// upper case is a letter of ASCII: no other character can occur in a twin of an attribute name.
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

// EmbeddedMember is the member of a detail that holds the attributes, where the rest of it is the data.
const EmbeddedMember = "cloudevent"

// MaxDelivery is the most bytes of a delivery: the largest event, and the members that EventBridge adds.
const MaxDelivery = MaxEvent + 64<<10

// Delivery is an EventBridge event as it is delivered. Nothing in it is verified.
type Delivery struct {
	Source, DetailType, Account, Replay string // as the service writes them; "" = not there
	Detail                              []byte

	Structured bool     // the detail has "specversion": it is a CloudEvent
	Embedded   bool     // the detail has an object "cloudevent": it is the data, with the attributes in it
	Ignored    []string // Embedded: the members of the detail that hops are known to add

	event      *Event   // that readDetail has read; nil = none
	eventErr   error    // of that event
	attributes []byte   // the member "cloudevent"
	data       []member // the other members of the detail
	detailErr  error
}

// member is a member of an object. Its value is not known to be JSON.
type member struct {
	name  string
	value []byte
}

// ErrNotDelivery is the error of JSON that lacks a member of every EventBridge event.
var ErrNotDelivery = errors.New("not an EventBridge event: source, detail-type or detail is missing")

var (
	errBothLayouts  = errors.New(`the detail has both "specversion" and an object "cloudevent"`)
	errEmbeddedData = errors.New(`"cloudevent" carries data, or a content type that is not JSON`)
)

// ParseDelivery reads an EventBridge event down to the members of its detail. ParseEvent reads their values.
// ignore has the names of members that hops are known to add to a detail. With ErrNotDelivery, the members
// that are there come back, too.
func ParseDelivery(doc []byte, ignore []string) (*Delivery, error) {
	if len(doc) > MaxDelivery {
		return nil, &Error{TooLarge: true,
			Msg: fmt.Sprintf("the delivery has more than %d bytes", MaxDelivery)}
	}
	d := &Delivery{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "source":
			d.Source = r.String()
		case "detail-type":
			d.DetailType = r.String()
		case "account":
			d.Account = r.String()
		case "replay-name":
			if r.PeekKind() == '"' { // nothing depends on it
				d.Replay = r.String()
			} else {
				r.SkipValue()
			}
		case "detail":
			d.readDetail(doc, &r, ignore)
		default:
			r.SkipValue()
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if max(len(d.Source), len(d.DetailType), len(d.Account)) > MaxAttribute {
		return nil, &Error{TooLarge: true, Msg: "source, detail-type or account is longer than any attribute"}
	}
	if d.Detail == nil || d.Source == "" || d.DetailType == "" {
		return d, ErrNotDelivery
	}
	return d, nil
}

// readDetail reads a detail that is a CloudEvent as Append writes it in the walk that finds its end. Of any
// other detail, and of one with an error, it finds the layout and the members that ParseEvent will read. It
// leaves its error in detailErr: an error of the delivery around the detail comes first.
func (d *Delivery) readDetail(doc []byte, r *jsontext.Decoder, ignore []string) {
	start := r.Offset()
	if bytes.HasPrefix(doc[start:], []byte(`{"specversion":`)) {
		p := parser{r: *r, e: &Event{}}
		p.text.Grow(min(len(doc)-start, textGuess))
		err := p.read(false)
		detail := bytes.TrimRight(doc[start:p.r.Offset()], " \n\r\t")
		if p.r.Err() == nil && len(detail) <= MaxEvent {
			if refused, ok := p.data.Err.(*jsontext.Error); ok {
				refused.Offset -= start // in the event
			}
			d.Structured, d.Detail, d.eventErr, *r = true, detail, err, p.r
			if err == nil {
				d.event = p.e
			}
			return
		}
	}
	in := *r
	for obj := in.Object(); in.Member(&obj); {
		kind := in.PeekKind()
		span := in.ReadSpan()
		switch name := string(obj.Name); {
		case name == "specversion":
			d.Structured = true
		case name == EmbeddedMember && kind == '{':
			d.Embedded, d.attributes = true, span
		case !d.Structured:
			if slices.Contains(ignore, name) {
				d.Ignored = append(d.Ignored, name)
			}
			d.data = append(d.data, member{name, span})
		}
	}
	if d.detailErr = in.Err(); d.detailErr != nil {
		d.Detail = r.ReadSpan()
		return
	}
	d.Detail = bytes.TrimRight(doc[start:in.Offset()], " \n\r\t")
	*r = in
}

// ParseEvent reads the sealed event in the detail. An ordinary detail is an event without a signature.
func (d *Delivery) ParseEvent() (*Event, error) {
	switch {
	case d.detailErr != nil:
		return nil, d.detailErr
	case d.event != nil || d.eventErr != nil:
		return d.event, d.eventErr
	case d.Structured && d.Embedded:
		return nil, errBothLayouts
	case d.Structured:
		return ParseSealed(d.Detail)
	case !d.Embedded:
		return &Event{Source: d.Source, Type: d.DetailType}, nil
	case len(d.Detail) > MaxEvent:
		return nil, &Error{TooLarge: true, Msg: fmt.Sprintf("more than %d bytes", MaxEvent)}
	}
	e, err := ParseSealed(d.attributes)
	if err != nil {
		return nil, err
	}
	if e.hasData || !IsJSON(e.DataContentType) {
		return nil, errEmbeddedData
	}
	if err := e.SetJSON(d.Data(true)); err != nil {
		return nil, &Error{Member: "detail", Msg: "malformed JSON", Err: err}
	}
	return e, nil
}

// Data is the data of an embedded event as one object, with or without the members of Ignored. ParseEvent has
// read it strictly.
func (d *Delivery) Data(withIgnored bool) []byte {
	data := append(make([]byte, 0, len(d.Detail)), '{')
	for _, m := range d.data {
		if !withIgnored && slices.Contains(d.Ignored, m.name) {
			continue
		}
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = append(append(jsontext.AppendQuote(data, m.name), ':'), m.value...)
	}
	return append(data, '}')
}

// MaxIgnoreMembers bounds envelope.Policy.IgnoreMembers: each is compared with every member of a detail.
const MaxIgnoreMembers = 16

// DefaultIgnoreMembers is what envelope.Policy.IgnoreMembers is where it is nil: the member that Datadog's
// instrumentation of the AWS SDKs adds to the detail of every PutEvents entry.
var DefaultIgnoreMembers = []string{"_datadog"}

// CheckIgnoreMembers is an error if a list of envelope.Policy.IgnoreMembers is too long, or has a name that
// no hop can add to a detail.
func CheckIgnoreMembers(names []string) error {
	if len(names) > MaxIgnoreMembers {
		return fmt.Errorf("there are %d names: give at most %d", len(names), MaxIgnoreMembers)
	}
	for _, name := range names {
		switch {
		case name == "" || len(name) > MaxName || !utf8.ValidString(name):
			return fmt.Errorf("%.80q is no name of a member: it is a text of 1 to %d bytes", name, MaxName)
		case strings.EqualFold(name, EmbeddedMember), strings.EqualFold(name, "specversion"):
			return fmt.Errorf("%q cannot be ignored: a detail without it is not an event", name)
		}
	}
	return nil
}

// MaxReported is how many names of ignored members are reported: they are an attacker's text.
const MaxReported = 8

// ReportedMembers is names of ignored members, harmless to show: at most 8, cut, and with
// everything escaped that is not printable ASCII.
func ReportedMembers(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	list := make([]string, 0, MaxReported)
	for _, name := range names[:min(len(names), MaxReported)] {
		quoted := strconv.QuoteToASCII(name[:min(len(name), MaxName)])
		list = append(list, quoted[1:len(quoted)-1])
	}
	return list
}
