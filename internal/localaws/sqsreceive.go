package localaws

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type receiveInput struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
}

type receiveOutput struct {
	Messages []receivedMessage `json:",omitempty"`
}

type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string           `json:",omitempty"`
	MD5OfMessageAttributes string                      `json:",omitempty"`
	MessageAttributes      map[string]messageAttribute `json:",omitempty"`
}

// lookAgain is how often who waits for a message looks at the clock: nothing else tells that a timeout is
// over.
const lookAgain = 100 * time.Millisecond

// lookAtTestClock is the same of an injected clock, which gives no sign when it moves.
const lookAtTestClock = 10 * time.Millisecond

// receiveMessage waits real time: a long poll is one in a test whose clock stands still, too.
func (s *Server) receiveMessage(ctx context.Context, in *receiveInput) (*receiveOutput, error) {
	out, changed, err := s.receiveNow(in)
	if err != nil || len(out.Messages) > 0 {
		return out, err
	}
	end := time.NewTimer(s.waitTime(in))
	defer end.Stop()
	look := time.NewTicker(s.look)
	defer look.Stop()
	for {
		select {
		case <-end.C:
			return out, nil
		case <-ctx.Done():
			return out, nil
		case <-s.ctx.Done():
			return out, nil
		case <-changed:
		case <-look.C:
		}
		if out, changed, err = s.receiveNow(in); err != nil || len(out.Messages) > 0 {
			return out, err
		}
	}
}

// waitTime is that of the call or of the queue.
func (s *Server) waitTime(in *receiveInput) time.Duration {
	if in.WaitTimeSeconds != nil {
		return time.Duration(*in.WaitTimeSeconds) * time.Second
	}
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	if q, err := s.findQueue(in.QueueURL); err == nil {
		return q.seconds("ReceiveMessageWaitTimeSeconds")
	}
	return 0
}

