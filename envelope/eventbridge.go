package envelope

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/canonical"
	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/strictjson"
)

// Layout is how a sealed event lies in the detail of an EventBridge event.
type Layout int

// The layouts.
const (
	// Structured: the detail is the whole sealed CloudEvent.
	Structured Layout = iota
	// Embedded: the detail is the event's JSON object data as it always was, plus the member "cloudevent"
	// with the attributes. For buses that already have rules and readers.
	Embedded
)

// The limits of PutEvents,
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const (
	maxDetailType = 128
	maxBusSource  = 256
)

// maxDelivery bounds what EventBridge delivers: the largest event and what the service adds around it.
const maxDelivery = cejson.MaxEvent + 64<<10

const embeddedMember = "cloudevent"

// Entry is one entry of an EventBridge PutEvents request, without the bus.
type Entry struct {
	Source     string
	DetailType string
	Detail     []byte    // a JSON object
	Time       time.Time // zero = none
}

// Size is the entry's size in bytes as AWS computes it: 14 if there is a Time, and the bytes of Source,
// DetailType and Detail.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevents-size
func (e *Entry) Size() int {
	size := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if !e.Time.IsZero() {
		size += 14
	}
	return size
}

// EventBridge maps the sealed event to a PutEvents entry. It fails with a *SealError if the bus or the layout
// could not carry the event unchanged.
func (s *Sealed) EventBridge(layout Layout) (*Entry, error) {
	if err := s.checkBus(layout); err != nil {
		return nil, err
	}
	entry := &Entry{Source: s.ev.Source, DetailType: s.ev.Type}
	if s.ev.Time != "" {
		entry.Time, _ = cejson.ParseTime(s.ev.Time)
	}
	switch layout {
	case Structured:
		entry.Detail = s.JSON()
	case Embedded:
		entry.Detail = s.embed()
	}
	if len(entry.Detail) > cejson.MaxEvent {
		return nil, &SealError{Problem: fmt.Sprintf("the detail has %d bytes, the limit is %d: send large data by reference (dataref)", len(entry.Detail), cejson.MaxEvent)}
	}
	return entry, nil
}

func (s *Sealed) checkBus(layout Layout) error {
	switch {
	case layout != Structured && layout != Embedded:
		return &SealError{Problem: fmt.Sprintf("unknown layout %d", layout)}
	case utf8.RuneCountInString(s.ev.Type) > maxDetailType:
		return &SealError{Member: "type", Problem: fmt.Sprintf("EventBridge takes at most %d characters", maxDetailType)}
	case utf8.RuneCountInString(s.ev.Source) > maxBusSource:
		return &SealError{Member: "source", Problem: fmt.Sprintf("EventBridge takes at most %d characters", maxBusSource)}
	case len(s.ev.Source) >= 4 && s.ev.Source[:4] == "aws.":
		return &SealError{Member: "source", Problem: `EventBridge reserves sources that begin with "aws."`}
	case s.ev.Form == cejson.JSONData && !s.ev.Base64 && anyNumber(s.ev.Data, wide):
		return &SealError{Member: "data", Problem: "EventBridge refuses integers outside int64: send it as a string, or seal with Exact"}
	case layout == Structured && hasExtension(&s.ev, embeddedMember):
		return &SealError{Member: embeddedMember, Problem: "an extension of this name would look like the embedded layout"}
	case layout == Embedded:
		return s.checkEmbedded()
	}
	return nil
}

func hasExtension(e *cejson.Event, name string) bool {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			return true
		}
	}
	return false
}

// checkEmbedded refuses data that the embedded layout cannot carry.
func (s *Sealed) checkEmbedded() error {
	if s.ev.Form != cejson.JSONData || s.ev.Base64 || s.ev.Data[0] != '{' {
		return &SealError{Member: "data", Problem: "the embedded layout carries a JSON object, and no Exact data: use the structured layout"}
	}
	r := strictjson.NewReader(s.ev.Data)
	for obj := r.Object(); r.Member(&obj); r.Skip() {
		if name := string(obj.Name); name == embeddedMember || name == "specversion" {
			return &SealError{Member: "data", Problem: fmt.Sprintf("the embedded layout reserves the member %q: use the structured layout", name)}
		}
	}
	return r.End()
}

// anyNumber reports whether the JSON text has a number of that kind. In canonical JSON it is canonical, too.
func anyNumber(data []byte, is func(number string) bool) bool {
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			for i++; data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i < len(data) && (data[i] == '-' || data[i] == '+' || data[i] == '.' || data[i]|0x20 == 'e' || '0' <= data[i] && data[i] <= '9') {
				i++
			}
			if is(string(data[start:i])) {
				return true
			}
			i--
		}
	}
	return false
}

// wide reports whether a canonical number is an integer beyond int64.
func wide(number string) bool {
	const most, least = "9223372036854775807", "-9223372036854775808"
	for _, c := range number {
		if c == '.' || c == 'e' {
			return false
		}
	}
	bound := most
	if number[0] == '-' {
		bound = least
	}
	return len(number) > len(bound) || len(number) == len(bound) && number > bound
}

