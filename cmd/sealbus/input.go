package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/canonical"
	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/jsonwrite"
	"github.com/sealbus/sealbus/internal/strictjson"
	"github.com/sealbus/sealbus/keys"
)

// maxInput bounds standard input: ten times what the largest batch of a queue holds.
const maxInput = 64 << 20

// choice is a flag that takes one of a few words, of which the first is the default.
type choice struct {
	value string
	words []string
}

func newChoice(words ...string) choice { return choice{words[0], words} }

func (c *choice) Set(text string) error {
	if !slices.Contains(c.words, text) {
		return &exitError{code: exitUsage, err: fmt.Errorf("%q is none of %s", text, strings.Join(c.words, ", ")), fix: "use one of " + strings.Join(c.words, ", ")}
	}
	c.value = text
	return nil
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

// readEvents reads standard input without the white space around it, and says so to whoever sits before an empty terminal.
func (a *app) readEvents(what string) ([]byte, error) {
	if f, ok := a.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		a.sayf("reading %s from the terminal: paste it and press Ctrl-D, or use < FILE", what)
	}
	doc, err := io.ReadAll(io.LimitReader(a.stdin, maxInput+1))
	switch {
	case err != nil:
		return nil, unavailable("try again", "reading standard input: %w", cause(err))
	case len(doc) > maxInput:
		return nil, rejected("give it in parts", "standard input has more than %d bytes", maxInput)
	}
	return bytes.TrimSpace(doc), nil
}

// The words of --from.
const (
	fromAuto        = "auto"
	fromCloudEvent  = "cloudevent"
	fromEventBridge = "eventbridge"
	fromSQS         = "sqs"
)

// message is one event of the input, as it was delivered.
type message struct {
	body        []byte
	eventBridge bool  // body is an EventBridge event, not a CloudEvent
	err         error // the input has an entry here that holds no event
}

// open verifies the message.
func (m *message) open(ctx context.Context, trust keys.Source, opts *envelope.OpenOptions) (*envelope.Opened, error) {
	switch {
	case m.err != nil:
		return nil, m.refusal()
	case m.eventBridge:
		return envelope.OpenEventBridge(ctx, m.body, trust, opts)
	}
	return envelope.Open(ctx, m.body, trust, opts)
}

// refusal is the verdict on an entry that holds no event.
func (m *message) refusal() *envelope.Error {
	reason := envelope.ReasonMalformed
	var e *cejson.Error
	if errors.As(m.err, &e) && e.TooLarge {
		reason = envelope.ReasonTooLarge
	}
	return &envelope.Error{Reason: reason, Cause: m.err.Error(), Err: m.err}
}

// messages finds the events in the input: one, or the several of a batch, of a queue's messages or of PutEvents
// entries. Nothing is verified here, and what cannot be read is left for opening to say so. There is at least one.
func messages(doc []byte, from string) []message {
	switch {
	case len(doc) == 0:
		return []message{{err: errors.New("the input is empty: look at what should have written it")}}
	case doc[0] != '[':
		return fromObject(doc, from)
	}
	elements, err := cejson.Split(doc)
	if err != nil {
		return []message{{err: fmt.Errorf("batch: %w", err)}}
	}
	if len(elements) == 0 { // nothing was verified: success would say that something was
		return []message{{err: errors.New("an empty batch: no event in it")}}
	}
	var list []message
	for _, e := range elements {
		list = append(list, fromObject(e, from)...)
	}
	return list
}

func fromObject(doc []byte, from string) []message {
	if doc[0] != '{' {
		return []message{{err: errors.New("not a JSON object, nor an array of them: no event")}}
	}
	switch from {
	case fromCloudEvent:
		return []message{{body: doc}}
	case fromEventBridge:
		return []message{asEventBridge(doc)}
	case fromSQS:
		return fromQueue(doc)
	}
	if shapeOf(doc).queue() {
		return fromQueue(doc)
	}
	return []message{detect(doc)}
}

// shape is what the member names of a JSON object tell about it.
type shape struct {
	names map[string]byte // name to first byte of the value
}

