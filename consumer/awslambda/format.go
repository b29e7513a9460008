package awslambda

import (
	"fmt"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// Format is what a message may be. An authenticated quarantine record (consumer.QuarantineKeys), sent to
// have its event reopened, is taken under every Format: only a consumer whose consumer.Quarantine has its
// key believes it.
type Format int

// The formats.
const (
	// FormatAuto decides by the top-level members of the message, each of which no other format can have:
	// "detail-type" makes it an EventBridge event, "unverified_id" a quarantine record; without these it is
	// a CloudEvent. A message that has the members of two formats, or is no JSON object with unique members,
	// is malformed.
	//
	// A message that has none of these members may be in a wrapper that an AWS service put around it
	// (consumer.Wrapped). The wrapper is then taken off. The account and the replay name in it count only if
	// consumer.Options.Wrapper names that wrapper. The other formats take no wrapper, and the verdict says
	// which one it was.
	FormatAuto Format = iota
	// FormatEventBridge takes EventBridge events only, as EventBridge puts them into a queue without an
	// input transformer.
	FormatEventBridge
	// FormatCloudEvent takes sealed CloudEvents only. A producer sends them to the queue itself, or a rule
	// sends them with the input path "$.detail". The account of such an event is not known.
	FormatCloudEvent
)

// maxReplayName is the longest name that a replay can have.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_StartReplay.html
const maxReplayName = 64

// maxScan is the largest message that readShape looks into, in bytes. Lambda delivers no larger one. The
// consumer refuses a larger one as a CloudEvent that is too large.
const maxScan = maxBatch

// shape is what the top-level members of a message say.
type shape struct {
	detailType, record, event bool   // the members that tell the formats apart
	batch                     bool   // several messages, not one
	several                   string // what they are, if that is known
	wrapped                   bool   // in a wrapper, or known as something of AWS that holds no event
	replayName                string
}

// message is the body, in the format that its shape shows. A body that fits no format counts as a
// CloudEvent, and the consumer finds it malformed.
func (a *adapter) message(body []byte) (consumer.Message, shape) {
	s, ok := readShape(body)
	msg := consumer.Message{Body: body}
	switch {
	case ok && s.record && !s.detailType && !s.event:
		msg.Format = consumer.QuarantineRecord
	case a.opts.Format == FormatEventBridge,
		a.opts.Format == FormatAuto && ok && s.detailType && !s.record && !s.event:
		msg.Format = consumer.EventBridge
	case a.opts.Format == FormatAuto && s.wrapped:
		msg.Format = consumer.Wrapped // the core knows whether the name in it counts
	}
	if a.opts.OnlyEventBridgeWrites && (ok && msg.Format == consumer.EventBridge ||
		msg.Format == consumer.Wrapped) {
		msg.ReplayName = s.replayName
	}
	return msg, s
}

// readShape looks at the top level only: the consumer parses the rest. It is not ok if the message is no
// JSON object, or has a member twice.
func readShape(body []byte) (s shape, ok bool) {
	if len(body) > maxScan {
		return s, false
	}
	r := jsontext.NewDecoder(body)
	if r.PeekKind() == '[' {
		if s, ok = lookInto(body); !ok {
			s.batch = true
		}
		return s, false
	}
	records, text := false, false
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "detail-type":
			s.detailType = true
		case "unverified_id":
			s.record = true
		case "specversion":
			s.event = true
		case "detail":
			text = r.PeekKind() == '"'
		case "Records":
			records = r.PeekKind() == '['
		case "replay-name":
			s.replayName = readReplayName(&r)
			continue
		}
		r.ReadSpan()
	}
	if r.End() != nil {
		return shape{}, false
	}
	if s.record || s.event || s.detailType && !text {
		return s, true
	}
	if found, known := lookInto(body); known {
		return found, true
	}
	s.batch = records
	return s, true
}

// lookInto finds the wrapper that an AWS service put around the message. A list with one record is one
// message, except for a batch of SQS, which needs the function SQS.
func lookInto(body []byte) (s shape, ok bool) {
	f, ok := wrapper.Look(body)
	if !ok {
		return shape{}, false
	}
	s.wrapped = true
	if s.batch = len(f.Items) > 1 || f.Several || f.Batch; s.batch {
		s.several = fmt.Sprintf("%d messages (%s each)", len(f.Items), f.Kind)
		if f.Problem != nil {
			s.several = f.Problem.Cause
		}
	}
	if o, _ := wrapper.Open(body); o != nil && o.EventBridge {
		inner, _ := readShape(o.Body)
		s.replayName = inner.replayName
	}
	return s, true
}

// readReplayName is the name of a replay. A name that no replay can have is none, and the event is judged
// without it.
func readReplayName(r *jsontext.Decoder) string {
	if r.PeekKind() != '"' {
		r.ReadSpan()
		return ""
	}
	name := r.Bytes()
	if len(name) > maxReplayName {
		return ""
	}
	return string(name)
}
