package localaws

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxBatch and maxBatchBytes bound every batch.
const (
	maxBatch      = 10
	maxBatchBytes = 1 << 20
)

// maxAttributes is how many attributes a message may have.
const maxAttributes = 10

// dedupWindow is how long a FIFO queue remembers what was sent.
const dedupWindow = 5 * time.Minute

// firstSequence has the 20 digits that the service's numbers have.
const firstSequence uint64 = 18_100_000_000_000_000_000

type messageAttribute struct {
	DataType    string
	StringValue *string `json:",omitempty"`
	BinaryValue []byte  `json:",omitempty"`
}

type sendEntry struct {
	ID                      string `json:"Id"`
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]messageAttribute
	MessageSystemAttributes map[string]messageAttribute
	MessageGroupID          string `json:"MessageGroupId"`
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
}

type sendInput struct {
	QueueURL string `json:"QueueUrl"`
	sendEntry
}

type sendResult struct {
	ID                           string `json:"Id,omitempty"`
	MessageID                    string `json:"MessageId"`
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	SequenceNumber               string `json:",omitempty"`
}

func (s *Server) sendMessage(in *sendInput) (*sendResult, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	m, f := s.enqueueMessage(q, &in.sendEntry)
	if f != nil {
		return nil, f
	}
	return sent(&in.sendEntry, m), nil
}

// sent is what the sender is told, of what it sent: of a duplicate, the message is the earlier one.
func sent(e *sendEntry, m *message) *sendResult {
	return &sendResult{
		ID: e.ID, MessageID: m.id, MD5OfMessageBody: md5Text(e.MessageBody),
		MD5OfMessageAttributes:       md5Attributes(e.MessageAttributes),
		MD5OfMessageSystemAttributes: md5Attributes(e.MessageSystemAttributes), SequenceNumber: m.sequence,
	}
}

type sendBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendEntry
}

type sendBatchOutput struct {
	Successful []*sendResult `json:",omitempty"`
	Failed     []entryFault  `json:",omitempty"`
}

