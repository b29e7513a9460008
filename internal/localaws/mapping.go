package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Mapping is how a function is fed from a queue. The zero value is what AWS does by default, one batch at a
// time.
type Mapping struct {
	BatchSize   int // messages in an invocation, at most; 0 = 10
	Concurrency int // invocations at a time; 0 = 1
	// ReportBatchItemFailures = true: the function's response says which messages stay in the queue; false:
	// the response is ignored.
	ReportBatchItemFailures bool
	// Timeout of the function, in real time: then it is killed, and its later response is lost; 0 = none.
	Timeout  time.Duration
	Disabled bool          // true: the mapping is listed, as disabled, and polls nothing
	Window   time.Duration // MaximumBatchingWindowInSeconds: listed, without effect
	Filter   string        // a pattern: listed, without effect; "" = none
}

// mapping is one that was made.
type mapping struct {
	Mapping
	id, queue, function string // queue is an ARN, function a name
	invoke              Handler
	made                time.Time
	loaded              bool // from the journal: its function is yet to come
}

// MapQueue makes a function of f, with the name, and feeds it from the queue until the server is closed, as a
// Lambda event source mapping does: an error, a panic and the end of its time leave the whole batch in the
// queue, where it is visible again after the queue's visibility timeout. With nil for f the mapping is only
// listed. The context of an invocation has the function's deadline.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
func (s *Server) MapQueue(queueARN, name string, f Handler, opts *Mapping) error {
	m := &mapping{id: newUUID(), queue: queueARN, function: name, invoke: f, made: s.opts.Now()}
	if opts != nil {
		m.Mapping = *opts
	}
	if m.BatchSize == 0 {
		m.BatchSize = 10
	}
	if m.Concurrency == 0 {
		m.Concurrency = 1
	}
	s.queues.mu.Lock()
	q := s.queueByARN(queueARN)
	s.queues.mu.Unlock()
	if q == nil {
		return fmt.Errorf("localaws: there is no queue %s", queueARN)
	}
	s.mu.Lock()
	s.ensureFunction(name)
	s.addMapping(m)
	s.mu.Unlock()
	if err := s.journal.sync(); err != nil || m.Disabled || f == nil {
		return err
	}
	for range m.Concurrency {
		s.background.Go(func() { s.poll(m) })
	}
	return nil
}

// poll invokes the function with one batch after the other.
func (s *Server) poll(m *mapping) {
	look := time.NewTicker(s.look)
	defer look.Stop()
	for s.ctx.Err() == nil {
		q, batch, changed := s.nextBatch(m)
		if len(batch) > 0 {
			s.invoke(m, q, batch)
			continue
		}
		select {
		case <-s.ctx.Done():
		case <-changed:
		case <-look.C:
		}
	}
}

func (s *Server) nextBatch(m *mapping) (*queue, []receivedMessage, <-chan struct{}) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queueByARN(m.queue)
	if q == nil {
		return nil, nil, s.queues.changed
	}
	all := []string{"All"}
	var batch []receivedMessage
	for _, got := range s.take(q, m.BatchSize, q.seconds("VisibilityTimeout")) {
		batch = append(batch, s.show(got, &receiveInput{AttributeNames: all, MessageAttributeNames: all}))
	}
	return q, batch, s.queues.changed
}

// invoke hands over a batch and deletes what was handled. A batch that is too large for one invocation is
// halved. It reports whether all of it was handled: otherwise the rest of a FIFO batch waits.
func (s *Server) invoke(m *mapping, q *queue, batch []receivedMessage) (all bool) {
	event := s.batchEvent(m.queue, batch)
	if half := len(batch) / 2; half > 0 && len(event) > maxPayload {
		all = s.invoke(m, q, batch[:half])
		return (all || !q.fifo) && s.invoke(m, q, batch[half:]) && all
	}
	ctx, cancel := s.ctx, context.CancelFunc(func() {})
	if m.Timeout > 0 {
		ctx, cancel = context.WithTimeout(s.ctx, m.Timeout)
	}
	defer cancel()
	response, err := m.run(ctx, event)
	if err != nil || ctx.Err() != nil {
		return false
	}
	failed, err := m.failures(response, batch)
	if err != nil {
		return false
	}
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	for _, got := range batch {
		if !failed[got.MessageID] {
			s.deleteByReceipt(q, &receiptEntry{ReceiptHandle: got.ReceiptHandle})
		}
	}
	s.journal.flush()
	return len(failed) == 0
}

// run is one invocation. A panic is an error, as a process that dies is one.
func (m *mapping) run(ctx context.Context, event json.RawMessage) (response []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("localaws: the function panicked: %v", p)
		}
	}()
	out, err := m.invoke(ctx, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// failures returns the messages that the function reports as failed. It returns an error where the service
// takes the whole batch for failed: a response that it cannot read, an identifier that is empty or belongs to
// no message.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func (m *mapping) failures(response []byte, batch []receivedMessage) (map[string]bool, error) {
	if !m.ReportBatchItemFailures {
		return nil, nil
	}
	var r struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := json.Unmarshal(response, &r); err != nil {
		return nil, err
	}
	failed, known := map[string]bool{}, map[string]bool{}
	for _, got := range batch {
		known[got.MessageID] = true
	}
	for _, f := range r.BatchItemFailures {
		if !known[f.ItemIdentifier] {
			return nil, errors.New("localaws: an item that failed is none of the batch")
		}
		failed[f.ItemIdentifier] = true
	}
	return failed, nil
}

