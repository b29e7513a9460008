// Package howlong says how long the time between two moments is, also where a time.Duration cannot.
package howlong

import (
	"math"
	"time"
)

// FarText stands for the time between two moments that are further apart than a Duration can tell.
// time.Time.Sub then returns the longest or the shortest Duration, which prints as 2562047h47m16s or
// -2562047h47m16s.
const FarText = "more than 292 years"

// far is a day less than the longest Duration, so that Far also finds a rounded one.
const far = math.MaxInt64/(24*time.Hour)*(24*time.Hour) - 24*time.Hour

// Far reports whether d, the result of time.Time.Sub, stands for a time that a Duration cannot tell.
func Far(d time.Duration) bool { return d.Abs() >= far }

// Text is how long d is, without its sign, to the second.
func Text(d time.Duration) string {
	if Far(d) {
		return FarText
	}
	return d.Abs().Round(time.Second).String()
}
