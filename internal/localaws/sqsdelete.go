package localaws

import "time"

type receiptEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type receiptInput struct {
	QueueURL string `json:"QueueUrl"`
	receiptEntry
}

type receiptBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []receiptEntry
}

type receiptResult struct {
	ID string `json:"Id"`
}

type receiptBatchOutput struct {
	Successful []receiptResult `json:",omitempty"`
	Failed     []entryFault    `json:",omitempty"`
}

func (s *Server) deleteMessage(in *receiptInput) (nothing, error) {
	return s.withReceipt(in, (*Server).deleteByReceipt)
}

func (s *Server) deleteMessageBatch(in *receiptBatchInput) (*receiptBatchOutput, error) {
	return s.withReceipts(in, (*Server).deleteByReceipt)
}

func (s *Server) changeMessageVisibility(in *receiptInput) (nothing, error) {
	return s.withReceipt(in, (*Server).changeByReceipt)
}

func (s *Server) changeMessageVisibilityBatch(in *receiptBatchInput) (*receiptBatchOutput, error) {
	return s.withReceipts(in, (*Server).changeByReceipt)
}

// receiptAction is what is done to one message, with the lock held.
type receiptAction func(s *Server, q *queue, e *receiptEntry) *fault

func (s *Server) withReceipt(in *receiptInput, do receiptAction) (nothing, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nothing{}, err
	}
	if f := do(s, q, &in.receiptEntry); f != nil {
		return nothing{}, f
	}
	return nothing{}, nil
}

func (s *Server) withReceipts(in *receiptBatchInput, do receiptAction) (*receiptBatchOutput, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries, func(e *receiptEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	out := &receiptBatchOutput{}
	for i := range in.Entries {
		e := &in.Entries[i]
		if f := do(s, q, e); f != nil {
			out.Failed = append(out.Failed, f.entry(e.ID))
		} else {
			out.Successful = append(out.Successful, receiptResult{e.ID})
		}
	}
	return out, nil
}

// deleteByReceipt of a message that is gone, or by a handle that is not the newest, succeeds and does
// nothing: "if you don't provide the most recently received receipt handle, the request succeeds, but the
// message might not be deleted". A FIFO queue refuses a handle whose timeout is over.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
func (s *Server) deleteByReceipt(q *queue, e *receiptEntry) *fault {
	m, newest, f := q.findReceipt(e.ReceiptHandle)
	now := s.opts.Now()
	switch {
	case f != nil:
		return f
	case m == nil:
		return nil
	case q.fifo && (!newest || !m.visibleAt.After(now)):
		return invalidValue("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", e.ReceiptHandle)
	case !newest:
		return nil
	case m.again: // one of the service's servers missed it
		m.again, m.visibleAt = false, now
		s.saveMessage(q, m)
	default:
		s.drop(q, m)
	}
	s.queues.wake() // a group may have become free
	return nil
}

// changeByReceipt sets when a message in flight is visible again.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
func (s *Server) changeByReceipt(q *queue, e *receiptEntry) *fault {
	if e.VisibilityTimeout == nil {
		return missingParameter("VisibilityTimeout")
	}
	seconds := *e.VisibilityTimeout
	if seconds < 0 || seconds > maxVisibility {
		return invalidValue("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and %d.", seconds, maxVisibility)
	}
	m, newest, f := q.findReceipt(e.ReceiptHandle)
	now := s.opts.Now()
	switch {
	case f != nil:
		return f
	case m == nil || !newest:
		return invalidValue("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", e.ReceiptHandle)
	case !m.visibleAt.After(now):
		return refuseSQS("MessageNotInflight", "The specified message isn't in flight.")
	}
	m.visibleAt = now.Add(time.Duration(seconds) * time.Second)
	s.saveMessage(q, m)
	s.queues.wake()
	return nil
}
