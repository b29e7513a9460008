package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
)

// outputValue is --output.
type outputValue bool

func (v *outputValue) Set(text string) error {
	switch text {
	case "text", "json":
		*v = text == "json"
		return nil
	}
	return &exitError{code: exitUsage, err: fmt.Errorf("%q is neither text nor json", text), fix: "use --output text or --output json"}
}

func (v *outputValue) String() string {
	if *v {
		return "json"
	}
	return "text"
}

func (v *outputValue) Type() string { return "text|json" }

// momentValue is a flag with an absolute moment.
type momentValue time.Time

func (v *momentValue) Set(text string) error {
	t, err := parseMoment(text, time.Time{})
	if err == nil {
		*v = momentValue(t)
	}
	return err
}

func (v *momentValue) String() string { return formatTime(time.Time(*v)) }
func (v *momentValue) Type() string   { return "RFC3339" }

// parseMoment reads an RFC 3339 time, a date (its midnight, UTC), or, unless base is zero, "now" or a
// distance from base: "+7d".
func parseMoment(text string, base time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil && t.Year() >= 1 && !t.IsZero() {
		return t.UTC(), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil && !t.IsZero() {
		return t, nil
	}
	fix := "write it as 2026-01-31T12:00:00Z or 2026-01-31"
	if !base.IsZero() {
		if text == "now" {
			return base.UTC(), nil
		}
		if len(text) > 1 && text[0] == '+' {
			d, err := parseDuration(text[1:])
			return base.Add(d).UTC(), err
		}
		fix += ", as now, or as +7d from now"
	}
	return time.Time{}, &exitError{code: exitUsage, err: fmt.Errorf("%q is not a time", text), fix: fix}
}

// flagFailed names the flag whose value was refused.
func flagFailed(flag string, err error) error {
	var e *exitError
	if !errors.As(err, &e) {
		return err
	}
	return usage(e.fix, "--%s: %w", flag, e.err)
}

// durationValue is a flag with a duration that knows days.
type durationValue time.Duration

func (v *durationValue) Set(text string) error {
	d, err := parseDuration(text)
	*v = durationValue(d)
	return err
}

func (v *durationValue) String() string { return formatDuration(time.Duration(*v)) }
func (v *durationValue) Type() string   { return "duration" }

var days = regexp.MustCompile(`^(\d{1,6})d(.*)$`)

// parseDuration reads Go durations, with days in front if wanted: 7d, 1d12h, 90m. It is never negative.
func parseDuration(text string) (time.Duration, error) {
	var d time.Duration
	rest := text
	if m := days.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1]) // at most six digits
		d, rest = time.Duration(n)*24*time.Hour, m[2]
		if n > 36500 {
			rest = "too far"
		}
	}
	if rest != "" || text == "" {
		more, err := time.ParseDuration(rest)
		if err != nil || more < 0 || d+more < d {
			return 0, &exitError{code: exitUsage, err: fmt.Errorf("%q is not a duration", text), fix: "write it as 7d, 36h, 1d12h or 90m"}
		}
		d += more
	}
	return d, nil
}

// formatDuration writes a duration as parseDuration reads it, in its two largest units. Of one between times
// that are too far apart for a Duration it says that.
func formatDuration(d time.Duration) string {
	switch {
	case howlong.Far(d) && d < 0:
		return "minus " + howlong.FarText
	case howlong.Far(d):
		return howlong.FarText
	case d < 0:
		return "-" + formatDuration(-d)
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

// formatTime writes a moment as everywhere in sealbus: UTC, RFC 3339; "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// daysLeft is how many whole days are left until t; negative when it is over.
func daysLeft(t, now time.Time) int {
	d := t.Sub(now)
	if howlong.Far(d) {
		return int((t.Unix() - now.Unix()) / (24 * 60 * 60))
	}
	return int(d.Hours() / 24)
}
