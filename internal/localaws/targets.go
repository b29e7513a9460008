package localaws

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ruleTarget is a target of a rule, as it was put and is listed.
type ruleTarget struct {
	ID               string `json:"Id"`
	Arn              string
	RoleArn          string         `json:",omitempty"`
	RetryPolicy      *retryPolicy   `json:",omitempty"`
	DeadLetterConfig *deadLetter    `json:",omitempty"`
	SqsParameters    *sqsParameters `json:",omitempty"`

	rule string // its ARN
}

type retryPolicy struct {
	MaximumRetryAttempts     *int `json:",omitempty"`
	MaximumEventAgeInSeconds *int `json:",omitempty"`
}

type deadLetter struct{ Arn string }

type sqsParameters struct {
	MessageGroupID string `json:"MessageGroupId"`
}

// The limits of EventBridge for a target without a retry policy.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html
const (
	defaultRetries = 185
	defaultMaxAge  = 24 * time.Hour
)

func (t *ruleTarget) retries() int {
	if t.RetryPolicy != nil && t.RetryPolicy.MaximumRetryAttempts != nil {
		return *t.RetryPolicy.MaximumRetryAttempts
	}
	return defaultRetries
}

func (t *ruleTarget) maxAge() time.Duration {
	if t.RetryPolicy != nil && t.RetryPolicy.MaximumEventAgeInSeconds != nil {
		return time.Duration(*t.RetryPolicy.MaximumEventAgeInSeconds) * time.Second
	}
	return defaultMaxAge
}

type targetsInput struct {
	Rule, EventBusName string
	Targets            []ruleTarget
	Ids                []string
}

type targetsOutput struct {
	FailedEntryCount int
	FailedEntries    []struct{}
}

func (s *Server) putTargets(in *targetsInput) (*targetsOutput, error) {
	queues, err := s.putTargetsOf(in)
	if err != nil {
		return nil, err
	}
	for _, arn := range queues {
		s.sinkOfQueue(arn)
	}
	return &targetsOutput{FailedEntries: []struct{}{}}, nil
}

// putTargetsOf also returns the queues among the targets that were none before.
func (s *Server) putTargetsOf(in *targetsInput) (queues []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.findRule(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Targets {
		if err := s.checkTarget(&t); err != nil {
			return nil, err
		}
	}
	for _, t := range in.Targets {
		if isQueueARN(t.Arn) && s.sinks[t.Arn] == nil && !slices.Contains(queues, t.Arn) {
			queues = append(queues, t.Arn)
		}
		t.rule = s.ruleARN(b, r)
		r.remove(t.ID)
		r.targets = append(r.targets, t)
	}
	s.saveBus(b)
	return queues, nil
}

// checkTarget does not look whether a queue is there, as the service does not.
func (s *Server) checkTarget(t *ruleTarget) error {
	switch {
	case !strings.HasPrefix(t.Arn, "arn:"):
		return invalid("Parameter %s is not valid. Reason: Provided Arn is not in correct format.", t.Arn)
	case t.DeadLetterConfig != nil && (!isQueueARN(t.DeadLetterConfig.Arn) ||
		strings.HasSuffix(t.DeadLetterConfig.Arn, fifoSuffix)):
		return invalid("Parameter DeadLetterConfig is not valid. Reason: it must be the ARN of a standard SQS queue.")
	case isQueueARN(t.Arn) && strings.HasSuffix(t.Arn, fifoSuffix) &&
		(t.SqsParameters == nil || t.SqsParameters.MessageGroupID == ""):
		return invalid("Parameter(s) SqsParameters must be specified for target: %s.", t.ID)
	case t.SqsParameters != nil && !isOrderID(t.SqsParameters.MessageGroupID):
		return invalid("Parameter(s) SqsParameters are not valid for target: %s.", t.ID)
	case s.sinks[t.Arn] == nil && !strings.Contains(t.Arn, ":event-bus/") && !isQueueARN(t.Arn):
		return invalid("Target %s is none of Server.Function, Server.Endpoint, a queue or an event bus: the fake cannot deliver to it.", t.Arn)
	}
	return nil
}

func (s *Server) removeTargets(in *targetsInput) (*targetsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, r, err := s.findRule(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	r.remove(in.Ids...)
	s.saveBus(b)
	return &targetsOutput{FailedEntries: []struct{}{}}, nil
}

// remove makes a new list: deliveries may be reading the old one.
func (r *rule) remove(ids ...string) {
	var left []ruleTarget
	for _, t := range r.targets {
		if !slices.Contains(ids, t.ID) {
			left = append(left, t)
		}
	}
	r.targets = left
}

// deliverToQueue puts an event into its queue. Its errors are permanent: none passes by itself.
func (s *Server) deliverToQueue(_ context.Context, d *shipment) error {
	e := &sendEntry{MessageBody: string(d.doc)}
	if p := d.target.SqsParameters; p != nil {
		e.MessageGroupID = p.MessageGroupID
	}
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	q := s.queueByARN(d.target.Arn)
	if q == nil {
		return permanent{noQueue()}
	}
	if _, f := s.enqueueMessage(q, e, d.arrived()...); f != nil {
		return permanent{f}
	}
	d.key = ""
	return nil
}

// deadLetter puts into a queue what a target did not take, with what the service says about it.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
func (s *Server) deadLetter(arn string, d *shipment, why error, condition string) {
	text := func(value string) messageAttribute {
		return messageAttribute{DataType: "String", StringValue: &value}
	}
	code := "SDK_CLIENT_ERROR"
	if p, ok := why.(permanent); ok {
		if f, ok := p.error.(*fault); ok && f.code == noQueue().code {
			code = "NO_RESOURCE"
		}
	}
	e := &sendEntry{MessageBody: string(d.doc), MessageAttributes: map[string]messageAttribute{
		"RULE_ARN": text(d.target.rule), "TARGET_ARN": text(d.target.Arn), "ERROR_CODE": text(code),
		"ERROR_MESSAGE": text(why.Error()),
	}}
	if condition != notTried {
		e.MessageAttributes["EXHAUSTED_RETRY_CONDITION"] = text(condition)
		e.MessageAttributes["RETRY_ATTEMPTS"] = text(strconv.Itoa(d.made - 1))
	}
	s.sendTo(arn, e, d)
}

// sendTo puts a message of the service's own into a queue, if it is there.
func (s *Server) sendTo(arn string, e *sendEntry, d *shipment) {
	s.queues.mu.Lock()
	defer s.queues.mu.Unlock()
	if q := s.queueByARN(arn); q != nil {
		_, _ = s.enqueueMessage(q, e, d.arrived()...) // what the queue refuses is lost, as it is there
	}
}
