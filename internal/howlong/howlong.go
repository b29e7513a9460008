// Package howlong says how long the time between two moments is, also where a time.Duration cannot.
package howlong

import (
	"math"
	"time"
)

// FarText is what is said of times further apart than a Duration reaches. time.Time.Sub then answers with
// the longest or the shortest Duration there is, which prints as 2562047h47m16s, or as -2562047h47m16s
// although its sign was changed.
const FarText = "more than 292 years"

// far is a day less than a Duration reaches, so that it is found after rounding, too.
const far = math.MaxInt64/(24*time.Hour)*(24*time.Hour) - 24*time.Hour

// Far reports whether d, the result of time.Time.Sub, says no more than that.
func Far(d time.Duration) bool { return d.Abs() >= far }

// Text is how long d is, whatever its sign, to the second.
func Text(d time.Duration) string {
	if Far(d) {
		return FarText
	}
	return d.Abs().Round(time.Second).String()
}
