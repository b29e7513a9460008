package wrapper

import (
	"bytes"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// Opened is the one event in a wrapper.
type Opened struct {
	Kind        Kind
	Body        []byte
	EventBridge bool // Body is an EventBridge event, not a CloudEvent
}

// Open takes the event out of a message that is one wrapper around one event. Without an event there is a
// problem; both are nil if the message is no wrapper that is known.
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
		return nil, problem("send each message on its own: an answer for all of them could lose some", "%d messages in one (%s each)", len(f.Items), f.Kind)
	}
	o, p := f.Items[0].event(f.Kind)
	if p != nil {
		return nil, p
	}
	return o, nil
}

func (it *Item) event(kind Kind) (*Opened, *Problem) {
	if it.Problem != nil {
		return nil, it.Problem
	}
	bus, p := Event(it.Text)
	if p != nil {
		return nil, &Problem{Cause: kind.String() + ": " + p.Cause, Fix: p.Fix, Large: p.Large}
	}
	return &Opened{Kind: kind, Body: it.Text, EventBridge: bus}, nil
}

// Anonymous is the event without what only the wrapper could vouch for: the account, and the name of a
// replay. The rest stays byte for byte, so that it is judged as it would be without a wrapper. What is no
// object with unique members is returned as nothing, which is malformed.
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
		out = append(out, r.Since(&obj)...)
	}
	if r.End() != nil {
		return nil
	}
	return append(out, '}')
}

// maxText is the longest text that is taken out of a wrapper: the largest event, and what EventBridge adds
// around it.
const maxText = wire.MaxEvent + 64<<10

// texts that the test events of the Lambda console hold.
var consoleTexts = map[string]bool{
	"Hello from SQS!": true, "Hello from SNS!": true, "example message": true, "Hello, this is a test 123.": true, "Hello World": true,
}

// Event says what the text in a wrapper is: a CloudEvent or an EventBridge event. It has a problem with
// everything else.
func Event(text []byte) (eventBridge bool, p *Problem) {
	text = bytes.Trim(text, " \t\r\n")
	switch {
	case len(text) == 0:
		return false, problem("look at what should have written it", "there is nothing in it")
	case len(text) > maxText:
		p := problem("send large data by reference (dataref), or split it", "it holds more than %d bytes", maxText)
		p.Large = true
		return false, p
	case consoleTexts[string(text)]:
		return false, testEvent
	case bytes.HasPrefix(text, []byte{0x1f, 0x8b}):
		return false, problem("unpack it first; what CloudWatch Logs sends is logs, with events in them at best", "it holds gzip")
	case bytes.HasPrefix(text, []byte{0xf3, 0x89, 0x9a, 0xc2}):
		return false, problem("take the records apart before they are opened, or switch the aggregation off", "it holds records that the Kinesis Producer Library aggregated")
	case text[0] == '[':
		return false, problem("send each event as a message of its own", "it holds an array")
	case text[0] != '{':
		return false, problem("give the message as its sender wrote it", "it holds text that is no JSON object")
	}
	return eventIn(text)
}

// eventIn reads the members that tell the formats apart.
func eventIn(doc []byte) (eventBridge bool, p *Problem) {
	m, ok := readMembers(doc)
	if !ok {
		return false, problem("look for what changed it on its way", "it holds an object that is not strict JSON with unique members")
	}
	event, bus, record := m.has("specversion", 0), m.has("detail-type", 0), m.has("unverified_id", 0)
	switch {
	case record:
		return false, problem("send the record itself to the consumer's queue", "it holds a quarantine record")
	case event && bus:
		return false, problem("send the event that was sealed", `it holds both "specversion" and "detail-type"`)
	case event:
		return false, nil
	case bus && !m.has("detail", '"'):
		return true, nil
	}
	if f, ok := Look(doc); ok {
		what := "another wrapper"
		if f.Kind != "" {
			what = f.Kind.String()
		}
		return false, problem("send what the outer wrapper holds as a message of its own; of SNS, switch on raw message delivery", "it holds %s: no more than one wrapper is opened", what)
	}
	return false, problem("send the event that was sealed", `it holds no event: neither "specversion" nor "detail-type"`)
}
