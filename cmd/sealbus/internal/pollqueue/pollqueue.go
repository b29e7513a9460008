// Package pollqueue takes messages from an SQS queue, for the commands that read one.
package pollqueue

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/awscli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// Most is how many messages SQS hands out at one time.
const Most = 10

const (
	longPoll = 20               // seconds: the longest that SQS waits
	maxPause = 30 * time.Second // between attempts, when the queue or the receiver does not answer

	firstReceived = types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp
	receiveCount  = types.MessageSystemAttributeNameApproximateReceiveCount
)

// client is what a Poller uses of *sqs.Client.
type client interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
		opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput,
		opts ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
}

var _ client = (*sqs.Client)(nil)

// Message is a message of the queue.
type Message struct {
	ID   string // of SQS
	Body []byte
	// First is when the queue handed it out first; zero = now.
	First time.Time
}

// Taken is what became of a message.
type Taken struct {
	Done  bool // nothing is left to do with it: it is deleted, if the Poller deletes
	Again bool // it could not be taken now, and the next one will hardly be: a pause follows
}

// Poller takes the messages of one queue, one after the other.
type Poller struct {
	Env     *ui.Env
	Deletes bool // messages that are done with leave the queue
	// Ready says whether messages can be judged. Until then none is received, because each look counts
	// towards maxReceiveCount.
	Ready func(ctx context.Context) error
	// Most is how many messages to ask for.
	Most func() int32
	// Take takes a message. Its ctx does not end with that of Poll. After an error polling ends.
	Take func(ctx context.Context, m Message) (Taken, error)

	client client
	url    string
	pause  time.Duration
}

// Open sets the queue.
func (p *Poller) Open(ctx context.Context, url string, f *awscli.AWSFlags) error {
	cfg, err := awscli.Load(ctx, cmp.Or(f.Region, awscli.RegionOfQueue(url)))
	if err != nil {
		return err
	}
	p.url = url
	p.client = sqs.NewFromConfig(cfg, func(o *sqs.Options) {
		o.BaseEndpoint = awscli.QueueEndpoint(url, f, o.BaseEndpoint)
	})
	return nil
}

// Poll takes messages until ctx ends. A message that is being taken is finished.
func (p *Poller) Poll(ctx context.Context) error {
	for ctx.Err() == nil {
		if !p.awaitTrust(ctx) {
			return nil
		}
		out, err := p.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &p.url,
			MaxNumberOfMessages: p.Most(), WaitTimeSeconds: longPoll,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{firstReceived, receiveCount}})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errtext.WorthRetrying(err):
			return ui.Usage(queueFix(err), "reading the queue: %w", errtext.AWS(err))
		case err != nil:
			p.Env.Warnf("reading the queue: %v", errtext.AWS(err))
			p.wait(ctx)
			continue
		}
		if err := p.messages(ctx, out.Messages); err != nil {
			return err
		}
	}
	return nil
}

// awaitTrust waits until events can be judged. It returns false when ctx has ended.
func (p *Poller) awaitTrust(ctx context.Context) bool {
	told := false
	for {
		err := p.Ready(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && told:
			p.Env.Sayf("trust is available again: reading goes on")
			p.pause = 0
			return true
		case err == nil:
			return true
		case !told:
			p.Env.Warnf("trust is unavailable, so the queue is not read until it is back: %v", err)
			told = true
		}
		p.wait(ctx)
	}
}

// messages takes messages until ctx ends; the others come again.
func (p *Poller) messages(ctx context.Context, list []types.Message) error {
	for i := range list {
		if ctx.Err() != nil {
			return nil
		}
		if err := p.message(ctx, &list[i]); err != nil {
			return err
		}
	}
	return nil
}

// message takes one message, also if ctx ends meanwhile.
func (p *Poller) message(ctx context.Context, m *types.Message) error {
	finish := context.WithoutCancel(ctx)
	one := Message{ID: aws.ToString(m.MessageId), Body: []byte(aws.ToString(m.Body))}
	if ms, err := strconv.ParseInt(m.Attributes[string(firstReceived)], 10, 64); err == nil && ms > 0 &&
		m.Attributes[string(receiveCount)] != "1" {
		one.First = time.UnixMilli(ms)
	}
	taken, err := p.Take(finish, one)
	if taken.Done {
		p.delete(finish, m)
	}
	if taken.Again {
		p.wait(ctx)
	} else {
		p.pause = 0
	}
	return err
}

// delete removes a message that is done with. If that fails it comes again, and is removed then.
func (p *Poller) delete(ctx context.Context, m *types.Message) {
	if !p.Deletes {
		return
	}
	_, err := p.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url,
		ReceiptHandle: m.ReceiptHandle})
	if err != nil {
		p.Env.Warnf("message %s was handled, but not deleted: %v", aws.ToString(m.MessageId),
			errtext.AWS(err))
	}
}

// wait pauses, longer each time in a row.
func (p *Poller) wait(ctx context.Context) {
	p.pause = min(max(time.Second, 2*p.pause), maxPause)
	select {
	case <-time.After(p.pause):
	case <-ctx.Done():
	}
}

func queueFix(err error) string {
	if errtext.Denied(err) {
		return "allow sqs:ReceiveMessage and sqs:DeleteMessage on the queue"
	}
	return "check --queue and --region"
}
