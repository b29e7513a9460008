// Package remote holds the common parts of the stores on other machines: arguments, tokens, the shape of
// times, and the rule by which records are forgotten.
//
// The server's clock decides both when a lease ends and when a record is garbage. Consumers' clocks may be
// minutes apart, and a consumer that is ahead by more than a lease would take over events that others are
// handling. A record is deleted Grace after its until at the earliest, and a claim is New only while the
// server's clock has not reached the until of the event. An event that is claimed later may have been
// completed and forgotten. Then the answer is ErrUnavailable, also if the consumer's clock says that the
// event is fresh. So a consumer whose clock was set back reopens nothing, and neither does a server whose
// clock was set back by less than Grace.
package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

// DefaultGrace is how long a record outlives its until: by more than a server's clock is ever set back.
const DefaultGrace = time.Hour

// MillisDigits is the length of every time that Millis returns, in decimal digits at most.
const MillisDigits = 15

const maxMillis = 999_999_999_999_999 // the year 33658

// forever stands in for an until that an operation does not take.
var forever = time.UnixMilli(maxMillis)

// Check judges the arguments of Claim.
func Check(ctx context.Context, until time.Time, lease time.Duration) error {
	switch {
	case until.IsZero():
		return errors.New("replay: until is the zero time")
	case lease <= 0:
		return fmt.Errorf("replay: a lease of %v", lease)
	}
	return CheckContext(ctx)
}

// CheckLease judges the arguments of Renew.
func CheckLease(ctx context.Context, lease time.Duration) error { return Check(ctx, forever, lease) }

// CheckUntil judges the arguments of Complete.
func CheckUntil(ctx context.Context, until time.Time) error { return Check(ctx, until, 1) }

// CheckContext judges the arguments of Release.
func CheckContext(ctx context.Context) error {
	if ctx.Err() != nil {
		return Unavailable(context.Cause(ctx))
	}
	return nil
}

// Unavailable wraps the error that kept a server from answering.
func Unavailable(err error) error { return fmt.Errorf("%w: %w", replay.ErrUnavailable, err) }

// Forgotten is the answer to a claim that may have been completed and forgotten.
func Forgotten(server, until time.Time) error {
	return fmt.Errorf("%w: at the server it is %s, and events up to %s may have been forgotten; "+
		"this event is stale, or one of the clocks is wrong", replay.ErrUnavailable, Stamp(server),
		Stamp(until))
}

// Stamp is a moment as errors have it.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Token makes 16 random bytes. The client draws a claim's token, and the mark of a completion, too. If an
// answer is lost and the client library repeats the request, the server recognises it as the same one.
func Token() (token [16]byte) {
	rand.Read(token[:])
	return token
}

// Floor is t in milliseconds since 1970, rounded down: nothing that ends then has ended early.
func Floor(t time.Time) int64 { return min(max(t.UnixMilli(), 0), maxMillis) }

// Millis is t in milliseconds since 1970, rounded up: nothing ends early.
func Millis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return min(max(ms, 0), maxMillis)
}

// Length is d in milliseconds, rounded up: no lease ends early.
func Length(d time.Duration) int64 { return int64((d-1)/time.Millisecond) + 1 }
