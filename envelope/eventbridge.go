package envelope

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// Layout is how a sealed event lies in the detail of an EventBridge event.
type Layout int

// The layouts.
const (
	// Structured: the detail is the whole sealed CloudEvent.
	Structured Layout = iota
	// Embedded: the detail is the event's data, a JSON object, plus the member "cloudevent" with the
	// attributes. Rules and readers that a bus already has see the data where it always was.
	Embedded
)

// The limits of PutEvents,
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const (
	maxDetailType = 128
	maxBusSource  = 256
)

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
	if s.ev == nil {
		return nil, &SealError{Problem: "the Sealed is empty: take the one that Seal returned"}
	}
	if err := s.checkBus(layout); err != nil {
		return nil, err
	}
	entry := &Entry{Source: s.ev.Source, DetailType: s.ev.Type}
	if s.ev.Time != "" {
		entry.Time, _ = wire.ParseTime(s.ev.Time)
	}
	switch layout {
	case Structured:
		entry.Detail = s.JSON()
	case Embedded:
		entry.Detail = s.embed()
	}
	if len(entry.Detail) > wire.MaxEvent {
		return nil, tooLarge("",
			"the detail has %d bytes, the limit is %d: send large data by reference (dataref)",
			len(entry.Detail), wire.MaxEvent)
	}
	return entry, nil
}

func (s *Sealed) checkBus(layout Layout) error {
	switch {
	case layout != Structured && layout != Embedded:
		return cannotSeal("", "unknown layout %d", layout)
	case utf8.RuneCountInString(s.ev.Type) > maxDetailType:
		return cannotSeal("type", "EventBridge takes at most %d characters", maxDetailType)
	case utf8.RuneCountInString(s.ev.Source) > maxBusSource:
		return cannotSeal("source", "EventBridge takes at most %d characters", maxBusSource)
	case strings.HasPrefix(s.ev.Source, "aws."):
		return cannotSeal("source", `EventBridge reserves sources that begin with "aws."`)
	case s.ev.Form == wire.JSONData && !s.ev.Base64 && jsontext.AnyNumber(s.ev.Data, wide):
		return cannotSeal("data",
			"EventBridge refuses integers outside int64: send it as a string, or seal with Exact")
	case layout == Structured && hasExtension(s.ev, wire.EmbeddedMember):
		return cannotSeal(wire.EmbeddedMember,
			"an extension of this name would look like the embedded layout")
	case layout == Embedded:
		return s.checkEmbedded()
	}
	return nil
}

func hasExtension(e *wire.Event, name string) bool {
	for i := range e.Extensions {
		if e.Extensions[i].Name == name {
			return true
		}
	}
	return false
}

// checkEmbedded refuses data that the embedded layout cannot carry.
func (s *Sealed) checkEmbedded() error {
	if s.ev.Form != wire.JSONData || s.ev.Base64 || s.ev.Data[0] != '{' {
		return cannotSeal("data",
			"the embedded layout carries a JSON object, and no Exact data: use the structured layout")
	}
	r := jsontext.NewDecoder(s.ev.Data)
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		if name := string(obj.Name); name == wire.EmbeddedMember || name == "specversion" {
			return cannotSeal("data", "the embedded layout reserves the member %q: use the structured layout",
				name)
		}
	}
	return r.End()
}

// Warnings say which parts of this event a relay might change, so that consumers would refuse it as modified:
// one sentence each. They are about attributes and data as they stand on the wire. They are no errors: where
// no relay prints numbers or times anew, the event arrives as it is.
func (s *Sealed) Warnings() (list []string) {
	_, fraction, _ := strings.Cut(strings.TrimSuffix(s.ev.Time, "Z"), ".") // its last digit is not 0
	if n := len(fraction); n > 3 {
		list = append(list, fmt.Sprintf("time has %d digits of a fraction of a second: "+
			"a relay that keeps 3, as JavaScript does, makes the event `modified`; cut them before sealing",
			n))
	}
	if s.ev.Form == wire.JSONData && !s.ev.Base64 && jsontext.AnyNumber(s.ev.Data, jsontext.IsFragile) {
		list = append(list, "the data has numbers of 17 digits, or integers beyond 2^53: "+
			"a relay that prints numbers anew makes the event `modified`; send them as strings, or seal with Exact")
	}
	return list
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
