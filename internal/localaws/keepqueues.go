package localaws

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The buckets of SQS. The body of a message never changes, so that a receipt rewrites the small row only.
const (
	bucketQueues   = "sqs.queues"   // by name
	bucketMessages = "sqs.messages" // in the order in which they were sent
	bucketBodies   = "sqs.bodies"   // the same
	bucketSent     = "sqs.sent"     // by queue, a space and the deduplication ID in its scope
)

type keptQueue struct {
	FIFO                      bool
	Attributes                map[string]string
	RedriveARN                string
	RedriveMax                int
	Created, Modified, Purged time.Time
	Sequence                  uint64
}

// queueRow is called with the lock held, as all of these are.
func queueRow(q *queue) row {
	kept := keptQueue{FIFO: q.fifo, Attributes: q.attributes, Created: q.created, Modified: q.modified,
		Purged: q.purged, Sequence: q.sequence}
	if q.redrive != nil {
		kept.RedriveARN, kept.RedriveMax = q.redrive.arn, q.redrive.max
	}
	return putRow(bucketQueues, q.name, kept)
}

func (s *Server) saveQueue(q *queue) {
	if s.journal != nil {
		s.journal.change(queueRow(q))
	}
}

func (s *Server) loadQueue(name string, row *keptQueue) error {
	q := s.newQueue(name, row.FIFO)
	q.attributes, q.created, q.modified = row.Attributes, row.Created, row.Modified
	q.purged, q.sequence = row.Purged, row.Sequence
	if row.RedriveARN != "" {
		q.redrive = &redrivePolicy{row.RedriveARN, row.RedriveMax}
	}
	s.queues.byName[name] = q
	return nil
}

type keptBody struct {
	Body       string
	Attributes map[string]messageAttribute `json:",omitempty"`
	Trace      string                      `json:",omitempty"`
}

type keptMessage struct {
	ID, Queue              string
	Order                  uint64
	Group, Dedup, Sequence string `json:",omitempty"`
	Sent, Entered          time.Time
	VisibleAt              time.Time
	Delayed                bool      `json:",omitempty"`
	FirstReceived          time.Time `json:",omitzero"`
	Receives, Before       int       `json:",omitempty"`
	Receipt, Source        string    `json:",omitempty"`
	Again, Twin            bool      `json:",omitempty"`
}

// keptRow is the row of a message in its queue.
func (q *queue) keptRow(m *message) row {
	return putRow(bucketMessages, m.key, keptMessage{m.id, q.name, m.order, m.group, m.dedup, m.sequence, m.sent,
		m.entered, m.visibleAt, m.delayed, m.firstReceived, m.receives, m.before,
		m.receipt, m.source, m.again, m.twin})
}

// saveNew keeps a message that was sent, together with other rows.
func (s *Server) saveNew(q *queue, m *message, also []row) {
	if s.journal == nil {
		return
	}
	s.journal.change(append([]row{
		putRow(bucketBodies, m.key, keptBody{m.body, m.attributes, m.trace}), q.keptRow(m),
	}, also...)...)
}

// saveMessage keeps what changed about a message, together with other rows.
func (s *Server) saveMessage(q *queue, m *message, also ...row) {
	if s.journal != nil {
		s.journal.change(append([]row{q.keptRow(m)}, also...)...)
	}
}

// drop removes a message from its queue for good.
func (s *Server) drop(q *queue, m *message) {
	q.remove(m)
	s.journal.change(m.goneRows()...)
}

func (m *message) goneRows() []row {
	return []row{{bucketMessages, m.key, nil}, {bucketBodies, m.key, nil}}
}

// dropAll removes all messages at once, together with a change of other rows.
func (s *Server) dropAll(q *queue, also ...row) {
	for e := q.messages.Front(); e != nil; e = q.messages.Front() {
		m := e.Value.(*message)
		q.remove(m)
		also = append(also, m.goneRows()...)
	}
	s.journal.change(also...)
}

// keptSent is what a FIFO queue remembers of a message that may be gone.
type keptSent struct {
	ID, Sequence string
	Entered      time.Time
}

func sentKey(q *queue, key string) string { return q.name + " " + key }

// sentRows are what changes with a message that a FIFO queue takes. They go into the transaction of the
// message: without it, the sender's second attempt would be taken for a duplicate of nothing.
func sentRows(q *queue, key string, m *message) []row {
	return []row{queueRow(q), putRow(bucketSent, sentKey(q, key), keptSent{m.id, m.sequence, m.entered})}
}

// loadQueues also puts the messages into their queues, in order. Those in flight are visible again when their
// timeout is over.
func (s *Server) loadQueues() error {
	if err := s.journal.load(bucketQueues, decodedRow(s.loadQueue)); err != nil {
		return err
	}
	err := s.journal.load(bucketSent, decodedRow(func(key string, kept *keptSent) error {
		name, key, _ := strings.Cut(key, " ")
		q := s.queues.byName[name]
		if q == nil {
			return fmt.Errorf("there is no queue %s", name)
		}
		q.remember(key, &message{id: kept.ID, sequence: kept.Sequence, entered: kept.Entered})
		return nil
	}))
	if err != nil {
		return err
	}
	for _, q := range s.queues.byName {
		slices.SortFunc(q.sentInOrder,
			func(a, b remembered) int { return a.message.entered.Compare(b.message.entered) })
	}
	bodies := map[string]*keptBody{}
	err = s.journal.load(bucketBodies, decodedRow(func(key string, kept *keptBody) error {
		bodies[key] = kept
		return nil
	}))
	if err != nil {
		return err
	}
	return s.loadMessages(bodies)
}

func (s *Server) loadMessages(bodies map[string]*keptBody) error {
	var all []*message
	of := map[*message]*queue{}
	err := s.journal.load(bucketMessages, decodedRow(func(key string, kept *keptMessage) error {
		q, body := s.queues.byName[kept.Queue], bodies[key]
		if q == nil || body == nil {
			return fmt.Errorf("there is no queue %s, or the message has no body", kept.Queue)
		}
		m := &message{id: kept.ID, key: key, body: body.Body, attributes: body.Attributes, trace: body.Trace,
			order: kept.Order, group: kept.Group, dedup: kept.Dedup, sequence: kept.Sequence, sent: kept.Sent,
			entered: kept.Entered, visibleAt: kept.VisibleAt, delayed: kept.Delayed,
			firstReceived: kept.FirstReceived, receives: kept.Receives, before: kept.Before,
			receipt: kept.Receipt, source: kept.Source, again: kept.Again, twin: kept.Twin}
		s.sawOrder(m.order)
		all, of[m] = append(all, m), q
		return nil
	}))
	slices.SortFunc(all, func(a, b *message) int { return cmp.Compare(a.order, b.order) })
	for _, m := range all {
		q := of[m]
		q.add(m)
		if q.fifo && m.receives > 0 && m.receipt != "" {
			q.taken[m] = true
		}
	}
	return err
}
