package awslambda

import (
	"context"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// maxHold is how long a message is held at a time, and so how long it may wait after trust is back.
const maxHold = 15 * time.Minute

// minHold is shorter than any visibility timeout that fits a function.
const minHold = time.Minute

// Holder keeps messages of a queue invisible. Package consumer/awslambda/sqs has one.
type Holder interface {
	// Hold makes the messages with these receipt handles invisible for that time from now on.
	Hold(ctx context.Context, receipts []string, d time.Duration) error
}

// holdFor is how long the message is held: as long as it has waited since it was received first, at most
// maxHold; 0 = it is left to the visibility timeout of its queue. A message that came for the first time is
// left to it, and so is one whose deliveries are further apart than maxHold: the timeout may be longer than
// what it would be held for, and would be cut short.
func (r *record) holdFor(now time.Time) time.Duration {
	first, receives := r.firstReceived(), number(r.receives)
	if first.IsZero() || receives < 2 {
		return 0
	}
	waited := now.Sub(first)
	if waited < minHold || waited/time.Duration(receives-1) > maxHold {
		return 0
	}
	return min(waited, maxHold).Truncate(time.Second)
}

// hold holds the messages that could not be judged because there is no trust bundle, each for holdFor. It
// takes at most half of the time that is left, so that what was handled is not delivered again. Each
// redelivery uses up one of the queue's maxReceiveCount, and a function cannot stop the polling of its event
// source mapping. A forged event, which is trust_unavailable until the bundle was checked, is not held.
func (b *batch) hold(ctx context.Context) {
	if b.opts.Hold == nil {
		return
	}
	byTime := map[time.Duration][]string{}
	for i := range b.records {
		r := &b.records[i]
		if r.done || envelope.ReasonOf(r.err) != envelope.ReasonTrustUnavailable {
			continue
		}
		receipt, err := jsontext.AppendUnquote(nil, r.receipt)
		if d := r.holdFor(b.opts.Now()); err == nil && d > 0 {
			byTime[d] = append(byTime[d], string(receipt))
		}
	}
	ctx, cancel := b.half(ctx)
	defer cancel()
	if len(byTime) == 0 || b.consumer.Ready(ctx) == nil {
		return
	}
	for d, receipts := range byTime {
		if err := b.opts.Hold.Hold(ctx, receipts, d); err != nil {
			b.opts.Logger.WarnContext(ctx, "sealbus: messages were not held while trust is unavailable, so they "+
				"come again after the visibility timeout", "consumer", b.consumer.Name(), "messages", len(receipts),
				"error", err)
			continue
		}
		b.opts.Logger.WarnContext(ctx, "sealbus: trust is unavailable, so messages are held", "consumer",
			b.consumer.Name(), "messages", len(receipts), "for", d)
	}
}
