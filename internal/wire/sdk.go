package wire

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// FromSDK takes over an event of the SDK, without loss or not at all; an error is an *Error. Data aliases
// DataEncoded. Extensions come in name order with the Type that their Go value has; Binary ones as base64,
// times in UTC as FormatTime writes them. Empty attributes are left out. Base64 is set exactly for
// BinaryData: DataBase64 is set by the SDK for JSON that an application had as bytes, too, so it is no wish.
//
// Only each part is checked against its limit, not the size of what Append will write.
func FromSDK(ev *event.Event) (*Event, error) {
	c, err := contextOf(ev)
	if err != nil {
		return nil, err
	}
	e := &Event{SpecVersion: "1.0", ID: c.ID, Source: c.Source.String(), Type: c.Type, DataSchema: c.DataSchema.String()}
	if c.DataContentType != nil {
		e.DataContentType = *c.DataContentType
	}
	if c.Subject != nil {
		e.Subject = *c.Subject
	}
	if c.Time != nil {
		if e.Time, err = formatTime("time", c.Time.Time); err != nil {
			return nil, err
		}
	}
	if err := e.checkFromSDK(); err != nil {
		return nil, err
	}
	if err := e.takeExtensions(c.Extensions); err != nil {
		return nil, err
	}
	if err := e.takeData(ev.DataEncoded); err != nil {
		return nil, err
	}
	return e, nil
}

func contextOf(ev *event.Event) (*event.EventContextV1, error) {
	if ev == nil {
		return nil, &Error{Msg: "the event is nil"}
	}
	// The setters of the SDK do not fail: they note the error here and leave the old value.
	if len(ev.FieldErrors) > 0 {
		return nil, fieldError(ev.FieldErrors)
	}
	c, ok := ev.Context.(*event.EventContextV1)
	if !ok || c == nil {
		return nil, &Error{Member: "specversion", Msg: `must be "1.0"`}
	}
	return c, nil
}

func fieldError(fields map[string]error) *Error {
	var first string
	for name := range fields {
		if first == "" || name < first {
			first = name
		}
	}
	return &Error{Member: clip(first), Msg: "was set to a value that the SDK refused", Err: fields[first]}
}

// checkFromSDK is what the reader checks while reading.
func (e *Event) checkFromSDK() error {
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"datacontenttype", e.DataContentType},
		{"dataschema", e.DataSchema}, {"subject", e.Subject},
	} {
		if err := checkText(a.name, a.value, MaxAttribute); err != nil {
			return err
		}
	}
	if err := e.checkCore(); err != nil {
		return err
	}
	if _, err := parseURL("source", e.Source); err != nil {
		return err
	}
	if e.DataSchema == "" {
		return nil
	}
	_, err := parseURL("dataschema", e.DataSchema)
	return err
}

// CheckText refuses a text that no attribute can have: too long, or with a control character, a noncharacter
// or invalid UTF-8.
func CheckText(name, value string) error { return checkText(name, value, MaxAttribute) }

func checkText(name, value string, limit int) error {
	var e *Error
	switch {
	case len(value) > limit:
		e = tooLong(limit)
	case !validText(value):
		e = errText()
	default:
		return nil
	}
	e.Member = name
	return e
}

