package sender

import (
	"context"
	"time"
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
	limiter  limiter
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
	tokens, next := l.limiter.tokens(now)
	if n > tokens {
		n, again = tokens, next
	}
	return max(n, 0), again
}

// begin counts attempts that begin now.
func (l *lane) begin(n int, now time.Time) {
	l.inFlight += n
	l.used = now
	for range n {
		l.limiter.take(now)
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
	return now.Sub(l.used) >= forgetLane || l.failures == 0 && !now.Before(l.until) && l.limiter.isFull(now)
}

// limiter is the generic cell rate algorithm (ITU-T I.371): so many attempts a second in the long run, and a
// burst of them at once. The zero limiter has no limit.
type limiter struct {
	each, slack time.Duration // of one attempt, and of all but one of a burst
	paid        time.Time     // when the attempts that began are paid for
}

// set sets the rate; 0 = no limit.
func (l *limiter) set(perSecond float64, burst int) {
	if perSecond <= 0 {
		*l = limiter{}
		return
	}
	l.each = time.Duration(min(max(1, float64(time.Second)/perSecond), float64(24*time.Hour)))
	const most = float64(10 * 365 * 24 * time.Hour) // far from the end of a Duration
	l.slack = time.Duration(min(float64(l.each)*float64(max(burst, 1)-1), most))
}

// tokens is how many attempts may begin now, and when the next one may.
func (l *limiter) tokens(now time.Time) (n int, next time.Time) {
	const unlimited = 1 << 30
	if l.each == 0 {
		return unlimited, time.Time{}
	}
	paid := l.clamp(now)
	left := l.slack + l.each - paid.Sub(now)
	return int(left / l.each), paid.Add(-l.slack)
}

func (l *limiter) take(now time.Time) {
	if l.each > 0 {
		l.paid = l.clamp(now).Add(l.each)
	}
}

// clamp is paid, within bounds: the clock may have been set back.
func (l *limiter) clamp(now time.Time) time.Time {
	switch most := now.Add(l.slack + l.each); {
	case l.paid.Before(now):
		return now
	case l.paid.After(most):
		return most
	}
	return l.paid
}

func (l *limiter) isFull(now time.Time) bool { return !l.paid.After(now) }