func (s *Server) sendMessageBatch(in *sendBatchInput) (*sendBatchOutput, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries, func(e *sendEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	size := 0
	for i := range in.Entries {
		size += in.Entries[i].size()
	}
	if size > maxBatchBytes {
		return nil, refuseSQS("BatchRequestTooLong",
			"Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, size)
	}
	out := &sendBatchOutput{}
	for i := range in.Entries {
		e := &in.Entries[i]
		if m, f := s.enqueueMessage(q, e); f != nil {
			out.Failed = append(out.Failed, f.entry(e.ID))
		} else {
			out.Successful = append(out.Successful, sent(e, m))
		}
	}
	return out, nil
}

var batchIDPattern = expression(`^[-_A-Za-z0-9]{1,80}$`)

// checkBatch refuses a batch as a whole.
func checkBatch[E any](entries []E, id func(*E) string) error {
	switch n := len(entries); {
	case n == 0:
		return refuseSQS("EmptyBatchRequest", "There should be at least one entry in the request.")
	case n > maxBatch:
		return refuseSQS("TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
	}
	seen := map[string]bool{}
	for i := range entries {
		switch id := id(&entries[i]); {
		case !batchIDPattern().MatchString(id):
			return refuseSQS("InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		case seen[id]:
			return refuseSQS("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		default:
			seen[id] = true
		}
	}
	return nil
}

// enqueueMessage checks a message and puts it into the queue. The rows change with it. It is called with the
// lock held.
func (s *Server) enqueueMessage(q *queue, e *sendEntry, also ...row) (*message, *fault) {
	if f := q.check(e); f != nil {
		return nil, f
	}
	now := s.opts.Now()
	m := &message{id: newUUID(), body: e.MessageBody, attributes: e.MessageAttributes,
		group: e.MessageGroupID, sent: now, entered: now, visibleAt: now}
	if trace := e.MessageSystemAttributes["AWSTraceHeader"].StringValue; trace != nil {
		m.trace = *trace
	}
	delay := q.int("DelaySeconds")
	if e.DelaySeconds != nil {
		delay = *e.DelaySeconds
	}
	if delay > 0 {
		m.visibleAt, m.delayed = now.Add(time.Duration(delay)*time.Second), true
	}
	if q.fifo {
		earlier, rows := s.deduplicate(q, m, e.MessageDeduplicationID)
		also = append(also, rows...)
		if earlier != nil {
			s.journal.change(also...)
			return earlier, nil
		}
	} else if m.again = s.chance(s.opts.Queues.Duplicate); m.again {
		m.twin = s.pick(2) == 0
	}
	m.order = s.newOrder()
	m.key = orderKey(m.order)
	q.add(m)
	s.opts.Watch.queued(q, "", m)
	s.saveNew(q, m, also)
	s.queues.wake()
	return m, nil
}

func (q *queue) add(m *message) {
	q.byID[m.id] = q.messages.PushBack(m)
	q.groups[m.group]++
}

// deduplicate gives the message its number in the queue, or returns the one that was sent before it. The rows
// are to change with the message.
func (s *Server) deduplicate(q *queue, m *message, id string) (earlier *message, rows []row) {
	if m.dedup = id; id == "" {
		sum := sha256.Sum256([]byte(m.body))
		m.dedup = hex.EncodeToString(sum[:])
	}
	key := m.dedup
	if q.attributes["DeduplicationScope"] == "messageGroup" {
		key = fmt.Sprintf("%q %s", m.group, m.dedup)
	}
	for _, old := range q.forget(m.entered) {
		rows = append(rows, row{bucketSent, sentKey(q, old), nil})
	}
	if earlier = q.sent[key]; earlier != nil {
		return earlier, rows
	}
	q.sequence++
	m.sequence = fmt.Sprint(firstSequence + q.sequence)
	q.remember(key, m)
	if s.journal != nil {
		rows = append(rows, sentRows(q, key, m)...)
	}
	return nil, rows
}

// remembered is what a FIFO queue took, for as long as it looks for duplicates.
type remembered struct {
	key     string
	message *message
}

func (q *queue) remember(key string, m *message) {
	q.sent[key] = m
	q.sentInOrder = append(q.sentInOrder, remembered{key, m})
}

// forget returns the keys of what was sent too long ago to have duplicates.
func (q *queue) forget(now time.Time) (keys []string) {
	for len(q.sentInOrder) > 0 && now.Sub(q.sentInOrder[0].message.entered) >= dedupWindow {
		old := q.sentInOrder[0]
		q.sentInOrder = q.sentInOrder[1:]
		delete(q.sent, old.key)
		keys = append(keys, old.key)
	}
	return keys
}

// check refuses a message.
func (q *queue) check(e *sendEntry) *fault {
	switch limit := q.int("MaximumMessageSize"); {
	case e.MessageBody == "":
		return missingParameter("MessageBody")
	case !isOrderID(e.MessageGroupID):
		return badOrderID("MessageGroupId")
	case !isOrderID(e.MessageDeduplicationID):
		return badOrderID("MessageDeduplicationId")
	case e.size() > limit:
		return invalidValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", limit)
	case !utf8.ValidString(e.MessageBody) || strings.ContainsFunc(e.MessageBody, notInXML):
		return refuseSQS("InvalidMessageContents",
			"Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	case e.DelaySeconds != nil && (*e.DelaySeconds < 0 || *e.DelaySeconds > 900):
		return invalidValue("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *e.DelaySeconds)
	case len(e.MessageAttributes) > maxAttributes:
		return invalidValue("Number of message attributes [%d] exceeds the allowed maximum [%d].",
			len(e.MessageAttributes), maxAttributes)
	}
	for name, a := range e.MessageAttributes {
		if f := a.check(name); f != nil {
			return f
		}
	}
	return q.checkOrder(e)
}

// isOrderID is for the ID of a group or a deduplication. The second is part of a key in the journal, which
// takes no key of any length.
func isOrderID(id string) bool { return len(id) <= 128 }

func badOrderID(name string) *fault {
	return invalidValue("%s can only include alphanumeric and punctuation characters. 1 to 128 in length", name)
}

// checkOrder refuses what only the other kind of queue has.
func (q *queue) checkOrder(e *sendEntry) *fault {
	const wrongKind = "Value %v for parameter %s is invalid. Reason: The request includes a parameter that is not valid for this queue type."
	switch {
	case !q.fifo && e.MessageDeduplicationID != "":
		return invalidValue(wrongKind, e.MessageDeduplicationID, "MessageDeduplicationId")
	case !q.fifo:
		return nil
	case e.MessageGroupID == "":
		return missingParameter("MessageGroupId")
	case e.DelaySeconds != nil && *e.DelaySeconds > 0:
		return invalidValue(wrongKind, *e.DelaySeconds, "DelaySeconds")
	case e.MessageDeduplicationID == "" && q.attributes["ContentBasedDeduplication"] != "true":
		return invalidValue("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// notInXML is for characters that a message may not have.
func notInXML(c rune) bool {
	return c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0xfffe || c == 0xffff
}

var attributeNamePattern = expression(`^[-_.A-Za-z0-9]{1,256}$`)

func (a *messageAttribute) check(name string) *fault {
	kind, _, _ := strings.Cut(a.DataType, ".")
	switch {
	case !attributeNamePattern().MatchString(name):
		return invalidValue("Message attribute name can contain upper and lower case score characters, digits, periods, hyphens and underscores.")
	case kind != "String" && kind != "Number" && kind != "Binary":
		return invalidValue("The message attribute '%s' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.", name)
	case kind == "Binary" && len(a.BinaryValue) == 0, kind != "Binary" &&
		(a.StringValue == nil || *a.StringValue == ""):
		return invalidValue("The message attribute '%s' must contain a non-empty value of its type.", name)
	}
	return nil
}

func (a *messageAttribute) value() []byte {
	if a.StringValue != nil {
		return []byte(*a.StringValue)
	}
	return a.BinaryValue
}

// size is the body and the attributes with their names and types.
func (e *sendEntry) size() int {
	n := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.value())
	}
	return n
}

func md5Text(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// md5Attributes is "" of none.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation
func md5Attributes(attributes map[string]messageAttribute) string {
	if len(attributes) == 0 {
		return ""
	}
	var b []byte
	field := func(text []byte) { b = append(binary.BigEndian.AppendUint32(b, uint32(len(text))), text...) }
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		field([]byte(name))
		field([]byte(a.DataType))
		transport := byte(2)
		if a.StringValue != nil {
			transport = 1
		}
		b = append(b, transport)
		field(a.value())
	}
	return md5Text(string(b))
}
