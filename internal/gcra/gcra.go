// Package gcra is the one rate limiter of sealbus: the generic cell rate algorithm (ITU-T I.371, annex A). It
// allows so many requests a second in the long run, and a burst of them at once. Its whole state is one
// moment: when the requests so far are paid for, at one each.
//
// A Rate is pure: the caller keeps the moment. A Meter keeps it, for any number of goroutines.
package gcra

import (
	"sync/atomic"
	"time"
)

// The longest of each and slack, in nanoseconds: 9 and 36 years. With the time of day they end before 64 bits
// do, until the year 2200.
const (
	maxEach  = 1 << 58
	maxSlack = 1 << 60
)

// Rate is how many requests may be made. The zero Rate has no limit.
type Rate struct {
	each  int64 // nanoseconds for which one request pays; 0 = no limit
	slack int64 // that of all but one of a burst
}

// PerSecond is so many requests a second, and a burst of them at once, at least one. A rate of 0 or less has
// no limit.
func PerSecond(rate float64, burst int) Rate {
	if !(rate > 0) {
		return Rate{}
	}
	return Every(time.Duration(min(float64(time.Second)/rate, maxEach)), burst)
}

// Every is one request in that time, at least a nanosecond, and a burst of them at once.
func Every(each time.Duration, burst int) Rate {
	n := min(max(int64(each), 1), maxEach)
	return Rate{each: n, slack: n * min(max(int64(burst), 1)-1, maxSlack/n)}
}

// Within is the rate with a burst that is paid for in at most that time: one request, if it is too short.
func (r Rate) Within(slack time.Duration) Rate {
	if r.each > 0 {
		r.slack = min(r.slack, int64(slack)/r.each*r.each)
	}
	return r
}

// Each is the time for which one request pays; 0 = no limit.
func (r Rate) Each() time.Duration { return time.Duration(r.each) }

// Slack is how long before it is paid for a request may be made.
func (r Rate) Slack() time.Duration { return time.Duration(r.slack) }

// Clamp is the state, within what can have been taken until now: the clock may have been set back. Keep it,
// also if a request is refused: otherwise all are refused until the clock is where it was.
func (r Rate) Clamp(paid, now int64) int64 { return min(max(paid, now), now+r.slack+r.each) }

// Take is the state after one more request, in Unix nanoseconds. If the request may not be made, wait is
// above 0: it may be made after that time, and the state is that of Clamp.
func (r Rate) Take(paid, now int64) (next int64, wait time.Duration) {
	in := r.Clamp(paid, now)
	if early := in - now - r.slack; early > 0 && r.each > 0 {
		return in, time.Duration(early)
	}
	return in + r.each, 0
}

// Force is the state after one more request that was made whatever the limit is. It never owes more than one
// request beyond a burst.
func (r Rate) Force(paid, now int64) int64 {
	return r.Clamp(paid, now) + r.each
}

// Left is how many requests may be made now, at most 1<<30, and when the next one may.
func (r Rate) Left(paid, now int64) (n int, next int64) {
	const most = 1 << 30
	if r.each == 0 {
		return most, 0
	}
	in := r.Clamp(paid, now)
	return int(min((now+r.slack+r.each-in)/r.each, most)), in - r.slack
}

// Meter counts the requests of one limit. It is safe for concurrent use. The zero Meter has no limit.
type Meter struct {
	rate Rate
	paid atomic.Int64 // Unix nanoseconds
}

// NewMeter makes a Meter of which nothing was taken.
func NewMeter(r Rate) *Meter { return &Meter{rate: r} }

// Take counts a request that may be made. If it may not, wait is above 0, and nothing is counted.
func (m *Meter) Take(now time.Time) (wait time.Duration) {
	t := now.UnixNano()
	for {
		was := m.paid.Load()
		next, wait := m.rate.Take(was, t)
		if next == was || m.paid.CompareAndSwap(was, next) {
			return wait
		}
	}
}

// Force counts a request that was made, whatever the limit is.
func (m *Meter) Force(now time.Time) {
	t := now.UnixNano()
	for {
		was := m.paid.Load()
		if m.paid.CompareAndSwap(was, m.rate.Force(was, t)) {
			return
		}
	}
}

// Wait is how long the next request must wait; 0 = it may be made now. Nothing is counted.
func (m *Meter) Wait(now time.Time) time.Duration {
	t := now.UnixNano()
	for {
		was := m.paid.Load()
		if in := m.rate.Clamp(was, t); in == was || m.paid.CompareAndSwap(was, in) {
			_, wait := m.rate.Take(in, t)
			return wait
		}
	}
}
