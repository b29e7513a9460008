package awslambda

import (
	"context"

	"github.com/sealbus/sealbus/consumer"
)

// logNoQuarantine says why messages that can never pass are delivered again. Without this line in the log, a
// forgery looks like an outage.
func (a *adapter) logNoQuarantine(ctx context.Context, messages int) {
	a.opts.Logger.ErrorContext(ctx, "sealbus: rejected events are delivered again "+
		"only because the consumer has no quarantine: set consumer.Options.Quarantine, "+
		"or see that a dead-letter queue takes them",
		"consumer", a.consumer.Name(), "messages", messages)
}

// noQuarantine reports whether Handle failed only because there is no quarantine. It does not look into the
// error, because methods of a handler's error may panic.
func noQuarantine(err error) bool {
	e, ok := err.(*consumer.QuarantineError)
	return ok && e.Err == nil
}

func (b *batch) logNoQuarantine() {
	n := 0
	for i := range b.records {
		if noQuarantine(b.records[i].err) {
			n++
		}
	}
	if n > 0 {
		b.adapter.logNoQuarantine(b.Context, n)
	}
}
