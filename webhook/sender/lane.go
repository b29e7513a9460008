package sender

import (
	"context"
	"time"

	"github.com/sealbus/sealbus/internal/gcra"
)

// The circuit breaker of an endpoint.
const (
	breakAfter = 5                // failures in a row after which attempts pause
	firstPause = 5 * time.Second  // doubled with each probe that fails
	maxPause   = 60 * time.Second // also of what a receiver asks for with 429 or 503
	forgetLane = time.Hour        // after which a failing endpoint without deliveries is forgotten
)

// lane is what this process knows of one endpoint while it has something under way or must hold back. Its
// owner holds Sender.mu.
type lane struct {
	limit    int // attempts at a time; 1 until the endpoint is known
	inFlight int
	failures int       // in a row
	until    time.Time // no attempt before
	used     time.Time
	rate     gcra.Rate
	paid     int64 // its state: when the attempts that began are paid for, in Unix nanoseconds
}

// slowest is the lowest rate: one attempt a day.
const slowest = 1.0 / (24 * 60 * 60)

// setRate sets the rate of the attempts; 0 = no limit.
func (l *lane) setRate(perSecond float64, burst int) {
	if perSecond > 0 {
		perSecond = max(perSecond, slowest)
	}
	l.rate = gcra.PerSecond(perSecond, burst)
}

// room is how many attempts may begin now. If none may, again is when one may, if that depends on the clock.
func (l *lane) room(now time.Time) (n int, again time.Time) {
	if now.Before(l.until) {
		return 0, l.until
	}
	n = l.limit - l.inFlight
	if l.failures >= breakAfter { // a probe
		n = 1 - l.inFlight
	}
	l.paid = l.rate.Clamp(l.paid, now.UnixNano())
	if left, next := l.rate.Left(l.paid, now.UnixNano()); n > left {
		n, again = left, time.Unix(0, next)
	}
	return max(n, 0), again
}

// begin counts attempts that begin now.
func (l *lane) begin(n int, now time.Time) {
	l.inFlight += n
	l.used = now
	for range n {
		l.paid = l.rate.Force(l.paid, now.UnixNano())
	}
}

// end counts how an attempt ended. An answer other than 429 and 5xx shows that the receiver is there. Without
// a request nothing is known of it. After an endpoint could not be looked up, its other deliveries wait, too:
// they would only add to the load of what is down.
func (l *lane) end(ctx context.Context, r *result, now time.Time) {
	l.inFlight--
	switch {
	case r.after > 0:
		l.until = later(l.until, now.Add(r.after))
		return
	case !r.attempted || r.class == 0 && !r.unwell:
		return
	case !r.unwell:
		l.failures, l.until = 0, time.Time{}
		return
	}
	l.failures++
	pause := min(r.retryAfter, maxPause)
	if l.failures >= breakAfter {
		longer := firstPause << min(l.failures-breakAfter, 8)
		pause = max(pause, spreadOut(ctx, min(longer, maxPause)))
	}
	if until := now.Add(pause); pause > 0 && until.After(l.until) {
		l.until = until
	}
}

// isIdle reports whether nothing would be lost if the lane were forgotten.
func (l *lane) isIdle(now time.Time) bool {
	if l.inFlight > 0 {
		return false
	}
	return now.Sub(l.used) >= forgetLane || l.failures == 0 && !now.Before(l.until) && l.paid <= now.UnixNano()
}