// receiveNow is a short poll. The channel is closed when it is worth another one.
func (s *Server) receiveNow(in *receiveInput) (*receiveOutput, <-chan struct{}, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range [...]struct {
		name      string
		value     *int
		low, high int
	}{
		{"MaxNumberOfMessages", in.MaxNumberOfMessages, 1, maxBatch},
		{"VisibilityTimeout", in.VisibilityTimeout, 0, maxVisibility},
		{"WaitTimeSeconds", in.WaitTimeSeconds, 0, 20},
	} {
		if v := p.value; v != nil && (*v < p.low || *v > p.high) {
			return nil, nil,
				invalidValue("Value %d for parameter %s is invalid. Reason: Must be between %d and %d, if provided.", *v, p.name, p.low, p.high)
		}
	}
	most, visibility := 1, q.seconds("VisibilityTimeout")
	if in.MaxNumberOfMessages != nil {
		most = *in.MaxNumberOfMessages
	}
	if in.VisibilityTimeout != nil {
		visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	out := &receiveOutput{}
	for _, m := range s.take(q, most, visibility) {
		out.Messages = append(out.Messages, s.show(m, in))
	}
	return out, s.queues.changed, nil
}

// take receives messages, in order. It is called with the lock held.
func (s *Server) take(q *queue, most int, visibility time.Duration) (got []*message) {
	now := s.opts.Now()
	s.sweepSources(q, now)
	blocked := q.blockedGroups(now)
	for e := q.messages.Front(); e != nil && len(got) < most && !(q.fifo && len(blocked) == len(q.groups)); {
		m := e.Value.(*message)
		e = e.Next()
		switch {
		case s.leave(q, m, now) || q.fifo && blocked[m.group]:
		case m.visibleAt.After(now):
			if q.fifo { // it is delayed: what is behind it in its group waits, too
				blocked[m.group] = true
			}
		default:
			q.receive(m, now, visibility)
			s.saveMessage(q, m)
			got = append(got, m)
		}
	}
	return got
}

// blockedGroups are those with a message in flight.
func (q *queue) blockedGroups(now time.Time) map[string]bool {
	if !q.fifo {
		return nil
	}
	blocked := map[string]bool{}
	for m := range q.taken {
		if m.visibleAt.After(now) {
			blocked[m.group] = true
		}
	}
	return blocked
}

// receive hides the message until its timeout, unless it is one to be delivered to another consumer
// meanwhile.
func (q *queue) receive(m *message, now time.Time, visibility time.Duration) {
	m.visibleAt, m.delayed = now.Add(visibility), false
	if m.receives > 0 {
		m.again = false
	} else if m.again && m.twin {
		m.visibleAt = now
	}
	m.receives++
	if m.firstReceived.IsZero() {
		m.firstReceived = now
	}
	m.receipt = newReceipt(q, m)
	if q.fifo {
		q.taken[m] = true
	}
}

// leave drops a message that is too old, and moves one that was received too often and is visible again.
func (s *Server) leave(q *queue, m *message, now time.Time) bool {
	if !now.Before(m.sent.Add(q.seconds("MessageRetentionPeriod"))) {
		s.drop(q, m)
		return true
	}
	if q.redrive == nil || m.receives-m.before < q.redrive.max || m.visibleAt.After(now) {
		return false
	}
	to := s.queueByARN(q.redrive.arn)
	if to == nil {
		return false
	}
	q.remove(m)
	moved := *m // who received it may be reading it
	moved.source, moved.receipt, moved.entered, moved.visibleAt = q.arn, "", now, now
	moved.order, moved.before = s.newOrder(), m.receives
	var rows []row
	if to.fifo { // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
		moved.sent = now
		_, rows = s.deduplicate(to, &moved, newUUID())
		moved.dedup = m.dedup
	}
	to.add(&moved)
	s.opts.Watch.queued(to, q.name, &moved)
	s.saveMessage(to, &moved, rows...)
	s.queues.wake()
	return true
}

func (q *queue) remove(m *message) {
	if e := q.byID[m.id]; e != nil {
		q.messages.Remove(e)
		delete(q.byID, m.id)
		delete(q.taken, m)
		if q.groups[m.group]--; q.groups[m.group] == 0 {
			delete(q.groups, m.group)
		}
	}
}

// sweep drops and moves all that is to leave the queue, or to come to it.
func (s *Server) sweep(q *queue, now time.Time) {
	s.sweepSources(q, now)
	for e := q.messages.Front(); e != nil; {
		m := e.Value.(*message)
		e = e.Next()
		s.leave(q, m, now)
	}
}

// sweepSources sweeps the queues whose dead-letter queue this is.
func (s *Server) sweepSources(q *queue, now time.Time) {
	for _, source := range s.queues.byName {
		if source != q && source.redrive != nil && source.redrive.arn == q.arn {
			for e := source.messages.Front(); e != nil; {
				m := e.Value.(*message)
				e = e.Next()
				s.leave(source, m, now)
			}
		}
	}
}

// newReceipt names the queue and the message, so that a handle that went stale is told from one that never
// was.
func newReceipt(q *queue, m *message) string {
	return base64.StdEncoding.EncodeToString([]byte("localaws " + q.arn + " " + m.id + " " + newUUID()))
}

// findReceipt is the message of a receipt handle, nil if it is gone, and whether the handle is the newest
// one.
func (q *queue) findReceipt(handle string) (m *message, newest bool, f *fault) {
	text, err := base64.StdEncoding.DecodeString(handle)
	parts := strings.Fields(string(text))
	if err != nil || len(parts) != 4 || parts[0] != "localaws" || parts[1] != q.arn {
		return nil, false, refuseSQS("ReceiptHandleIsInvalid",
			"The input receipt handle \"%s\" is not a valid receipt handle.", handle)
	}
	e := q.byID[parts[2]]
	if e == nil {
		return nil, false, nil
	}
	m = e.Value.(*message)
	return m, m.receipt == handle, nil
}

// show is the message with the attributes that were asked for.
func (s *Server) show(m *message, in *receiveInput) receivedMessage {
	attributes := maps.Clone(m.attributes)
	maps.DeleteFunc(attributes,
		func(name string, _ messageAttribute) bool { return !wanted(in.MessageAttributeNames, name) })
	system := s.systemAttributes(m)
	names := slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames)
	maps.DeleteFunc(system, func(name, _ string) bool { return !slices.Contains(names, name) && !slices.Contains(names, "All") })
	return receivedMessage{
		MessageID: m.id, ReceiptHandle: m.receipt, MD5OfBody: md5Text(m.body), Body: m.body,
		Attributes:             system,
		MD5OfMessageAttributes: md5Attributes(attributes), MessageAttributes: attributes,
	}
}

// wanted is for a name, for "All" or ".*", and for a prefix as in "order.*".
func wanted(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, pattern := strings.CutSuffix(n, ".*")
		return n == name || n == "All" || pattern && (prefix == "" || strings.HasPrefix(name, prefix+"."))
	})
}

func (s *Server) systemAttributes(m *message) map[string]string {
	all := map[string]string{
		"SenderId": s.opts.Account, "SentTimestamp": millis(m.sent),
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		"ApproximateFirstReceiveTimestamp": millis(m.firstReceived), "MessageGroupId": m.group,
		"MessageDeduplicationId": m.dedup,
		"SequenceNumber":         m.sequence, "AWSTraceHeader": m.trace, "DeadLetterQueueSourceArn": m.source,
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
