// Package inhand is between the consumer and an adapter that hands it several messages at a time. It lets the
// adapter know which events it has in hand, so that it puts a second copy of one aside until the first has
// ended, and does not have it refused as in progress.
package inhand

import "context"

// Enter is asked before an event is claimed, by the key of its claim. False: another message of the adapter
// has the event in hand. Nothing is claimed then, and the error of this message is a *Parked.
type Enter func(key [32]byte) bool

type contextKey struct{}

// With is the context of one message. It is of use until that message has ended.
func With(ctx context.Context, enter Enter) context.Context {
	return context.WithValue(ctx, contextKey{}, enter)
}

// From is what With put into the context; nil = nothing.
func From(ctx context.Context) Enter {
	enter, _ := ctx.Value(contextKey{}).(Enter)
	return enter
}

// Parked is the error of a message that another one is in the way of. The adapter either hands the message
// over again, when the other one has ended, or calls Report and has it delivered again.
type Parked struct {
	Err    error  // the verdict: the event is in progress
	Report func() // tells the log and the observer that it ended like that, which they do not know yet
}

// Error is that of the verdict.
func (p *Parked) Error() string { return p.Err.Error() }

// Unwrap is the verdict.
func (p *Parked) Unwrap() error { return p.Err }
