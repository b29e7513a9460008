package listen

import (
	"context"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/pollqueue"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/envelope"
)

// maxSeen is how many messages are remembered, so that each is told once.
const maxSeen = 100_000

// told is as much of a verdict as is kept for each message: the rest is as long as the writer of the message
// likes.
type told struct {
	done   bool
	reason envelope.Reason
}

// pollQueue polls until ctx ends.
func (l *listener) pollQueue(ctx context.Context, f *listenFlags) error {
	seen := map[string]told{} // by message ID: what was told of it last
	p := &pollqueue.Poller{Env: l.env, Deletes: f.deletes(), Ready: l.consumer.Ready, Most: l.most,
		Take: func(ctx context.Context, m pollqueue.Message) (pollqueue.Taken, error) {
			return l.message(ctx, m, seen)
		}}
	if err := p.Open(ctx, f.queue, &f.AWSFlags); err != nil {
		return err
	}
	what := "messages stay on the queue, and come back when their visibility timeout is over; each look counts towards maxReceiveCount"
	if p.Deletes {
		what = "what is done with is deleted, the rest stays"
	}
	l.env.Sayf("reading %s, Ctrl-C ends it: %s", f.queue, what)
	return p.Poll(ctx)
}

// most is how many messages to ask for. A forwarded event may take a long time. Meanwhile
// the visibility timeout of the others would run out. In a FIFO queue no message may overtake one that
// failed.
func (l *listener) most() int32 {
	if l.forward != nil {
		return 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit > 0 {
		return int32(min(pollqueue.Most, max(1, l.limit-l.told)))
	}
	return pollqueue.Most
}

// message takes one message, and tells what became of it unless that was told before.
func (l *listener) message(ctx context.Context, m pollqueue.Message, seen map[string]told,
) (pollqueue.Taken, error) {
	before, again := seen[m.ID]
	if before.done {
		return pollqueue.Taken{Done: true}, nil
	}
	h := l.take(ctx, m.Body, m.First)
	h.MessageID = m.ID
	if len(seen) >= maxSeen {
		clear(seen)
	}
	seen[m.ID] = told{h.done(), h.Reason}
	// If one cannot be handled now, the next one hardly can.
	taken := pollqueue.Taken{Done: h.done(), Again: h.Verdict == ui.VerdictRetry}
	if again && !taken.Again && h.Reason == before.reason {
		return taken, nil
	}
	err := l.tell(h)
	if err != nil && l.forward == nil {
		taken.Done = false // its line was all that there is of it: it comes again
	}
	return taken, err
}