func shapeOf(doc []byte) shape {
	s := shape{names: map[string]byte{}}
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj) && len(s.names) < 2*cejson.MaxExtensions; r.Span() {
		s.names[string(obj.Name)] = r.Kind()
	}
	return s
}

func (s shape) cloudEvent() bool { return s.names["specversion"] != 0 }
func (s shape) eventBridge() bool {
	return !s.cloudEvent() && s.names["detail-type"] != 0 && s.names["detail"] != 0
}

// record reports whether it looks like a quarantine record. Only a consumer that has the key believes one.
func (s shape) record() bool {
	return !s.cloudEvent() && s.names["detail-type"] == 0 && s.names["unverified_id"] == '"'
}

func (s shape) entry() bool { return !s.cloudEvent() && s.names["Detail"] == '"' }
func (s shape) queue() bool {
	n := s.names
	return !s.cloudEvent() && (n["Records"] == '[' || n["Messages"] == '[' || n["body"] == '"' || n["Body"] == '"')
}

// detect tells an EventBridge event, or the PutEvents entry of one, from a CloudEvent.
func detect(doc []byte) message {
	if s := shapeOf(doc); s.eventBridge() || s.entry() {
		return asEventBridge(doc)
	}
	return message{body: doc}
}

func asEventBridge(doc []byte) message {
	if !shapeOf(doc).entry() {
		return message{body: doc, eventBridge: true}
	}
	body, err := deliveryOf(doc)
	return message{body: body, eventBridge: true, err: err}
}

// deliveryOf makes of a PutEvents entry what EventBridge would deliver of it, but for what the service adds.
func deliveryOf(entry []byte) ([]byte, error) {
	var source, detailType, detail string
	r := strictjson.NewReader(entry)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "Source":
			source = r.String()
		case "DetailType":
			detailType = r.String()
		case "Detail":
			detail = r.String()
		default:
			r.Skip()
		}
	}
	if err := r.End(); err != nil {
		return nil, fmt.Errorf("PutEvents entry: %w", err)
	}
	detail = strings.TrimSpace(detail)
	if end, _, err := canonical.Scan([]byte(detail), 0); err != nil || end != len(detail) {
		return nil, errors.New("PutEvents entry: Detail is not one JSON object")
	}
	doc := jsonwrite.AppendString([]byte(`{"source":`), source)
	doc = jsonwrite.AppendString(append(doc, `,"detail-type":`...), detailType)
	doc = append(append(doc, `,"detail":`...), detail...)
	return append(doc, '}'), nil
}

// fromQueue takes the bodies out of what SQS hands out: a Lambda event ("Records"), the answer of ReceiveMessage
// ("Messages"), or one message of either.
func fromQueue(doc []byte) []message {
	var list []message
	found := false
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		name, kind := string(obj.Name), r.Kind()
		switch {
		case (name == "Records" || name == "Messages") && kind == '[':
			found = true
			for a := r.Array(); r.Element(&a); {
				list = append(list, fromRecord(r.Span(), fmt.Sprintf("%s[%d]", name, len(list))))
			}
		case (name == "body" || name == "Body") && kind == '"':
			found = true
			list = append(list, detect(r.Bytes()))
		default:
			r.Skip()
		}
	}
	switch err := r.End(); {
	case err != nil:
		return []message{{err: fmt.Errorf("queue messages: %w", err)}}
	case !found:
		return []message{{err: errors.New(`not what SQS hands out: no "Records", "Messages", "body" or "Body"`)}}
	case len(list) == 0:
		return []message{{err: errors.New("no messages in it")}}
	}
	return list
}

func fromRecord(record []byte, where string) message {
	r := strictjson.NewReader(record)
	var body []byte
	for obj := r.Object(); r.Member(&obj); {
		if n := string(obj.Name); (n == "body" || n == "Body") && r.Kind() == '"' {
			body = r.Bytes()
		} else {
			r.Skip()
		}
	}
	if err := r.End(); err != nil {
		return message{err: fmt.Errorf("%s: %w", where, err)}
	}
	if body == nil {
		return message{err: fmt.Errorf("%s: no body: it is no message of SQS", where)}
	}
	return detect(body)
}