func (e *Event) takeExtensions(values map[string]any) error {
	if len(values) > MaxExtensions+1 { // one may be dssematerial
		return &Error{TooLarge: true, Msg: "more than 128 extension attributes"}
	}
	for name, value := range values {
		if err := e.takeExtension(name, value); err != nil {
			return err
		}
	}
	if len(e.Extensions) > MaxExtensions {
		return &Error{TooLarge: true, Msg: "more than 128 extension attributes"}
	}
	slices.SortFunc(e.Extensions, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (e *Event) takeExtension(name string, value any) error {
	if !validName(name) {
		return &Error{Member: clip(name), Msg: "an attribute name has 1 to 64 characters of a-z and 0-9"}
	}
	if name == "data" || e.core([]byte(name)) != nil {
		return &Error{Member: name, Msg: "is no name for an extension attribute"}
	}
	a, err := attributeOf(name, value)
	if err != nil || a.Value == "" {
		return err
	}
	if name == "dssematerial" {
		return e.takeMaterial(a)
	}
	if e.Extensions == nil {
		e.Extensions = make([]Attribute, 0, 8)
	}
	e.Extensions = append(e.Extensions, a)
	return checkText(name, a.Value, MaxAttribute)
}

func (e *Event) takeMaterial(a Attribute) error {
	if a.Type != String && a.Type != Binary {
		return &Error{Member: a.Name, Msg: "must be Binary"}
	}
	e.Material = a.Value
	return checkText(a.Name, a.Value, MaxMaterial)
}

// attributeOf reads an extension value as the SDK stores it. An empty Value is an absent attribute.
func attributeOf(name string, value any) (Attribute, error) {
	switch v := value.(type) {
	case nil:
		return Attribute{}, nil
	case string:
		return Attribute{name, String, v}, nil
	case bool:
		return Attribute{name, Boolean, strconv.FormatBool(v)}, nil
	case int32:
		return Attribute{name, Integer, strconv.Itoa(int(v))}, nil
	case []byte:
		if base64.StdEncoding.EncodedLen(len(v)) > MaxMaterial {
			return Attribute{}, &Error{Member: name, TooLarge: true, Msg: "is longer than an attribute may be"}
		}
		return Attribute{name, Binary, base64.StdEncoding.EncodeToString(v)}, nil
	case types.Timestamp:
		text, err := formatTime(name, v.Time)
		return Attribute{name, Timestamp, text}, err
	case types.URI:
		return urlAttribute(name, URI, v.String())
	case types.URIRef:
		return urlAttribute(name, URIReference, v.String())
	}
	return convertedAttribute(name, value)
}

// convertedAttribute reads a value that was put into the extensions past SetExtension, which would have
// converted it to one of the types of attributeOf.
func convertedAttribute(name string, value any) (Attribute, error) {
	v, err := types.Validate(value)
	if err != nil {
		return Attribute{}, &Error{Member: name, Msg: fmt.Sprintf("a Go value of type %T is no CloudEvents attribute", value)}
	}
	// Validate cuts the fraction off a float. This is also false for pointers to numbers, which is well.
	if n, ok := v.(int32); ok && fmt.Sprint(value) != strconv.Itoa(int(n)) {
		return Attribute{}, &Error{Member: name, Msg: fmt.Sprintf("a Go value of type %T is no Integer", value)}
	}
	return attributeOf(name, v)
}

func urlAttribute(name string, typ Type, text string) (Attribute, error) {
	if text == "" {
		return Attribute{}, nil
	}
	_, err := parseURL(name, text)
	return Attribute{name, typ, text}, err
}

func formatTime(name string, t time.Time) (string, error) {
	if !writable(t) {
		return "", &Error{Member: name, Err: errYear}
	}
	return FormatTime(t), nil
}

func (e *Event) takeData(data []byte) (err error) {
	if len(data) > MaxEvent {
		return &Error{Member: "data", TooLarge: true, Msg: "is larger than 1 MiB"}
	}
	switch {
	case len(data) == 0:
		return nil
	case !IsJSON(e.DataContentType):
		e.Form, e.Data, e.Base64 = BinaryData, data, true
		return nil
	}
	doc, err := readJSON(data)
	if err != nil {
		return &Error{Member: "data", Msg: "is not JSON, as datacontenttype says (none means JSON)", Err: err}
	}
	e.setJSON(data, doc)
	return nil
}

// sdkContext puts what the context of the SDK points to next to it: one allocation.
type sdkContext struct {
	event.EventContextV1
	contentType, subject string
	time                 types.Timestamp
	schema               types.URI
}

// ToSDK makes an event of the SDK; an error is an *Error. Attribute.Type decides the Go type of an extension,
// which is the one that SetExtension would store; dssematerial is a string. The data aliases e.Data, with
// DataBase64 set for BinaryData. An URL that the SDK would rewrite is refused as Unsupported.
func (e *Event) ToSDK() (event.Event, error) {
	c := &sdkContext{contentType: e.DataContentType, subject: e.Subject}
	c.ID, c.Type = e.ID, e.Type
	if e.DataContentType != "" {
		c.DataContentType = &c.contentType
	}
	if e.Subject != "" {
		c.Subject = &c.subject
	}
	if err := c.setURLs(e); err != nil {
		return event.Event{}, err
	}
	if err := c.setTime(e.Time); err != nil {
		return event.Event{}, err
	}
	if err := c.setExtensions(e); err != nil {
		return event.Event{}, err
	}
	ev := event.Event{Context: &c.EventContextV1}
	if e.Form != NoData {
		ev.DataEncoded, ev.DataBase64 = e.Data, e.Form == BinaryData
	}
	return ev, nil
}

// WithData is ev, which ToSDK made, with the data and the content type of e instead of its own, and without
// the extension of that name. It shares with ev what is the same in both, so neither is to be changed.
func (e *Event) WithData(ev event.Event, without string) event.Event {
	c := &sdkContext{EventContextV1: *ev.Context.(*event.EventContextV1), contentType: e.DataContentType}
	c.DataContentType = &c.contentType
	if _, ok := c.Extensions[without]; ok {
		c.Extensions = maps.Clone(c.Extensions)
		delete(c.Extensions, without)
	}
	out := event.Event{Context: &c.EventContextV1}
	if e.Form != NoData {
		out.DataEncoded, out.DataBase64 = e.Data, e.Form == BinaryData
	}
	return out
}

func (c *sdkContext) setURLs(e *Event) error {
	source, err := parseURL("source", e.Source)
	if err != nil {
		return err
	}
	c.Source.URL = *source
	if e.DataSchema == "" {
		return nil
	}
	schema, err := parseURL("dataschema", e.DataSchema)
	if err != nil {
		return err
	}
	c.schema.URL = *schema
	c.DataSchema = &c.schema
	return nil
}

// CheckURI refuses a text that is no URI-reference by its characters (RFC 3986, appendix A), or that the
// SDK's event would not hold as it is.
func CheckURI(name, text string) error {
	_, err := parseURL(name, text)
	return err
}

// parseURL parses text as the SDK does and refuses what would come out of it as another text. What net/url
// lets through in opaque parts and queries, which RFC 3986 does not, is refused too. An empty fragment, as in
// the names of JSON schemas, is kept, except in source.
func parseURL(name, text string) (*url.URL, error) {
	body, empty := cutEmptyFragment(text)
	if empty && name == "source" {
		return nil, &Error{Member: name, Unsupported: true,
			Msg: "ends in an empty fragment, and readers would confuse it with the source without one: drop the #"}
	}
	u, err := url.Parse(body)
	if err != nil || body == "" || u.String() != body || !uriCharacters(body) {
		return nil, &Error{Member: name, Unsupported: true,
			Msg: "cannot be represented in the SDK's event, which holds a URL and would rewrite this one"}
	}
	if empty {
		return withEmptyFragment(u.Scheme, text), nil
	}
	return u, nil
}

// cutEmptyFragment cuts off a # that is the last character and the only one of its kind.
func cutEmptyFragment(text string) (body string, found bool) {
	body, found = strings.CutSuffix(text, "#")
	if !found || strings.Contains(body, "#") {
		return text, false
	}
	return body, true
}

// withEmptyFragment is a URL whose String is text. A url.URL does not tell an empty fragment from none, so
// all that follows the scheme goes into Opaque, which is written as it is.
func withEmptyFragment(scheme, text string) *url.URL {
	if scheme != "" {
		text = text[len(scheme)+len(":"):]
	}
	return &url.URL{Scheme: scheme, Opaque: text}
}

func uriCharacters(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c), strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0:
		case c == '%' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]):
			i += 2
		default:
			return false
		}
	}
	return true
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func (c *sdkContext) setTime(text string) (err error) {
	if text == "" {
		return nil
	}
	if c.time.Time, err = ParseTime(text); err != nil {
		return &Error{Member: "time", Err: err}
	}
	c.Time = &c.time
	return nil
}

