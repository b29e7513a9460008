// Package wrapper recognises the envelopes that AWS services put around a message: an SNS envelope, the
// record of a failed invocation, a record of SQS, Kinesis or Kafka, a log event. It takes the message out. If
// there is no message, it says what the document is and what to do.
//
// Nothing here is verified, and nothing is fetched. An attacker who can publish an event can give it a detail
// that looks like a wrapper, with any account in it. So callers believe what a wrapper says beside the signed
// event only if an option names that wrapper.
//
// One wrapper is opened, and only around the whole message. A document with the members of a sealed event is
// that event, even if it has members of a wrapper, too. A document that could be two wrappers is refused.
package wrapper

import (
	"bytes"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// Opened is the one event in a wrapper.
type Opened struct {
	Kind        Kind
	Body        []byte
	EventBridge bool // Body is an EventBridge event, not a CloudEvent
}

// Open takes the event out of a message that is one wrapper around one event. If there is no event, it says
// why. Both results are nil if the message is no wrapper that is known.
func Open(doc []byte) (*Opened, *Problem) {
	if len(doc) > MaxMessage {
		return nil, nil
	}
	f, ok := Look(doc)
	switch {
	case !ok:
		return nil, nil
	case f.Problem != nil:
		return nil, f.Problem
	case f.Batch:
		return nil, problem("send each message on its own", "a batch of SQS messages in one message")
	case len(f.Items) > 1:
		return nil, problem("send each message on its own: an answer for all of them could lose some",
			"%d messages in one (%s each)", len(f.Items), f.Kind)
	}
	it := &f.Items[0]
	if it.Problem != nil {
		return nil, it.Problem
	}
	bus, p := Event(it.Text)
	if p != nil {
		return nil, &Problem{Cause: f.Kind.String() + ": " + p.Cause, Fix: p.Fix, Large: p.Large}
	}
	return &Opened{Kind: f.Kind, Body: it.Text, EventBridge: bus}, nil
}

// Anonymous is the event without the members for which only the wrapper could vouch: the account and the name
// of a replay. The rest stays byte for byte, so that it is judged as it would be without a wrapper. It is
// nil, which is malformed, if the body is no object with unique members.
func (o *Opened) Anonymous() []byte {
	if !o.EventBridge {
		return o.Body
	}
	out := append(make([]byte, 0, len(o.Body)), '{')
	r := jsontext.NewDecoder(o.Body)
	for obj := r.Object(); r.Member(&obj); {
		name := string(obj.Name)
		r.ReadSpan()
		if name == "account" || name == "replay-name" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, o.Body[obj.Start:r.Offset()]...)
	}
	if r.End() != nil {
		return nil
	}
	return append(out, '}')
}

// Kind is a wrapper.
type Kind string

// The wrappers that are opened.
const (
	SNS        Kind = "sns"         // an SNS notification, without raw message delivery or to a function
	OnFailure  Kind = "on-failure"  // the record of an asynchronous invocation in a function's destination
	SQS        Kind = "sqs"         // a message of SQS with its attributes, as Lambda, pipes and SQS give it
	Kinesis    Kind = "kinesis"     // a record of a Kinesis stream
	Kafka      Kind = "kafka"       // a record of a Kafka topic, as Lambda and pipes give it
	Logs       Kind = "logs"        // a log event of CloudWatch Logs
	TextDetail Kind = "text-detail" // an EventBridge event whose detail is a string: it was encoded twice
)

// Kinds are all of them.
func Kinds() []Kind { return []Kind{SNS, OnFailure, SQS, Kinesis, Kafka, Logs, TextDetail} }

var descriptions = map[Kind]string{
	SNS: "an SNS envelope", OnFailure: "the record of a Lambda destination", SQS: "a record of SQS",
	Kinesis: "a record of Kinesis", Kafka: "a record of Kafka", Logs: "a CloudWatch log event",
	TextDetail: "an EventBridge event whose detail is a string",
}

// String describes the wrapper for people.
func (k Kind) String() string { return descriptions[k] }

// Problem is why there is no event to open. Its text quotes nothing of the document.
type Problem struct {
	Cause string
	Fix   string
	Large bool // something is too large
}