// batchEvent is what the function gets.
// https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
func (s *Server) batchEvent(arn string, batch []receivedMessage) json.RawMessage {
	type attribute struct {
		StringValue      *string  `json:"stringValue,omitempty"`
		BinaryValue      []byte   `json:"binaryValue,omitempty"`
		StringListValues []string `json:"stringListValues"`
		BinaryListValues []string `json:"binaryListValues"`
		DataType         string   `json:"dataType"`
	}
	type record struct {
		MessageID              string               `json:"messageId"`
		ReceiptHandle          string               `json:"receiptHandle"`
		Body                   string               `json:"body"`
		Attributes             map[string]string    `json:"attributes"`
		MessageAttributes      map[string]attribute `json:"messageAttributes"`
		MD5OfMessageAttributes string               `json:"md5OfMessageAttributes,omitempty"`
		MD5OfBody              string               `json:"md5OfBody"`
		EventSource            string               `json:"eventSource"`
		EventSourceARN         string               `json:"eventSourceARN"`
		AWSRegion              string               `json:"awsRegion"`
	}
	var event struct{ Records []record }
	for _, m := range batch {
		attributes := map[string]attribute{}
		for name, a := range m.MessageAttributes {
			attributes[name] = attribute{a.StringValue, a.BinaryValue, []string{}, []string{}, a.DataType}
		}
		event.Records = append(event.Records, record{
			m.MessageID, m.ReceiptHandle, m.Body, m.Attributes, attributes, m.MD5OfMessageAttributes,
			m.MD5OfBody, "aws:sqs", arn, s.opts.Region,
		})
	}
	return plainJSON(event)
}

// DrainQueue waits until a queue holds no message: none visible, delayed or in flight. Drain comes before it,
// if events are on their way to the queue.
func (s *Server) DrainQueue(ctx context.Context, arn string) error {
	look := time.NewTicker(s.look)
	defer look.Stop()
	for sweep := true; ; {
		left, changed := s.left(arn, sweep)
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("localaws: %d messages are left in %s: %w", left, arn, context.Cause(ctx))
		case <-changed:
			sweep = false
		case <-look.C:
			sweep = true // the clock may have moved
		}
	}
}

func (s *Server) left(arn string, sweep bool) (n int, changed <-chan struct{}) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queueByARN(arn)
	if q == nil {
		return 0, nil
	}
	if sweep {
		s.sweep(q, s.opts.Now())
	}
	return q.messages.Len(), s.queues.changed
}

type listedMapping struct {
	UUID, EventSourceArn, FunctionArn, State string
	BatchSize                                int
	FunctionResponseTypes                    []string
	LastModified                             float64
	MaximumBatchingWindowInSeconds           int
	FilterCriteria                           *filterCriteria `json:",omitempty"`
	ScalingConfig                            *scaling        `json:",omitempty"`
}

type filterCriteria struct{ Filters []filter }

type filter struct{ Pattern string }

type scaling struct{ MaximumConcurrency int }

type listMappingsOutput struct{ EventSourceMappings []listedMapping }

func (s *Server) listMappings(in *functionInput) (*listMappingsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := ""
	if in.FunctionName != "" {
		f, err := s.findFunction(in.FunctionName)
		if err != nil {
			return nil, err
		}
		wanted = f.name
	}
	out := &listMappingsOutput{EventSourceMappings: []listedMapping{}}
	for _, m := range s.mappings {
		if wanted != "" && m.function != wanted || in.EventSourceArn != "" && m.queue != in.EventSourceArn {
			continue
		}
		out.EventSourceMappings = append(out.EventSourceMappings, s.listed(m))
	}
	return out, nil
}

func (s *Server) listed(m *mapping) listedMapping {
	l := listedMapping{
		UUID: m.id, EventSourceArn: m.queue, FunctionArn: s.functionARN(m.function), State: "Enabled",
		BatchSize:             m.BatchSize,
		FunctionResponseTypes: []string{}, LastModified: seconds(m.made),
		MaximumBatchingWindowInSeconds: int(m.Window / time.Second),
	}
	if m.Filter != "" {
		l.FilterCriteria = &filterCriteria{[]filter{{m.Filter}}}
	}
	if m.Disabled {
		l.State = "Disabled"
	}
	if m.ReportBatchItemFailures {
		l.FunctionResponseTypes = append(l.FunctionResponseTypes, "ReportBatchItemFailures")
	}
	if m.Concurrency > 1 { // AWS takes 2 at least
		l.ScalingConfig = &scaling{m.Concurrency}
	}
	return l
}
