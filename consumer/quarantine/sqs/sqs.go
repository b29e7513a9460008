// Package sqs is the quarantine.Store in an Amazon SQS standard queue.
//
// A record is the body of one message. Put is done when SQS has answered. This quarantine needs little, and
// has these limits. Package quarantine/s3 has none of them:
//
//   - A record must fit into a message: 1 MiB, or 256 KiB where Options.MaxBytes says so. The body of a
//     delivery grows by a third in it, so one above about 750 KiB (180 KiB) does not fit. Put then fails,
//     and the delivery goes to its own dead-letter queue. In a FIFO queue its group waits until then, so
//     every sender can make the group wait.
//   - SQS deletes a record after the queue's retention, at most 14 days. Set it to 14 days, with an alarm on
//     the age of the oldest message.
//   - To read a message, List receives it. That hides it from others until List ends, or, if List is killed,
//     until Options.Visibility is over: each of two lists at a time sees a part. A listed message counts as
//     received, so the queue must have no redrive policy: it would move records away.
//   - If an answer is lost, the messages in it are hidden, and the list ends with ErrIncomplete. A record
//     that is sent again after a lost answer is in the queue twice, and listed once.
//   - There is no random access and no order. Get goes through the queue until it finds the record. So does
//     Remove, unless a List of the same Store has received the record.
//   - At most 120,000 messages can be hidden at a time, so no list is longer.
//
// Threats: an attacker who can send to the queue but has no key (the message is not authentic, and can be
// removed by its ID), an answer that never comes (Options.Timeout). Not stopped: an attacker who may receive
// and delete messages, or purge the queue. A FIFO queue is refused: a message that List has received would
// hide those after it.
//
//	keys, err := consumer.NewQuarantineKeys("billing", key)
//	store, err := sqs.New(awssqs.NewFromConfig(cfg), queueURL, keys, nil)
//	c, err := consumer.New("billing", trust, claims, policy, &consumer.Options{Quarantine: store})
//
// The consumer needs one permission, and the operator three more (with a customer's key on the queue also
// kms:GenerateDataKey and kms:Decrypt on that key):
//
//	{"Effect": "Allow", "Action": "sqs:SendMessage",
//	 "Resource": "arn:aws:sqs:eu-west-1:111111111111:billing-quarantine"}
//	{"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"],
//	 "Resource": "..."}
//
// Stable: New, Options, Reopen and ErrIncomplete.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/consumer/quarantine"
	"github.com/sealbus/sealbus/internal/awscall"
	"github.com/sealbus/sealbus/internal/awsname"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// The defaults of Options.
const (
	defaultMaxBytes   = 1 << 20          // the limit since 2025; before, and in many emulators, 256 KiB
	defaultVisibility = 5 * time.Minute  // long enough to go through thousands of records and act on each
	defaultWait       = 1 * time.Second  // any wait at all makes SQS ask all of its servers
	defaultTimeout    = 10 * time.Second // of a call that usually takes tens of milliseconds
)

// Bounds that SQS sets.
const (
	maxVisibility = 12 * time.Hour
	maxWait       = 20 * time.Second
)

// Sender is what Put and Reopen need of the SDK's *sqs.Client.
type Sender interface {
	SendMessage(context.Context, *sqs.SendMessageInput, ...func(*sqs.Options)) (*sqs.SendMessageOutput, error)
}

// Client is what the store needs of the SDK's *sqs.Client.
type Client interface {
	Sender
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (
		*sqs.ReceiveMessageOutput, error)
	DeleteMessage(context.Context, *sqs.DeleteMessageInput, ...func(*sqs.Options)) (
		*sqs.DeleteMessageOutput, error)
	ChangeMessageVisibilityBatch(
		context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options),
	) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// Options adjust New.
type Options struct {
	MaxBytes int // how much a message may hold; 0 = 1 MiB
	// Visibility is how long a message is hidden while it is looked at: longer than Wait and Timeout, at
	// most 12 hours; 0 = 5 minutes.
	Visibility time.Duration
	Wait       time.Duration    // for a message before the queue is taken for empty, 1 to 20 s; 0 = 1 s
	Timeout    time.Duration    // of one call, with the client's own retries, beside Wait; 0 = 10 s
	Now        func() time.Time // the clock that Visibility is measured by; nil = time.Now
}

// store is what New makes.
type store struct {
	client Client
	url    string
	keys   consumer.QuarantineKeys
	opts   Options

	mu   sync.Mutex
	held map[string][]receipt // by ID: what the Lists under way have received
}

var (
	_ quarantine.Store = (*store)(nil)
	_ Client           = (*sqs.Client)(nil)
)

