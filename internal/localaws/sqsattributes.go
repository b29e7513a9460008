package localaws

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// numeric are the attributes that are numbers, with their bounds and what they are by default.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
var numeric = map[string]struct{ low, high, initial int }{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1 << 10, 1 << 20, 1 << 20},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, maxVisibility, 30},
}

// maxVisibility is 12 hours.
const maxVisibility = 43200

// chosen are the attributes that have one of a few values, by default the first, on FIFO queues only.
var chosen = map[string][]string{
	"ContentBasedDeduplication": {"false", "true"},
	"DeduplicationScope":        {"queue", "messageGroup"},
	"FifoThroughputLimit":       {"perQueue", "perMessageGroupId"},
}

// plain are the attributes that are kept as they are.
var plain = []string{"Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
	"SqsManagedSseEnabled"}

func defaultAttributes(fifo bool) map[string]string {
	attributes := map[string]string{"SqsManagedSseEnabled": "true"}
	for name, a := range numeric {
		attributes[name] = strconv.Itoa(a.initial)
	}
	if fifo {
		attributes["FifoQueue"] = "true"
		for name, values := range chosen {
			attributes[name] = values[0]
		}
	}
	return attributes
}

// number is a number that was checked before; 0 if there is none.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// redrivePolicy is where a queue gives up messages to.
type redrivePolicy struct {
	arn string
	max int
}

// setAttributes changes all of them or none. It is called with the lock held.
func (s *Server) setAttributes(q *queue, attributes map[string]string, creating bool) error {
	redrive := q.redrive
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := attributes[name]
		if name == "RedrivePolicy" {
			var err error
			if redrive, err = s.parseRedrive(q, value); err != nil {
				return err
			}
			continue
		}
		if f := checkAttribute(q, name, value, creating); f != nil {
			return f
		}
	}
	for name, value := range attributes {
		if q.attributes[name] = value; value == "" {
			delete(q.attributes, name)
		}
	}
	q.redrive, q.modified = redrive, s.opts.Now()
	s.saveQueue(q)
	return nil
}

func checkAttribute(q *queue, name, value string, creating bool) *fault {
	bad := refuseSQS("InvalidAttributeValue", "Invalid value for the parameter %s.", name)
	if bounds, ok := numeric[name]; ok {
		if n, err := strconv.Atoi(value); err != nil || n < bounds.low || n > bounds.high {
			return bad
		}
		return nil
	}
	if values, ok := chosen[name]; ok && q.fifo {
		if !slices.Contains(values, value) {
			return bad
		}
		return nil
	}
	if slices.Contains(plain, name) || name == "FifoQueue" && q.fifo && creating {
		if name == "Policy" && value != "" && !json.Valid([]byte(value)) {
			return bad
		}
		return nil
	}
	return refuseSQS("InvalidAttributeName", "Unknown Attribute %s.", name)
}

// parseRedrive reads a policy, in which AWS takes the count as a number or as its text. "" removes it.
func (s *Server) parseRedrive(q *queue, value string) (*redrivePolicy, error) {
	if value == "" {
		return nil, nil
	}
	bad := func(reason string) error {
		return invalidValue("Value %s for parameter RedrivePolicy is invalid. Reason: %s", value, reason)
	}
	var p struct {
		DeadLetterTargetArn string
		MaxReceiveCount     any
	}
	if err := json.Unmarshal([]byte(value), &p); err != nil {
		return nil, bad("Redrive policy is not a valid JSON map.")
	}
	count, err := strconv.Atoi(fmt.Sprint(p.MaxReceiveCount))
	switch to := s.queueByARN(p.DeadLetterTargetArn); {
	case p.DeadLetterTargetArn == "" || p.MaxReceiveCount == nil:
		return nil,
			bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn or maxReceiveCount.")
	case err != nil || count < 1 || count > 1000:
		return nil, bad("Invalid value for maxReceiveCount: it must be between 1 and 1000.")
	case to == nil:
		return nil, bad("Dead letter target does not exist.")
	case to.fifo != q.fifo:
		return nil, bad("Dead-letter queue must be same type of queue as the source.")
	}
	return &redrivePolicy{p.DeadLetterTargetArn, count}, nil
}

type setQueueAttributesInput struct {
	QueueURL   string `json:"QueueUrl"`
	Attributes map[string]string
}

func (s *Server) setQueueAttributes(in *setQueueAttributesInput) (nothing, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, s.setAttributes(q, in.Attributes, false)
}

type getQueueAttributesInput struct {
	QueueURL       string `json:"QueueUrl"`
	AttributeNames []string
}

type getQueueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Server) getQueueAttributes(in *getQueueAttributesInput) (*getQueueAttributesOutput, error) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q, err := s.findQueue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	all := s.describeQueue(q)
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		_, isNumeric := numeric[name]
		_, isChosen := chosen[name]
		known := isNumeric || isChosen || slices.Contains(plain, name) || name == "RedrivePolicy" ||
			name == "FifoQueue"
		switch value, there := all[name]; {
		case name == "All":
			return &getQueueAttributesOutput{all}, nil
		case there:
			out[name] = value
		case !known:
			return nil, refuseSQS("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return &getQueueAttributesOutput{out}, nil
}

// describeQueue is all attributes, the counted ones, too.
func (s *Server) describeQueue(q *queue) map[string]string {
	now := s.opts.Now()
	s.sweep(q, now)
	visible, hidden, delayed := q.count(now)
	all := maps.Clone(q.attributes)
	all["QueueArn"] = q.arn
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.Unix(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.Unix(), 10)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(hidden)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	return all
}

func (q *queue) count(now time.Time) (visible, inFlight, delayed int) {
	for e := q.messages.Front(); e != nil; e = e.Next() {
		switch m := e.Value.(*message); {
		case !m.visibleAt.After(now):
			visible++
		case m.delayed:
			delayed++
		default:
			inFlight++
		}
	}
	return visible, inFlight, delayed
}
