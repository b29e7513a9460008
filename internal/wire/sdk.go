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

// FromSDK makes an Event of an event of the SDK, without loss. An error is an *Error. Data aliases
// DataEncoded. Extensions are in the order of their names, with the Type that their Go value has: a Binary as
// base64, a Timestamp in UTC, without trailing zeros in the fraction. Empty attributes are left out. Base64
// is set exactly for BinaryData. The SDK's DataBase64 does not decide it, because the SDK also sets it for
// JSON that an application had as bytes.
//
// Each part is checked against its limit, but not the size of the whole event.
func FromSDK(ev *event.Event) (*Event, error) {
	if ev == nil {
		return nil, &Error{Msg: "the event is nil"}
	}
	// The setters of the SDK do not fail: they note the error here and leave the old value.
	if len(ev.FieldErrors) > 0 {
		name := slices.Min(slices.Collect(maps.Keys(ev.FieldErrors)))
		msg := "was set to a value that the SDK refused"
		if c, ok := ev.Context.(*event.EventContextV1); ok && c != nil && name == "id" && c.ID == "" {
			msg = "is empty, or was set to nothing but spaces"
		}
		return nil, &Error{Member: clip(name), Msg: msg,
			Err: ev.FieldErrors[name]}
	}
	c, ok := ev.Context.(*event.EventContextV1)
	if !ok || c == nil {
		return nil, &Error{Member: "specversion", Msg: `must be "1.0"`}
	}
	e := &Event{SpecVersion: "1.0", ID: c.ID, Source: c.Source.String(), Type: c.Type,
		DataSchema: c.DataSchema.String()}
	if c.DataContentType != nil {
		e.DataContentType = *c.DataContentType
	}
	if c.Subject != nil {
		e.Subject = *c.Subject
	}
	if c.Time != nil {
		var err error
		if e.Time, err = formatTime("time", c.Time.Time); err != nil {
			return nil, err
		}
	}
	if err := e.checkFromSDK(); err != nil {
		return nil, err
	}
	if len(c.Extensions) > MaxExtensions+1 { // one may be dssematerial
		return nil, &Error{TooLarge: true, Msg: "more than 128 extension attributes"}
	}
	for name, value := range c.Extensions {
		if err := e.takeExtension(name, value); err != nil {
			return nil, err
		}
	}
	if len(e.Extensions) > MaxExtensions {
		return nil, &Error{TooLarge: true, Msg: "more than 128 extension attributes"}
	}
	slices.SortFunc(e.Extensions, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	if err := e.takeData(ev.DataEncoded); err != nil {
		return nil, err
	}
	return e, nil
}

// checkFromSDK checks the attributes of the standard as ParseSealed does, and that the SDK can hold the URLs.
func (e *Event) checkFromSDK() error {
	for _, a := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"datacontenttype", e.DataContentType},
		{"dataschema", e.DataSchema}, {"subject", e.Subject},
	} {
		if err := CheckText(a.name, a.value, MaxAttribute); err != nil {
			return err
		}
	}
	if err := e.checkCore(); err != nil {
		return err
	}
	_, err := parseURL("source", e.Source)
	if err == nil && e.DataSchema != "" {
		_, err = parseURL("dataschema", e.DataSchema)
	}
	return err
}

