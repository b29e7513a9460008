package wire

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// EmbeddedMember is the member of a detail that holds the attributes, where the rest of it is the data.
const EmbeddedMember = "cloudevent"

// MaxDelivery bounds a delivery: the largest event, and all that EventBridge adds around it.
const MaxDelivery = MaxEvent + 64<<10

// Delivery is an EventBridge event as it is delivered. Nothing in it is verified.
type Delivery struct {
	Source, DetailType, Account, Replay string // as the service writes them; "" = not there
	Detail                              []byte

	Structured bool     // the detail has "specversion": it is a CloudEvent
	Embedded   bool     // the detail has an object "cloudevent": it is the data, with the attributes in it
	Ignored    []string // Embedded: the members beside the data that hops are known to add

	attributes []byte   // the member "cloudevent"
	data       [][]byte // the other members of the detail, name and value
	at         []int    // where in data those of Ignored stand
	detailErr  error
}

// ErrNotDelivery is the error of JSON that lacks what every EventBridge event has.
var ErrNotDelivery = errors.New("not an EventBridge event: source, detail-type or detail is missing")

var (
	errBothLayouts  = errors.New(`the detail has both "specversion" and an object "cloudevent"`)
	errEmbeddedData = errors.New(`"cloudevent" carries data, or a content type that is not JSON`)
)

// ParseDelivery reads an EventBridge event down to the members of its detail, whose values ParseEvent reads.
// The names in ignore are of members that hops are known to add to a detail. With ErrNotDelivery, the members
// that are there come back as well.
func ParseDelivery(doc []byte, ignore []string) (*Delivery, error) {
	if len(doc) > MaxDelivery {
		return nil, &Error{TooLarge: true, Msg: fmt.Sprintf("the delivery has more than %d bytes", MaxDelivery)}
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
			d.readDetail(&r, ignore)
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

// readDetail finds the layout of the detail, and the members whose values are still to be read. Its errors
// come after those of the delivery around it.
func (d *Delivery) readDetail(r *jsontext.Decoder, ignore []string) {
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
				d.Ignored, d.at = append(d.Ignored, name), append(d.at, len(d.data))
			}
			d.data = append(d.data, in.Since(&obj))
		}
	}
	if d.detailErr = in.Err(); d.detailErr != nil {
		d.Detail = r.ReadSpan()
		return
	}
	d.Detail = r.Leave(&in)
}

// ParseEvent reads the sealed event in the detail. An ordinary detail is an event without a signature.
func (d *Delivery) ParseEvent() (*Event, error) {
	switch {
	case d.detailErr != nil:
		return nil, d.detailErr
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
	data := d.object(d.data)
	doc, err := readJSON(data)
	if err != nil {
		return nil, &Error{Member: "detail", Msg: "malformed JSON", Err: err}
	}
	e.setJSON(data, doc)
	return e, nil
}

// object is an object of these members.
func (d *Delivery) object(members [][]byte) []byte {
	data := append(make([]byte, 0, len(d.Detail)), '{')
	for i, member := range members {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, member...)
	}
	return append(data, '}')
}

// WithoutIgnored is the embedded data without the members of Ignored. ParseEvent has read all of it strictly.
func (d *Delivery) WithoutIgnored() []byte {
	kept := make([][]byte, 0, len(d.data))
	for i, member := range d.data {
		if !slices.Contains(d.at, i) {
			kept = append(kept, member)
		}
	}
	return d.object(kept)
}

// Split cuts a batch (CloudEvents 1.0, JSON Batch Format) into its elements, which alias b. Only their
// boundaries are found: each is still to be read with Parse, which also checks its size. If every element
// parses, b was valid JSON.
func Split(b []byte) ([][]byte, error) {
	i := jsontext.SkipSpace(b, 0)
	if i == len(b) || b[i] != '[' {
		return nil, &Error{Msg: "a batch is a JSON array"}
	}
	var events [][]byte
	for i = jsontext.SkipSpace(b, i+1); ; {
		if len(events) == 0 && i < len(b) && b[i] == ']' {
			break
		}
		if len(events) == MaxBatch {
			return nil, &Error{TooLarge: true, Msg: "more than 1000 events in a batch"}
		}
		end := objectEnd(b, i)
		if end < 0 {
			return nil, &Error{Msg: fmt.Sprintf("element %d of the batch is not an object", len(events))}
		}
		events = append(events, b[i:end:end])
		if i = jsontext.SkipSpace(b, end); i == len(b) || b[i] != ',' {
			break
		}
		i = jsontext.SkipSpace(b, i+1)
	}
	if i == len(b) || b[i] != ']' || jsontext.SkipSpace(b, i+1) != len(b) {
		return nil, &Error{Msg: fmt.Sprintf("the array does not end after element %d of the batch", len(events)-1)}
	}
	return events, nil
}

// objectEnd returns the index after the object that begins at b[i], or -1. It counts brackets and does not
// use the nesting limit, which is one of the data alone.
func objectEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '{' {
		return -1
	}
	if end := jsontext.SpanEnd(b, i); end > i {
		return end
	}
	return -1
}

// SplitSequence cuts JSON objects that follow each other, one a line or with any white space between them,
// and is for the rest like Split. It has no limit of its own: the caller limits b.
func SplitSequence(b []byte) ([][]byte, error) {
	var events [][]byte
	for i := jsontext.SkipSpace(b, 0); i < len(b); {
		end := objectEnd(b, i)
		if end < 0 {
			return nil, &Error{Msg: fmt.Sprintf(
				"what follows event %d is not a JSON object, or has no end", len(events))}
		}
		events = append(events, b[i:end:end])
		i = jsontext.SkipSpace(b, end)
	}
	return events, nil
}
