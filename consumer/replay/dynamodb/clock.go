package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sealbus/sealbus/consumer/replay/internal/remote"
)

// Bounds within which the service's time is believed.
const (
	// leaseSlack is the least distance between the earliest and the latest possible time. The header Date has
	// whole seconds, and its way here takes time.
	leaseSlack = 2 * time.Second
	// maxOffset is how far the service's time may be from this machine's: three times the skew that consumers
	// tolerate. Beyond it, no one can tell which of the two clocks is wrong.
	maxOffset = 15 * time.Minute
	// maxSampleAge is how long an answer tells the time. It is so short that no clock drifts by much.
	maxSampleAge = time.Minute
	// maxJump is by how much the wall clock and the monotonic one may differ since then. If they differ by more,
	// the clock was set, or the process was frozen and the monotonic clock stood still.
	maxJump = time.Second
)

// Reasons why an answer does not tell the time.
var (
	errNoDate = errors.New("the answer of DynamoDB has no date (its HTTP header Date): a proxy may have removed it")
	errCached = errors.New("the answer of DynamoDB comes from a cache (its HTTP header is Age): let no cache be between")
	errBroken = errors.New("the answer is an error that a proxy may have written, by a clock of its own")
)

// clock knows the service's time from the dates of its answers. A claim is taken over only if its lease has
// ended even at the earliest possible time. A lease is written so that it is long enough even at the latest
// possible time.
type clock struct {
	now    func() time.Time
	newest atomic.Pointer[sample]
}

// sample is one dated answer. The service wrote it at date, in whole seconds, and that was between sent and
// got.
type sample struct{ date, sent, got time.Time }

// times are the earliest and the latest time that it can be at the service now; ok = false: it is not known.
func (c *clock) times() (earliest, latest time.Time, ok bool) {
	s := c.newest.Load()
	if s == nil {
		return time.Time{}, time.Time{}, false
	}
	now := c.now()
	if !steady(between(s.sent, now)) || !steady(between(s.got, now)) {
		return time.Time{}, time.Time{}, false
	}
	earliest = s.date.Add(min(between(s.got, now)))
	latest = s.date.Add(time.Second + max(between(s.sent, now)))
	if least := earliest.Add(leaseSlack); latest.Before(least) {
		latest = least
	}
	return earliest, latest, true
}

// between is the time between two moments by the monotonic clock, if they were read with it, and by the wall
// clock.
func between(from, to time.Time) (monotonic, wall time.Duration) {
	return to.Sub(from), to.Round(0).Sub(from.Round(0))
}

// steady reports whether both clocks ran on, and for so short a time that they agree on its length.
func steady(monotonic, wall time.Duration) bool {
	return monotonic >= 0 && wall >= 0 && max(monotonic, wall) <= maxSampleAge &&
		(monotonic-wall).Abs() <= maxJump
}

// answer holds the notes on the answers to one call. The client may make the call several times; the last
// answer counts.
type answer struct {
	clock *clock
	date  time.Time // the service's time when it answered; zero = unknown
	err   error     // why it is unknown
}

func (c *clock) answer() *answer { return &answer{clock: c, err: errNoDate} }

// note is the option of a call that notes its answers, failed conditions included.
func (a *answer) note(o *awsdynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("sealbus date", a.handle),
			middleware.After)
	})
}

func (a *answer) handle(ctx context.Context, in middleware.DeserializeInput,
	next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	sent := a.clock.now()
	out, metadata, err := next.HandleDeserialize(ctx, in)
	got := a.clock.now()
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok || response == nil || response.Response == nil {
		return out, metadata, err // there was no answer
	}
	a.date, a.err = readDate(response, got)
	if a.err == nil {
		a.clock.newest.Store(&sample{date: a.date, sent: sent, got: got})
	}
	return out, metadata, err
}

func readDate(response *smithyhttp.Response, got time.Time) (time.Time, error) {
	// Answers to a request that the service understood, a failed condition included, have one of these.
	if code := response.StatusCode; code != http.StatusOK && code != http.StatusBadRequest {
		return time.Time{}, errBroken
	}
	text := response.Header.Get("Date")
	if text == "" {
		return time.Time{}, errNoDate
	}
	if response.Header.Get("Age") != "" {
		return time.Time{}, errCached
	}
	date, err := smithyhttp.ParseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("the answer of DynamoDB is dated %.40q, which is no time", text)
	}
	if off := date.Sub(got.Round(0)); off.Abs() > maxOffset {
		return time.Time{},
			fmt.Errorf("the answer of DynamoDB is dated %s, and on this machine it is %s: set the clock of this "+
				"machine, as by chrony; if it is right, a proxy changes the date", remote.Stamp(date),
				remote.Stamp(got))
	}
	return date, nil
}

// times are the earliest and the latest time that it can be at the service now. If it is not known, the key
// is read first, for the date of the answer.
func (s *store) times(ctx context.Context, key [32]byte) (earliest, latest time.Time, err error) {
	if earliest, latest, ok := s.clock.times(); ok {
		return earliest, latest, nil
	}
	_, a, err := s.getItem(ctx, key)
	if err != nil {
		return time.Time{}, time.Time{}, remote.Unavailable(err)
	}
	if a.err != nil {
		return time.Time{}, time.Time{}, remote.Unavailable(a.err)
	}
	earliest, latest, ok := s.clock.times()
	if !ok {
		return time.Time{}, time.Time{},
			remote.Unavailable(errors.New("the time at DynamoDB is not known: the clock of this machine jumps"))
	}
	return earliest, latest, nil
}