func (c *sdkContext) setExtensions(e *Event) error {
	if len(e.Extensions) == 0 && e.Material == "" {
		return nil
	}
	c.Extensions = make(map[string]any, len(e.Extensions)+1)
	if e.Material != "" {
		c.Extensions["dssematerial"] = e.Material
	}
	for i := range e.Extensions {
		a := &e.Extensions[i]
		value, err := a.sdkValue()
		if err != nil {
			return err
		}
		c.Extensions[a.Name] = value
	}
	return nil
}

// sdkValue is the value that types.Validate of the SDK would give for the attribute.
func (a *Attribute) sdkValue() (any, error) {
	switch a.Type {
	case String:
		return a.Value, nil
	case Boolean:
		if a.bare() {
			return a.Value == "true", nil
		}
	case Integer:
		if a.bare() {
			n, _ := strconv.ParseInt(a.Value, 10, 32)
			return int32(n), nil
		}
	case Binary:
		if data, err := jsontext.Base64.AppendDecode(nil, []byte(a.Value)); err == nil {
			return data, nil
		}
	case Timestamp:
		if t, err := ParseTime(a.Value); err == nil {
			return types.Timestamp{Time: t}, nil
		}
	case URI, URIReference:
		u, err := parseURL(a.Name, a.Value)
		if err != nil {
			return nil, err
		}
		if a.Type == URI {
			return types.URI{URL: *u}, nil
		}
		return types.URIRef{URL: *u}, nil
	}
	return nil, &Error{Member: clip(a.Name), Msg: "the text is none of type " + a.Type.String()}
}
