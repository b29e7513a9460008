package localaws

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The limits of a call and its entries.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsRequestEntry.html
const (
	maxEntries    = 10
	maxDetailType = 128
	maxSource     = 256
)

type putEventsInput struct {
	Entries    []putEntry
	EndpointID string `json:"EndpointId"`
}

// putEntry has pointers, because the service's errors tell null from "".
type putEntry struct {
	Source, DetailType, Detail, EventBusName, TraceHeader *string
	Resources                                             []string
	Time                                                  json.RawMessage
}

type putEventsOutput struct {
	FailedEntryCount int
	Entries          []putResult
}

type putResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (s *Server) putEvents(in *putEventsInput) (*putEventsOutput, error) {
	if err := s.checkCall(in); err != nil {
		return nil, err
	}
	out := &putEventsOutput{}
	for i := range in.Entries {
		result := s.putEntry(&in.Entries[i])
		if result.ErrorCode != "" {
			out.FailedEntryCount++
		}
		out.Entries = append(out.Entries, result)
	}
	return out, nil
}

// checkCall refuses the call as a whole.
func (s *Server) checkCall(in *putEventsInput) error {
	if n := len(in.Entries); n < 1 || n > maxEntries {
		bound := fmt.Sprintf("less than or equal to %d", maxEntries)
		if n == 0 {
			bound = "greater than or equal to 1"
		}
		var list []string
		for i := range in.Entries {
			list = append(list, in.Entries[i].java())
		}
		return invalid("1 validation error detected: Value '[%s]' at 'entries' failed to satisfy constraint: Member must have length %s", strings.Join(list, ", "), bound)
	}
	size := 0
	for i := range in.Entries {
		size += in.Entries[i].size()
	}
	if size >= s.opts.MaxPutBytes {
		return invalid("Total size of the entries in the request is over the limit.")
	}
	return nil
}

// size is computed as the service's reference says.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html#eb-putevent-size
func (e *putEntry) size() int {
	n := len(text(e.Source)) + len(text(e.DetailType)) + len(text(e.Detail))
	for _, r := range e.Resources {
		n += len(r)
	}
	if len(e.Time) > 0 {
		n += 14
	}
	return n
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// java is the entry as the service's own messages show it.
func (e *putEntry) java() string {
	or := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	resources, at := "null", "null"
	if e.Resources != nil {
		resources = "[" + strings.Join(e.Resources, ", ") + "]"
	}
	if len(e.Time) > 0 {
		at = string(e.Time)
	}
	return fmt.Sprintf("PutEventsRequestEntry(time=%s, source=%s, resources=%s, detailType=%s, detail=%s, eventBusName=%s, traceHeader=%s, kmsKeyIdentifier=null, internalMetadata=null)",
		at, or(e.Source), resources, or(e.DetailType), or(e.Detail), or(e.EventBusName), or(e.TraceHeader))
}

// putEntry accepts an entry or says what is wrong with it. An entry for a bus that does not exist is
// accepted, and gone.
func (s *Server) putEntry(e *putEntry) putResult {
	if f := s.checkEntry(e); f != nil {
		return *f
	}
	at, err := s.timeOf(e.Time)
	if err != nil {
		return putResult{ErrorCode: "InvalidArgument", ErrorMessage: "Parameter Time is not valid."}
	}
	ev := &event{
		id: newUUID(), detailType: *e.DetailType, source: *e.Source, account: s.opts.Account,
		region: s.opts.Region,
		at:     at, resources: e.Resources, detail: []byte(*e.Detail),
	}
	name := busNameOf(text(e.EventBusName))
	s.keep(name, ev)
	s.route(name, ev, false)
	return putResult{EventID: ev.id}
}

func (s *Server) checkEntry(e *putEntry) *putResult {
	for _, p := range [...]struct{ name, value string }{{"Source", text(e.Source)},
		{"DetailType", text(e.DetailType)}, {"Detail", text(e.Detail)}} {
		if p.value == "" {
			return &putResult{ErrorCode: "InvalidArgument",
				ErrorMessage: fmt.Sprintf("Parameter %s is not valid. Reason: %[1]s is a required argument.",
					p.name)}
		}
	}
	switch {
	case strings.HasPrefix(*e.Source, "aws."):
		return &putResult{ErrorCode: "NotAuthorizedForSourceException",
			ErrorMessage: "Not authorized for the source."}
	case utf8.RuneCountInString(*e.Source) > maxSource:
		return &putResult{ErrorCode: "InvalidArgument",
			ErrorMessage: "Parameter Source is not valid. Reason: it is too long."}
	case utf8.RuneCountInString(*e.DetailType) > maxDetailType:
		return &putResult{ErrorCode: "InvalidArgument",
			ErrorMessage: "Parameter DetailType is not valid. Reason: it is too long."}
	case !isDetail([]byte(*e.Detail)):
		return &putResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	case s.chance(s.opts.Faults.EntryThrottled):
		return &putResult{ErrorCode: "ThrottlingException", ErrorMessage: "Request was throttled."}
	case s.chance(s.opts.Faults.EntryInternal):
		return &putResult{ErrorCode: "InternalFailure", ErrorMessage: "Internal failure."}
	}
	return nil
}

// maxDepth is how deep a detail may be nested. encoding/json reads 10,000 levels, and what is made of a
// detail has more: the event has one, and the record of a failed invocation another one. A refusal here is
// told to the publisher; later there is only loss.
const maxDepth = 9_990

// isDetail wants a JSON object that is not too deep, and whose integers fit into 64 bits.
func isDetail(detail []byte) bool {
	if !bytes.HasPrefix(bytes.TrimLeft(detail, " \t\r\n"), []byte("{")) || !json.Valid(detail) {
		return false
	}
	dec := json.NewDecoder(bytes.NewReader(detail))
	dec.UseNumber()
	for depth := 0; depth <= maxDepth; {
		token, err := dec.Token()
		if err != nil {
			return true // the end: it is valid
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				depth++
			} else {
				depth--
			}
		case json.Number:
			if _, err := t.Int64(); err != nil && !strings.ContainsAny(t.String(), ".eE") {
				return false
			}
		}
	}
	return false
}

// timeOf reads a time as the SDKs send it (seconds since 1970) or as other clients do. None is now.
func (s *Server) timeOf(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return s.opts.Now().UTC(), nil
	}
	var seconds float64
	if json.Unmarshal(raw, &seconds) == nil {
		if !isTime(seconds) {
			return time.Time{}, errors.New("it has no year of four digits")
		}
		return time.UnixMilli(int64(seconds * 1000)).UTC(), nil
	}
	var str string
	if err := json.Unmarshal(raw, &str); err != nil {
		return time.Time{}, err
	}
	var at time.Time
	var err error
	for _, layout := range [...]string{time.RFC3339Nano, time.DateOnly, "2006-01-02 15:04:05Z07:00",
		"02-01-2006T15:04:05Z07:00"} {
		if at, err = time.Parse(layout, str); err == nil && isTime(float64(at.Unix())) {
			return at.UTC(), nil
		}
	}
	return time.Time{}, cmp.Or(err, errors.New("it has no year of four digits"))
}

// isTime is for seconds since 1970 that are in a year of four digits, as JSON has it.
func isTime(seconds float64) bool { return seconds >= -62_135_596_800 && seconds < 253_402_300_800 }

// newUUID is a random UUID, RFC 9562 section 5.4.
func newUUID() string {
	var u [16]byte
	rand.Read(u[:])
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
