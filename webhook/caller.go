package webhook

import (
	"context"

	"github.com/sealbus/sealbus/consumer"
)

type callerKey struct{}

// WithCaller keeps who sent a request for what stands behind: Events asks the caller about each verified
// event before it is claimed, and webhook/ingest about each event before it is published. Package
// webhook/entry does this. A nil caller is none: then everyone may speak for everything.
func WithCaller(ctx context.Context, c consumer.Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is the caller that WithCaller kept; nil = none.
func CallerOf(ctx context.Context) consumer.Caller {
	c, _ := ctx.Value(callerKey{}).(consumer.Caller)
	return c
}
