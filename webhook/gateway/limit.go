package gateway

import (
	"sync/atomic"
	"time"
)

// limiter is the generic cell rate algorithm (ITU-T I.371): so many deliveries a second in the long run, and
// a burst of them at once.
type limiter struct {
	each, slack int64        // nanoseconds: of one delivery, and of all but one of a burst
	next        atomic.Int64 // when the deliveries that were taken are paid for, in Unix nanoseconds
}

// maxSlack is 36 years in nanoseconds: with the time of day, it does not overflow.
const maxSlack = 1 << 60

func newLimiter(perSecond float64, burst int) *limiter {
	each := max(1, int64(float64(time.Second)/perSecond))
	return &limiter{each: each, slack: each * min(int64(burst-1), maxSlack/each)}
}

// take takes one delivery; above 0 = it is refused, and one may come after that time.
func (l *limiter) take(now time.Time) time.Duration {
	t := now.UnixNano()
	for {
		was := l.next.Load()
		paid := min(max(was, t), t+l.slack+l.each) // the clock may have been set back
		if wait := paid - t - l.slack; wait > 0 {
			return time.Duration(wait)
		}
		if l.next.CompareAndSwap(was, paid+l.each) {
			return 0
		}
	}
}
