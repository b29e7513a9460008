package webhook

import (
	"context"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

type callerKey struct{}

// WithCaller keeps who sent a request for what stands behind: Events asks the caller about each verified
// event before it is claimed, and webhook/ingest about each event before it is published. Package
// webhook/entry does this. A nil caller is none: then everyone may speak for everything. A nil pointer may
// speak for nothing.
func WithCaller(ctx context.Context, c consumer.Caller) context.Context {
	if err := nilcheck.Typed("webhook: the caller", c); err != nil {
		c = noCaller{err}
	}
	return context.WithValue(ctx, callerKey{}, c)
}

// noCaller may speak for nothing.
type noCaller struct{ err error }

func (c noCaller) Check(string, string) error       { return c.err }
func (c noCaller) Validate(envelope.Document) error { return c.err }

// CallerOf is the caller that WithCaller kept; nil = none.
func CallerOf(ctx context.Context) consumer.Caller {
	c, _ := ctx.Value(callerKey{}).(consumer.Caller)
	return c
}
