// Package wrapper recognises what AWS services put around a message: an SNS envelope, the record of a failed
// invocation, a record of SQS, Kinesis or Kafka, a log event. It takes the message out, and says of what
// holds no message what it is and what to do.
//
// Nothing here is verified, and nothing is fetched. Anybody who can publish an event can give it a detail
// that looks like a wrapper with an account of his choice in it. So callers believe what a wrapper says
// beside the signed event only if an option names that wrapper.
//
// One wrapper is opened, and only around the whole message. What has the members of a sealed event is that
// event, whatever else it has. What could be two wrappers is none.
package wrapper

import (
	"bytes"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Kind is a wrapper.
type Kind string

// The wrappers that are opened.
const (
	SNS        Kind = "sns"         // an SNS notification: delivered without raw message delivery, or to a function
	OnFailure  Kind = "on-failure"  // the record of an asynchronous invocation, as a function's destination gets it
	SQS        Kind = "sqs"         // a message of SQS with its attributes: in a Lambda event, from a pipe, from ReceiveMessage
	Kinesis    Kind = "kinesis"     // a record of a Kinesis stream
	Kafka      Kind = "kafka"       // a record of a Kafka topic, as Lambda and pipes have it
	Logs       Kind = "logs"        // a log event of CloudWatch Logs
	TextDetail Kind = "text-detail" // an EventBridge event whose detail is a string: a rule or program encoded it twice
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{SNS, OnFailure, SQS, Kinesis, Kafka, Logs, TextDetail} }

var descriptions = map[Kind]string{
	SNS: "an SNS envelope", OnFailure: "the record of a Lambda destination", SQS: "a record of SQS", Kinesis: "a record of Kinesis",
	Kafka: "a record of Kafka", Logs: "a CloudWatch log event", TextDetail: "an EventBridge event whose detail is a string",
}

// String describes the wrapper for people.
func (k Kind) String() string { return descriptions[k] }

// Problem is why there is no event to open, in words of ours alone: nothing of the document is in them.
type Problem struct {
	Cause string
	Fix   string
	Large bool // it is that something is too large
}

// Error is the cause.
func (p *Problem) Error() string { return p.Cause }

func problem(fix, format string, args ...any) *Problem {
	return &Problem{Cause: fmt.Sprintf(format, args...), Fix: fix}
}

// Item is one message in a wrapper. Its text is not looked into yet.
type Item struct {
	Text    []byte
	Problem *Problem // not nil: there is no text
}

// Found is what a document was recognised as.
type Found struct {
	Kind  Kind
	Batch bool // it is what SQS hands out, a Lambda event or an answer of ReceiveMessage: the transport itself, however many messages it has
	Items []Item

	// Problem is that the document is known and holds no message that could be opened. Kind is "" then.
	Problem *Problem
	// Several is a Problem of a list that may hold events all the same, so that one answer for all could lose
	// some.
	Several bool
}

// Limits of what is looked at.
const (
	MaxDocument = 64 << 20 // bytes: ten messages of SQS in an answer that escapes every byte
	MaxMessage  = 8 << 20  // bytes, for Open: what Lambda delivers, 6 MB, and some room
	MaxItems    = 10_000   // messages: the largest batch that an event source mapping can have
	maxMembers  = 128      // of one object: as many as an event may have attributes
)

// Look recognises a document. It is not ok if the document is no wrapper that is known, in particular if it
// is an event itself, a quarantine record, an entry of PutEvents, or no strict JSON.
func Look(doc []byte) (f Found, ok bool) {
	if len(doc) > MaxDocument {
		return Found{}, false
	}
	doc = bytes.Trim(doc, " \t\r\n")
	switch {
	case len(doc) == 0:
		return Found{}, false
	case doc[0] == '[':
		return lookArray(doc)
	case doc[0] != '{':
		return Found{}, false
	}
	m, ok := readMembers(doc)
	if !ok {
		return Found{}, false
	}
	if f, ok := m.list(); ok {
		return f, true
	}
	return m.one()
}

// lookArray recognises what a pipe sends: an array of records of one source.
func lookArray(doc []byte) (Found, bool) {
	f, known := Found{}, false
	r := jsontext.NewDecoder(doc)
	for a := r.Array(); r.Element(&a); {
		raw := r.ReadSpan()
		m, ok := readMembers(raw)
		if !ok {
			return Found{}, false
		}
		one, ok := m.one()
		if !ok || one.Problem == nil && one.Kind != SQS && one.Kind != Kinesis && one.Kind != Kafka {
			return Found{}, false
		}
		if !f.add(one) {
			return f, true
		}
		known = true
	}
	return f.listed(true), known && r.End() == nil
}

// add adds what one record was recognised as, and reports whether more may follow.
func (f *Found) add(one Found) bool {
	items := one.Items
	if one.Problem != nil {
		items = []Item{{Problem: one.Problem}}
	}
	switch {
	case one.Kind != "" && f.Kind != "" && one.Kind != f.Kind:
		*f = Found{Several: true, Problem: problem("give the messages of one service at a time", "a list of records of several services")}
		return false
	case len(f.Items)+len(items) > MaxItems:
		*f = Found{Several: true, Problem: problem("give them in parts", "more than %d messages in one list", MaxItems)}
		f.Problem.Large = true
		return false
	case one.Kind != "":
		f.Kind = one.Kind
	}
	f.Items, f.Several = append(f.Items, items...), f.Several || one.Several
	return true
}

// listed is a list whose records were all read; not ok = they are no objects. A list in which no record holds
// a message has one problem, that of the first.
func (f Found) listed(ok bool) Found {
	switch {
	case f.Problem != nil:
		return f
	case !ok:
		return Found{Several: true, Problem: problem("give the messages as AWS delivers them", "its list of messages is no array of objects with unique members")}
	case len(f.Items) == 0:
		return Found{Problem: problem("wait for messages, as with `aws sqs receive-message --wait-time-seconds 20`", "no messages in it")}
	case f.Kind == "":
		return Found{Problem: f.Items[0].Problem, Several: f.Several}
	}
	return f
}
