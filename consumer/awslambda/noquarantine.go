package awslambda

import (
	"context"
	"errors"

	"github.com/sealbus/sealbus/consumer"
)

// logNoQuarantine says why messages come again that can never pass: without it, a forgery looks like an outage.
func (a *adapter) logNoQuarantine(ctx context.Context, messages int) {
	a.opts.Logger.ErrorContext(ctx, "sealbus: rejected events are delivered again only because the consumer has no quarantine: "+
		"set consumer.Options.Quarantine, or see that a dead-letter queue takes them",
		"consumer", a.consumer.Name(), "messages", messages)
}

func (b *batch) logNoQuarantine() {
	n := 0
	for i := range b.records {
		if errors.Is(b.records[i].err, consumer.ErrNoQuarantine) {
			n++
		}
	}
	if n > 0 {
		b.adapter.logNoQuarantine(b.Context, n)
	}
}
