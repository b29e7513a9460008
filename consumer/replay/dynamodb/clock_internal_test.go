package dynamodb

import (
	"testing"
	"time"
)

// A process that was frozen, in which the monotonic clock stands still, and a wall clock that was set do not
// know what time it is.
func TestSteady(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		monotonic, wall time.Duration
		want            bool
	}{
		{0, 0, true}, {10 * s, 10 * s, true}, {10 * s, 11 * s, true}, {60 * s, 60 * s, true},
		{0, 31 * s, false},              // frozen
		{10 * s, 41 * s, false},         // set forward
		{31 * s, 1 * s, false},          // set back
		{1 * s, -1, false},              // set back before the answer
		{10 * s, 11*s + 1, false},       // more than a second apart
		{60*s + 1, 60*s + 1, false},     // too long ago
		{-1 << 63, 1<<63 - 1, false},    // far from anything
		{1<<63 - 1, 1<<63 - 1, false},   // far from anything
		{60 * s, 60*s + s/2, false},     // too long ago by one of them
		{60 * s, 60*s - s/2, true},      // within both bounds
		{59*s + s/2, 59 * s, true},      // slewed
		{-time.Nanosecond, 0, false},    // an answer of the future
		{30 * s, 30*s + s + s, false},   // set forward by two seconds
		{30 * s, 30*s - 2*s, false},     // set back by two seconds
		{time.Minute, time.Hour, false}, // frozen for an hour
	} {
		if got := steady(c.monotonic, c.wall); got != c.want {
			t.Errorf("steady(%v, %v) = %v, want %v", c.monotonic, c.wall, got, c.want)
		}
	}
}