// takeExtension adds an extension attribute, or sets Material.
func (e *Event) takeExtension(name string, value any) error {
	if !validName(name) {
		return &Error{Member: clip(name), Msg: badName}
	}
	if name == "data" || name != AttrMaterial && e.field([]byte(name)) != nil {
		return &Error{Member: name, Msg: "is no name for an extension attribute"}
	}
	a, err := attributeOf(name, value)
	switch {
	case err != nil || a.Value == "":
		return err
	case name == AttrMaterial && a.Type != String && a.Type != Binary:
		return &Error{Member: name, Msg: "must be Binary"}
	case name == AttrMaterial:
		e.Material = a.Value
		return CheckText(name, a.Value, MaxMaterial)
	}
	if e.Extensions == nil {
		e.Extensions = e.room[:0]
	}
	e.Extensions = append(e.Extensions, a)
	return CheckText(name, a.Value, MaxAttribute)
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
			return Attribute{}, &Error{Member: name, TooLarge: true,
				Msg: "is longer than an attribute may be"}
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

// convertedAttribute reads a value that a program put into the extensions without SetExtension, which would
// have converted it to one of the types of attributeOf.
func convertedAttribute(name string, value any) (Attribute, error) {
	v, err := types.Validate(value)
	if err != nil {
		return Attribute{}, &Error{Member: name,
			Msg: fmt.Sprintf("a Go value of type %T is no CloudEvents attribute", value)}
	}
	// Validate cuts the fraction off a float. Pointers to numbers are refused here, too.
	if n, ok := v.(int32); ok && fmt.Sprint(value) != strconv.Itoa(int(n)) {
		return Attribute{}, &Error{Member: name,
			Msg: fmt.Sprintf("a Go value of type %T is no Integer", value)}
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
	if year := t.UTC().Year(); year < 1 || year > 9999 {
		return "", &Error{Member: name, Err: errYear}
	}
	return t.UTC().Format(time.RFC3339Nano), nil
}

func (e *Event) takeData(data []byte) error {
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
	if err := e.SetJSON(data); err != nil {
		return &Error{Member: "data", Msg: "is not JSON, as datacontenttype says (none means JSON)", Err: err}
	}
	return nil
}

// sdkContext has the context of the SDK and the values that it points to, in one allocation.
type sdkContext struct {
	event.EventContextV1
	contentType, subject string
	time                 types.Timestamp
	schema               types.URI
}

// ToSDK makes an event of the SDK. An error is an *Error. Attribute.Type decides the Go type of an extension:
// it is the type that SetExtension would store. dssematerial is a string. The data aliases e.Data, and
// DataBase64 is set for BinaryData. A URL that the SDK would rewrite is refused as Unsupported.
func (e *Event) ToSDK() (event.Event, error) {
	c := &sdkContext{contentType: e.DataContentType, subject: e.Subject}
	c.ID, c.Type = e.ID, e.Type
	if e.DataContentType != "" {
		c.DataContentType = &c.contentType
	}
	if e.Subject != "" {
		c.Subject = &c.subject
	}
	source, err := parseURL("source", e.Source)
	if err != nil {
		return event.Event{}, err
	}
	c.Source.URL = *source
	if e.DataSchema != "" {
		schema, err := parseURL("dataschema", e.DataSchema)
		if err != nil {
			return event.Event{}, err
		}
		c.schema.URL, c.DataSchema = *schema, &c.schema
	}
	if e.Time != "" {
		if c.time.Time, err = ParseTime(e.Time); err != nil {
			return event.Event{}, &Error{Member: "time", Err: err}
		}
		c.Time = &c.time
	}
	if len(e.Extensions) > 0 || e.Material != "" {
		c.Extensions = make(map[string]any, len(e.Extensions)+1)
	}
	if e.Material != "" {
		c.Extensions[AttrMaterial] = e.Material
	}
	for i := range e.Extensions {
		a := &e.Extensions[i]
		if c.Extensions[a.Name], err = a.sdkValue(); err != nil {
			return event.Event{}, err
		}
	}
	ev := event.Event{Context: &c.EventContextV1}
	if e.Form != NoData {
		ev.DataEncoded, ev.DataBase64 = e.Data, e.Form == BinaryData
	}
	return ev, nil
}

// WithData is ev, which ToSDK made, with the data and the content type of e instead of its own, and without
// the extension of that name. The two share memory, so neither may be changed.
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

// CheckURI refuses a text that has a character that no URI reference has (RFC 3986, appendix A), and a text
// that the SDK's event would not hold as it is.
func CheckURI(name, text string) error {
	_, err := parseURL(name, text)
	return err
}

// uriCharacters are those that a URI may have (RFC 3986, appendix A).
const uriCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/?#[]@!$&'()*+,;=%"

// parseURL parses text as the SDK does, and refuses a text that the SDK would write in another way. It also
// refuses the characters that net/url accepts in opaque parts and queries against RFC 3986. An empty
// fragment, as in the names of JSON schemas, is kept, except in source.
func parseURL(name, text string) (*url.URL, error) {
	body, isEmptyFragment := strings.CutSuffix(text, "#")
	if strings.Contains(body, "#") {
		body, isEmptyFragment = text, false
	}
	if isEmptyFragment && name == "source" {
		return nil, &Error{Member: name, Unsupported: true,
			Msg: "ends in an empty fragment, " +
				"and readers would confuse it with the source without one: drop the #"}
	}
	u, err := url.Parse(body)
	if err == nil {
		_, err = url.PathUnescape(body) // each % has its two digits, also where Parse does not look
	}
	if err != nil || body == "" || u.String() != body || strings.Trim(body, uriCharacters) != "" {
		return nil, &Error{Member: name, Unsupported: true,
			Msg: "cannot be represented in the SDK's event, which holds a URL and would rewrite this one"}
	}
	if isEmptyFragment {
		// A url.URL does not tell an empty fragment from none. Its Opaque is written as it is.
		return &url.URL{Scheme: u.Scheme, Opaque: strings.TrimPrefix(text, u.Scheme+":")}, nil
	}
	return u, nil
}

// sdkValue is the value that types.Validate of the SDK would give for the attribute.
func (a *Attribute) sdkValue() (any, error) {
	switch a.Type {
	case String:
		return a.Value, nil
	case Boolean:
		if a.Value == "true" || a.Value == "false" {
			return a.Value == "true", nil
		}
	case Integer:
		if n, ok := parseInteger(a.Value); ok {
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
	return nil, &Error{Member: clip(a.Name), Msg: fmt.Sprintf("the text is none of type %v", a.Type)}
}
