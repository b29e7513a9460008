// Package howlong says how long the time between two moments is, also where a time.Duration cannot.
package howlong

import (
	"fmt"
	"math"
	"strconv"
	"strings"
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

// Short is d as Parse reads it, in its two largest units: 7d, 1d12h.
func Short(d time.Duration) string {
	switch {
	case Far(d) && d < 0:
		return "minus " + FarText
	case Far(d):
		return FarText
	case d < 0:
		return "-" + Short(-d)
	}
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := strconv.FormatInt(int64(d/u.size), 10) + u.name
		if i+1 < len(units) {
			if n := d % u.size / units[i+1].size; n > 0 {
				text += strconv.FormatInt(int64(n), 10) + units[i+1].name
			}
		}
		return text
	}
	return "0s"
}

// mostDays bounds the days of a duration: a hundred years.
const mostDays = 36_500

// Parse reads Go durations, with days in front if wanted: 7d, 1d12h, 90m. The result is never negative.
func Parse(text string) (time.Duration, error) {
	var d time.Duration
	rest, is := text, text != ""
	if before, after, found := strings.Cut(text, "d"); found {
		n, err := strconv.ParseUint(before, 10, 64)
		d, rest, is = time.Duration(min(n, mostDays))*24*time.Hour, after, err == nil && n <= mostDays
	}
	if rest != "" && is {
		more, err := time.ParseDuration(rest)
		is = err == nil && more >= 0 && d+more >= d
		d += more
	}
	if !is {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return d, nil
}