// Error is the cause.
func (p *Problem) Error() string { return p.Cause }

func problem(fix, format string, args ...any) *Problem {
	return &Problem{Cause: fmt.Sprintf(format, args...), Fix: fix}
}

// Item is one message in a wrapper. Nothing has looked into its text yet.
type Item struct {
	Text    []byte
	Problem *Problem // not nil: there is no text
}

// Found is what a document was recognised as.
type Found struct {
	Kind  Kind
	Batch bool // a batch of SQS messages, of any length: a Lambda event or an answer of ReceiveMessage
	Items []Item

	// Problem is why a document that is known holds no message that could be opened; Kind is "" then.
	Problem *Problem
	// Several says that the document with the Problem is a list that may hold events, so that one answer for
	// all could lose some.
	Several bool
}

// Limits of what is looked at.
const (
	MaxDocument = 64 << 20 // bytes: ten messages of SQS in an answer that escapes every byte
	MaxMessage  = 8 << 20  // bytes, for Open: Lambda delivers 6 MB
	MaxItems    = 10_000   // messages: the largest batch of an event source mapping
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
	case doc[0] == '[': // a pipe sends an array of records of one source
		return readList([][]byte{doc}, []Kind{SQS, Kinesis, Kafka}, nil)
	case doc[0] != '{':
		return Found{}, false
	}
	m, ok := readMembers(doc)
	if !ok || m.event() {
		return Found{}, false
	}
	if f, ok := m.list(); ok {
		return f, true
	}
	return m.one()
}

// maxText is the longest text that is taken out of a wrapper: the largest event, and room for the members
// that EventBridge adds around it.
const maxText = wire.MaxEvent + 64<<10

// consoleTexts are the messages in the test events of the Lambda console.
var consoleTexts = map[string]bool{
	"Hello from SQS!": true, "Hello from SNS!": true, "example message": true,
	"Hello, this is a test 123.": true, "Hello World": true,
}

// Event says what the text in a wrapper is: a CloudEvent or an EventBridge event. Any other text is a
// Problem.
func Event(text []byte) (eventBridge bool, p *Problem) {
	text = bytes.Trim(text, " \t\r\n")
	switch {
	case len(text) == 0:
		return false, problem("look at the program that should have written it", "there is nothing in it")
	case len(text) > maxText:
		p := problem("send large data by reference (dataref), or split it", "it holds more than %d bytes",
			maxText)
		p.Large = true
		return false, p
	case consoleTexts[string(text)]:
		return false, testEvent
	case bytes.HasPrefix(text, []byte{0x1f, 0x8b}):
		return false, problem("unpack it first; CloudWatch Logs sends logs, which may have events in them",
			"it holds gzip")
	case bytes.HasPrefix(text, []byte{0xf3, 0x89, 0x9a, 0xc2}):
		return false, problem("take the records apart before they are opened, or switch the aggregation off",
			"it holds records that the Kinesis Producer Library aggregated")
	case text[0] == '[':
		return false, problem("send each event as a message of its own", "it holds an array")
	case text[0] != '{':
		return false, problem("give the message as its sender wrote it",
			"it holds text that is no JSON object")
	}
	m, ok := readMembers(text)
	if !ok {
		return false, problem("look for what changed it on its way",
			"it holds an object that is not strict JSON with unique members")
	}
	event, bus := m.has("specversion", 0), m.has("detail-type", 0)
	switch {
	case m.has("unverified_id", 0):
		return false, problem("send the record itself to the consumer's queue",
			"it holds a quarantine record")
	case event && bus:
		return false, problem("send the event that was sealed",
			`it holds both "specversion" and "detail-type"`)
	case event:
		return false, nil
	case bus && !m.has("detail", '"'):
		return true, nil
	}
	if f, ok := Look(text); ok {
		what := "another wrapper"
		if f.Kind != "" {
			what = f.Kind.String()
		}
		return false, problem("send what the outer wrapper holds as a message of its own; "+
			"of SNS, switch on raw message delivery", "it holds %s: no more than one wrapper is opened", what)
	}
	return false, problem("send the event that was sealed",
		`it holds no event: neither "specversion" nor "detail-type"`)
}
