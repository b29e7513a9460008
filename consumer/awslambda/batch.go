package awslambda

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wrapper"
)

// maxBatch is the largest payload in bytes, with some room: Lambda takes 6 MB.
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const maxBatch = 8 << 20

// maxRecords is the largest batch that an event source mapping can have.
// https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
const maxRecords = 10_000

// maxMessageID is the longest messageId, in characters.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
const maxMessageID = 100

// readBatch reads the event that an event source mapping of SQS sends, in one pass. The texts of all bodies
// are in one piece of memory. If a record has no messageId that a response can name, the whole batch is
// refused: a wrong name may delete the message that failed. A pipe of EventBridge sends the records as an
// array, and takes the same response.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
func readBatch(payload []byte) ([]record, error) {
	if len(payload) > maxBatch {
		return nil, fmt.Errorf("the payload has %d bytes, Lambda takes 6 MB", len(payload))
	}
	var records []record
	found := false
	r := jsontext.NewDecoder(payload)
	if r.PeekKind() == '[' {
		records = readRecords(&r)
		return records, r.End()
	}
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "Records" {
			r.ReadSpan()
			continue
		}
		found = true
		records = readRecords(&r)
	}
	if err := r.End(); err != nil || found {
		return records, err
	}
	if _, p := wrapper.Open(payload); p != nil {
		return nil, fmt.Errorf("%w: %s", p, p.Fix)
	}
	return nil,
		errors.New(`there is no member "Records": a function that EventBridge invokes has awslambda.EventBridge`)
}

func readRecords(r *jsontext.Decoder) []record {
	var records []record
	var texts []byte // of the bodies so far
	for list := r.Array(); r.Element(&list); {
		if len(records) == maxRecords {
			r.Failf("more than %d records", maxRecords)
			break
		}
		m := record{}
		texts = readRecord(r, &m, texts)
		records = append(records, m)
	}
	return records
}

// readRecord reads a record and appends the text of its body to texts.
func readRecord(r *jsontext.Decoder, m *record, texts []byte) []byte {
	var from []byte
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "messageId":
			m.id = r.String()
		case "body":
			before := len(texts)
			texts, m.quoted, m.isText = r.ReadText(texts)
			m.body = texts[before:len(texts):len(texts)]
		case "receiptHandle":
			m.receipt = r.ReadSpan()
		case "attributes":
			readAttributes(r, m)
		case "eventSource":
			if from = r.Bytes(); string(from) != "aws:sqs" {
				r.Failf("a record of %.40q", from)
			}
		case "EventSource": // SNS spells it so
			from = r.Bytes()
			r.Failf("a record of %.40q: a function that SNS invokes has awslambda.EventBridge", from)
		case "eventSourceARN":
			fifo := bytes.HasSuffix(r.Bytes(), []byte(".fifo"))
			m.ordered = m.ordered || fifo
		default:
			r.ReadSpan()
		}
	}
	switch {
	case m.id == "":
		r.Failf("a record without a messageId")
	case len(m.id) > maxMessageID:
		r.Failf("a messageId of %d bytes", len(m.id))
	}
	return texts
}

// readAttributes finds the message group, and when and how often SQS handed the message out. A standard queue
// may have groups, too (fair queues), but they order nothing. Only a FIFO queue gives sequence numbers.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
func readAttributes(r *jsontext.Decoder, m *record) {
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "MessageGroupId":
			m.group = r.String()
		case "SequenceNumber":
			m.ordered = true
			r.ReadSpan()
		case "ApproximateFirstReceiveTimestamp":
			m.first = r.ReadSpan()
		case "ApproximateReceiveCount":
			m.receives = r.ReadSpan()
		default:
			r.ReadSpan()
		}
	}
}

// firstReceived is when SQS handed the message out for the first time, in milliseconds since 1970. Anything
// else is no such time: then the delivery is judged as one of now.
func (m *record) firstReceived() time.Time {
	if ms := number(m.first); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// number is the number that SQS says as a string; 0 = it does not say one.
func number(span []byte) int64 {
	text, err := strconv.Unquote(string(span))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
