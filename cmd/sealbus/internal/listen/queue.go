package listen

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
	"github.com/sealbus/sealbus/envelope"
)

const (
	longPoll     = 20               // seconds: the longest that SQS waits
	mostReceived = 10               // messages: the most that SQS hands out
	maxPause     = 30 * time.Second // between attempts, when the queue or the receiver does not answer
	maxSeen      = 100_000          // messages remembered, so that each is told once

	firstReceived = types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp
	receiveCount  = types.MessageSystemAttributeNameApproximateReceiveCount
)

// queueClient is what listen uses of *sqs.Client.
type queueClient interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput,
		opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessage(ctx context.Context, in *sqs.DeleteMessageInput,
		opts ...func(*sqs.Options)) (*sqs.DeleteMessageOutput, error)
}

var _ queueClient = (*sqs.Client)(nil)

// poller takes the messages of one queue, one after the other.
type poller struct {
	*listener
	client  queueClient
	url     string
	deletes bool
	seen    map[string]told // by message ID: what was told of it last
	pause   time.Duration
}

// told is as much of a verdict as is kept for each message: the rest is as long as the writer of the message
// likes.
type told struct {
	done   bool
	reason envelope.Reason
}

// pollQueue polls until ctx ends.
func (l *listener) pollQueue(ctx context.Context, f *listenFlags) error {
	cfg, err := awscli.Load(ctx, cmp.Or(f.Region, awscli.RegionOfQueue(f.queue)))
	if err != nil {
		return err
	}
	p := &poller{listener: l, url: f.queue, deletes: f.deletes(), seen: map[string]told{}}
	p.client = sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = awscli.QueueEndpoint(f.queue, &f.AWSFlags, o.BaseEndpoint) })
	what := "messages stay on the queue, and come back when their visibility timeout is over; each look counts towards maxReceiveCount"
	if p.deletes {
		what = "what is done with is deleted, the rest stays"
	}
	l.env.Sayf("reading %s, Ctrl-C ends it: %s", f.queue, what)
	return p.poll(ctx)
}

func (p *poller) poll(ctx context.Context) error {
	for ctx.Err() == nil {
		if !p.awaitTrust(ctx) {
			return nil
		}
		out, err := p.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &p.url,
			MaxNumberOfMessages: p.most(), WaitTimeSeconds: longPoll,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{firstReceived, receiveCount}})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !errtext.WorthRetrying(err):
			return ui.Usage(queueFix(err), "reading the queue: %w", errtext.AWS(err))
		case err != nil:
			p.env.Warnf("reading the queue: %v", errtext.AWS(err))
			p.wait(ctx)
			continue
		}
		if err := p.messages(ctx, out.Messages); err != nil {
			return err
		}
	}
	return nil
}

// awaitTrust waits until events can be judged. Until then nothing is received, because each look counts
// towards maxReceiveCount. It returns false when ctx has ended.
func (p *poller) awaitTrust(ctx context.Context) bool {
	told := false
	for {
		err := p.consumer.Ready(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case err == nil && told:
			p.env.Sayf("trust is available again: reading goes on")
			p.pause = 0
			return true
		case err == nil:
			return true
		case !told:
			p.env.Warnf("trust is unavailable, so the queue is not read until it is back: %v", err)
			told = true
		}
		p.wait(ctx)
	}
}

// most is how many messages to ask for. A forwarded event may take a long time. Meanwhile
// the visibility timeout of the others would run out. In a FIFO queue no message may overtake one that
// failed.
func (p *poller) most() int32 {
	if p.forward != nil {
		return 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limit > 0 {
		return int32(min(mostReceived, max(1, p.limit-p.told)))
	}
	return mostReceived
}

// messages takes messages until ctx ends; the others come again.
func (p *poller) messages(ctx context.Context, list []types.Message) error {
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

// message takes one message. A message that is being handled is finished, also if ctx ends meanwhile.
func (p *poller) message(ctx context.Context, m *types.Message) error {
	finish, id := context.WithoutCancel(ctx), aws.ToString(m.MessageId)
	before, again := p.seen[id]
	if before.done {
		p.delete(finish, m)
		return nil
	}
	var first time.Time
	if ms, err := strconv.ParseInt(m.Attributes[string(firstReceived)], 10, 64); err == nil && ms > 0 &&
		m.Attributes[string(receiveCount)] != "1" {
		first = time.UnixMilli(ms)
	}
	h := p.take(finish, []byte(aws.ToString(m.Body)), first)
	h.MessageID = id
	if h.done() {
		p.delete(finish, m)
	}
	if len(p.seen) >= maxSeen {
		clear(p.seen)
	}
	p.seen[id] = told{h.done(), h.Reason}
	var err error
	if !again || h.Verdict == ui.VerdictRetry || h.Reason != before.reason {
		err = p.tell(h)
	}
	if h.Verdict == ui.VerdictRetry {
		p.wait(ctx) // what does not work for one will hardly work for the next
	} else {
		p.pause = 0
	}
	return err
}

// delete removes a message that is done with. If that fails it comes again, and is removed then.
func (p *poller) delete(ctx context.Context, m *types.Message) {
	if !p.deletes {
		return
	}
	_, err := p.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url,
		ReceiptHandle: m.ReceiptHandle})
	if err != nil {
		p.env.Warnf("message %s was handled, but not deleted: %v", aws.ToString(m.MessageId),
			errtext.AWS(err))
	}
}

// wait pauses, longer each time in a row.
func (p *poller) wait(ctx context.Context) {
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