// New makes the store of the standard queue with that URL.
//
// Its List takes the messages of the queue one after another, and makes all visible again when it ends.
// Within the list, Remove deletes at once. A record that is in the queue several times is listed once, and
// Remove deletes those copies that were received by then. The error that ends a list wraps ErrIncomplete if
// an answer was lost that may have had messages in it.
func New(client Client, queueURL string, keys consumer.QuarantineKeys,
	opts *Options) (quarantine.Store, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o.setDefaults()
	switch {
	case keys == (consumer.QuarantineKeys{}):
		return nil, errors.New("quarantine/sqs: no keys: make them with consumer.NewQuarantineKeys")
	case client == nil:
		return nil, errors.New("quarantine/sqs: no client: sqs.NewFromConfig of the AWS SDK makes one")
	case strings.HasSuffix(queueURL, ".fifo"):
		return nil, fmt.Errorf("quarantine/sqs: %.200s is a FIFO queue: use a standard queue", queueURL)
	}
	if err := errors.Join(nilcheck.Typed("the client", client), checkURL(queueURL), o.check()); err != nil {
		return nil, fmt.Errorf("quarantine/sqs: %w", err)
	}
	return &store{client: client, url: queueURL, keys: keys, opts: o, held: make(map[string][]receipt)}, nil
}

func checkURL(queueURL string) error {
	if _, ok := awsname.ParseQueueURL(queueURL); !ok {
		return fmt.Errorf("%.200q is not the URL of a queue", queueURL)
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Visibility == 0 {
		o.Visibility = defaultVisibility
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

func (o *Options) check() error {
	switch {
	case o.MaxBytes < 0:
		return fmt.Errorf("messages of %d bytes", o.MaxBytes)
	case o.Wait < time.Second || o.Wait > maxWait:
		return fmt.Errorf("a wait of %v: give 1s to %v", o.Wait, maxWait)
	case o.Timeout < 0:
		return fmt.Errorf("a call cannot last %v", o.Timeout)
	case o.Visibility <= o.Wait+o.Timeout || o.Visibility > maxVisibility:
		return fmt.Errorf("a visibility of %v: give more than Wait and Timeout (%v), and at most %v",
			o.Visibility, o.Wait+o.Timeout, maxVisibility)
	}
	return nil
}

// Put sends the record. The error wraps quarantine.ErrTooLarge if it does not fit into a message.
func (s *store) Put(ctx context.Context, r consumer.Record) error {
	_, doc, err := quarantine.Encode(s.keys, r)
	if err != nil {
		return err
	}
	if len(doc) > s.opts.MaxBytes {
		return fmt.Errorf(
			"%w: %d bytes, a message of this queue holds %d: keep this quarantine in S3 (package quarantine/s3)",
			quarantine.ErrTooLarge, len(doc), s.opts.MaxBytes)
	}
	ctx, done := context.WithTimeout(ctx, s.opts.Timeout)
	defer done()
	in := &sqs.SendMessageInput{QueueUrl: &s.url, MessageBody: aws.String(string(doc))}
	if err := send(ctx, s.client, in); err != nil {
		return s.failed("sqs:SendMessage", err)
	}
	return nil
}

// send is done when SQS has named the message: the SDK has compared the MD5 of what was stored by then.
func send(ctx context.Context, client Sender, in *sqs.SendMessageInput) error {
	out, err := client.SendMessage(ctx, in, again)
	switch {
	case err == nil && aws.ToString(out.MessageId) == "":
		return errors.New("the answer names no message")
	case tooLarge(err):
		return fmt.Errorf("%w: %w", quarantine.ErrTooLarge, err)
	}
	return err
}

// again has the SDK repeat every call that lost its answer: a record that is in the queue twice is handled
// once.
func again(o *sqs.Options) { o.Retryer = awscall.Retryer(o.Retryer) }

// tooLarge reports whether the message is larger than this queue takes, which its owner sets. SQS has no
// error code for that, and says in the text: "Message must be shorter than 262144 bytes."
func tooLarge(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && e.ErrorCode() == "InvalidParameterValue" &&
		strings.Contains(e.ErrorMessage(), "must be shorter than")
}

// failed is an error of the service, with the permission that the call needs.
func (s *store) failed(permission string, err error) error { return failed(s.url, permission, err) }

func failed(queueURL, permission string, err error) error {
	return fmt.Errorf("quarantine/sqs: queue %s (%s): %w", queueURL, permission, err)
}

// Keys are those that the store was made with.
func (s *store) Keys() consumer.QuarantineKeys { return s.keys }

// String keeps the key out of logs.
func (s *store) String() string { return "quarantine/sqs.New(" + s.url + ")" }