// embed puts the attributes into the data object, as its last member.
func (s *Sealed) embed() []byte {
	data := s.ev.Data
	detail := append(make([]byte, 0, len(data)+2<<10), data[:len(data)-1]...)
	if len(data) > len("{}") {
		detail = append(detail, ',')
	}
	detail = s.ev.AppendAttributes(append(detail, `"cloudevent":`...))
	return append(detail, '}')
}

// delivery is an EventBridge event.
type delivery struct {
	outer      Outer
	account    string
	detail     []byte
	layout     Layout
	attributes []byte   // Embedded: the member "cloudevent"
	data       [][]byte // Embedded: the other members of the detail, name and value
	ignore     []string // names that hops are known to add to a detail
	ignored    []string // Embedded: those of them that are there,
	at         []int    // and where in data
	leftOut    bool     // they are no part of what was signed
}

var (
	errBothLayouts  = errors.New(`the detail has both "specversion" and an object "cloudevent"`)
	errNotEvent     = errors.New("not an EventBridge event: source, detail-type or detail is missing")
	errEmbeddedData = errors.New(`"cloudevent" carries data, or a content type that is not JSON`)
)

func readDelivery(doc []byte) (*delivery, error) {
	if len(doc) > maxDelivery {
		return nil, &cejson.Error{TooLarge: true, Msg: fmt.Sprintf("the delivery has more than %d bytes", maxDelivery)}
	}
	d := &delivery{}
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "source":
			d.outer.Source = r.String()
		case "detail-type":
			d.outer.DetailType = r.String()
		case "account":
			d.account = r.String()
		case "detail":
			d.detail = r.Span()
		default:
			r.Skip()
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if max(len(d.outer.Source), len(d.outer.DetailType), len(d.account)) > cejson.MaxAttribute {
		return nil, &cejson.Error{TooLarge: true, Msg: "source, detail-type or account is longer than any attribute"}
	}
	if d.detail == nil || d.outer.Source == "" || d.outer.DetailType == "" {
		return nil, errNotEvent
	}
	return d, nil
}

// event finds the layout and reads the sealed event.
func (d *delivery) event() (*cejson.Event, error) {
	structured, err := d.findLayout()
	switch {
	case err != nil:
		return nil, err
	case structured && d.attributes != nil:
		return nil, errBothLayouts
	case structured:
		return cejson.ParseSealed(d.detail)
	case d.attributes == nil:
		return &cejson.Event{Source: d.outer.Source, Type: d.outer.DetailType}, nil // an ordinary event: unsigned
	}
	d.layout = Embedded
	return d.embedded()
}

// findLayout walks over the top level of the detail only; what it steps over is parsed later.
func (d *delivery) findLayout() (structured bool, err error) {
	r := strictjson.NewReader(d.detail)
	for obj := r.Object(); r.Member(&obj); {
		name, kind := string(obj.Name), r.Kind()
		span := r.Span()
		switch {
		case name == "specversion":
			structured = true
			d.data = append(d.data, r.Since(&obj))
		case name == embeddedMember && kind == '{':
			d.attributes = span
		default:
			if slices.Contains(d.ignore, name) {
				d.ignored, d.at = append(d.ignored, name), append(d.at, len(d.data))
			}
			d.data = append(d.data, r.Since(&obj))
		}
	}
	return structured, r.End()
}

// embedded builds the event from its attributes and from the rest of the detail, which is its data.
func (d *delivery) embedded() (*cejson.Event, error) {
	if len(d.detail) > cejson.MaxEvent {
		return nil, &cejson.Error{TooLarge: true, Msg: fmt.Sprintf("more than %d bytes", cejson.MaxEvent)}
	}
	e, err := cejson.ParseSealed(d.attributes)
	if err != nil {
		return nil, err
	}
	if hasDataMember(d.attributes) || !cejson.IsJSON(e.DataContentType) {
		return nil, errEmbeddedData
	}
	data := d.object(d.data)
	end, isCanonical, err := canonical.Scan(data, 0)
	if err != nil || end != len(data) {
		return nil, &cejson.Error{Member: "detail", Msg: "malformed JSON", Err: err}
	}
	e.Form, e.Data, e.Canonical = cejson.JSONData, data, isCanonical
	return e, nil
}

// object is an object of these members.
func (d *delivery) object(members [][]byte) []byte {
	data := append(make([]byte, 0, len(d.detail)), '{')
	for i, member := range members {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, member...)
	}
	return append(data, '}')
}

// withoutIgnored is the data without the members that a hop may have added. All of it was read strictly
// before.
func (d *delivery) withoutIgnored() []byte {
	kept := make([][]byte, 0, len(d.data))
	for i, member := range d.data {
		if !slices.Contains(d.at, i) {
			kept = append(kept, member)
		}
	}
	return d.object(kept)
}

// hasDataMember reports whether the object, which is known to be valid, has data in either form, be it empty.
func hasDataMember(doc []byte) bool {
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); r.Span() {
		if name := string(obj.Name); name == "data" || name == "data_base64" {
			return true
		}
	}
	return false
}
