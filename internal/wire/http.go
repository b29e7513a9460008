package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"iter"
	"mime"
	"slices"
	"strings"
)

// MaxHTTPHeader is the most bytes of the header lines of an HTTP message in binary mode, the empty line
// included: the longest dssematerial fits, with as much again for all other attributes.
const MaxHTTPHeader = 128 << 10

// HTTPMode is how a CloudEvent lies in an HTTP message.
type HTTPMode int

// The modes (CloudEvents HTTP binding 1.0.2, section 1.3).
const (
	BinaryMode     HTTPMode = iota // attributes in header lines, data in the content
	StructuredMode                 // one event in the JSON format
	BatchMode                      // a JSON array of events
	UnknownMode                    // another format of CloudEvents, or another charset: it cannot be read
)

// HTTPModeOf is the mode that a Content-Type says; "" is binary mode.
func HTTPModeOf(contentType string) HTTPMode {
	if !isCloudEvents(contentType) {
		return BinaryMode
	}
	media, params, err := mime.ParseMediaType(contentType)
	if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return UnknownMode
	}
	switch media {
	case "application/cloudevents+json":
		return StructuredMode
	case "application/cloudevents-batch+json":
		return BatchMode
	}
	return UnknownMode
}

// isCloudEvents reports whether readers take content of this type for events, and not for the data of one.
func isCloudEvents(contentType string) bool {
	const prefix = "application/cloudevents"
	text := strings.TrimLeft(contentType, " \t")
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}

// tokenCharacters are those of a header's name (RFC 9110, section 5.6.2).
const tokenCharacters = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// ParseHTTP reads one event in binary mode (CloudEvents HTTP binding 1.0.2, section 3.1): header lines that
// end in CR LF, an empty line, the data. Lines of other headers are skipped. Data aliases message, everything
// else is a copy. An error is an *Error. All extensions are String: the payload says which type was signed.
func ParseHTTP(message []byte) (*Event, error) {
	e := &Event{Extensions: make([]Attribute, 0, 8)}
	var names []string // of all attributes so far, empty ones too
	for at, extensions := 0, 0; ; {
		length := bytes.Index(message[at:max(at, min(len(message), MaxHTTPHeader))], []byte("\r\n"))
		if length < 0 {
			return nil, &Error{TooLarge: len(message) > MaxHTTPHeader,
				Msg: "the header does not end in an empty line within 128 KiB"}
		}
		line := message[at : at+length]
		at += length + len("\r\n")
		if length == 0 {
			if err := e.takeContent(message[at:]); err != nil {
				return nil, err
			}
			return e, nil
		}
		before, after, found := bytes.Cut(line, []byte(":"))
		// Beyond ASCII, letters become those of ASCII in lower case: they are refused before.
		if !found || len(before) == 0 || len(bytes.Trim(before, tokenCharacters)) > 0 {
			return nil, &Error{Member: clip(before), Msg: "is no name of a header line"}
		}
		header := strings.ToLower(string(before))
		name, isAttribute := strings.CutPrefix(header, "ce-")
		if header == "content-type" {
			name, isAttribute = "datacontenttype", true
		} else if name == "datacontenttype" || isAttribute && (!validName(name) || name == "data") {
			return nil, &Error{Member: clip(header), Msg: "is no attribute that has a header line"}
		}
		if !isAttribute {
			continue
		}
		if slices.Contains(names, name) {
			return nil, &Error{Member: clip(header), Msg: "is there twice"}
		}
		names = append(names, name)
		if e.field([]byte(name)) == nil {
			extensions++
		}
		if extensions > MaxExtensions {
			return nil, &Error{TooLarge: true, Msg: "more than 128 extension attributes"}
		}
		if err := e.takeHeader(name, bytes.Trim(after, " \t")); err != nil {
			return nil, err
		}
	}
}

// takeHeader reads the value of a line. That of Content-Type is a media type, which is not percent-encoded.
func (e *Event) takeHeader(name string, value []byte) error {
	text, limit, field := string(value), MaxAttribute, e.field([]byte(name))
	if field == &e.Material {
		limit = MaxMaterial
	}
	if field == &e.DataContentType && isCloudEvents(text) {
		return &Error{Member: name, Msg: "says that the content is a whole event: that is another mode"}
	} else if field != &e.DataContentType {
		decoded, err := headerText(value)
		if err != nil {
			return &Error{Member: name, Err: err}
		}
		text = string(decoded)
	}
	if err := CheckText(name, text, limit); err != nil {
		return err
	}
	if field != nil {
		*field = text
	} else if text != "" {
		e.Extensions = append(e.Extensions, Attribute{Name: name, Type: String, Value: text})
	}
	return nil
}

var (
	errQuotes  = errors.New("a header value that begins with a quote ends with one, and has no other")
	errPercent = errors.New("a header value has two hexadecimal digits after each %: write %25 for a %")
)

// headerText is the text of a header value: without quotes around it and their escapes, then percent-decoded
// once (section 3.1.3.2). A sender need not have encoded spaces, quotes and UTF-8: the signature decides.
func headerText(value []byte) (string, error) {
	if len(value) > 0 && value[0] == '"' {
		inner, ended := make([]byte, 0, len(value)), false
		for i := 1; i < len(value); i++ {
			ended = value[i] == '"'
			if ended && i < len(value)-1 {
				return "", errQuotes
			}
			if value[i] == '\\' && i < len(value)-1 {
				i++
			}
			inner = append(inner, value[i])
		}
		if !ended {
			return "", errQuotes
		}
		value = inner[:len(inner)-1]
	}
	if bytes.IndexByte(value, '%') < 0 {
		return string(value), nil
	}
	text := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '%' {
			var decoded [1]byte
			if i+2 >= len(value) {
				return "", errPercent
			}
			if _, err := hex.Decode(decoded[:], value[i+1:i+3]); err != nil {
				return "", errPercent
			}
			c, i = decoded[0], i+2
		}
		text = append(text, c)
	}
	return string(text), nil
}

// takeContent reads the data, in memory of the message.
func (e *Event) takeContent(data []byte) error {
	if err := e.takeData(data); err != nil {
		return err
	}
	e.Base64, e.hasData = false, len(data) > 0
	return e.checkCore()
}

// Headers are the header lines of the event in binary mode, dssematerial last. Their names are those that
// net/http writes.
func (e *Event) Headers() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		list := []Attribute{{Name: "specversion", Value: e.SpecVersion}}
		for _, a := range e.texts() {
			list = append(list, Attribute{Name: a.name, Value: a.value})
		}
		list = append(append(list, e.Extensions...), Attribute{Name: AttrMaterial, Value: e.Material})
		for _, a := range list {
			header, value := "Ce-"+strings.ToUpper(a.Name[:1])+a.Name[1:], headerValue(a.Value)
			if a.Name == "datacontenttype" {
				header, value = "Content-Type", a.Value
			}
			if value != "" && !yield(header, value) {
				return
			}
		}
	}
}

// headerValue is a text as the value of a header line, percent-encoded (section 3.1.3.2).
func headerValue(text string) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(text)+len(text)/4)
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c == '"' || c == '%' || c >= 0x7f {
			out = append(out, '%', digits[c>>4], digits[c&15])
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
