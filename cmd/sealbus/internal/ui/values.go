package ui

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
)

// Choice is a flag that takes one of a few words, of which the first is the default.
type Choice struct {
	Value string
	Words []string
	Name  string // in the help; "" = the words
}

func NewChoice(words ...string) Choice { return Choice{Value: words[0], Words: words} }

func (c *Choice) Set(text string) error {
	if !slices.Contains(c.Words, text) {
		return &Error{Code: ExitUsage, Err: fmt.Errorf("%q is not one of its values", text),
			Fix: "use one of " + strings.Join(c.Words, ", ")}
	}
	c.Value = text
	return nil
}

func (c *Choice) String() string { return c.Value }
func (c *Choice) Type() string   { return cmp.Or(c.Name, strings.Join(c.Words, "|")) }

// OutputValue is --output.
type OutputValue bool

func (v *OutputValue) Set(text string) error {
	switch text {
	case "text", "json":
		*v = text == "json"
		return nil
	}
	return &Error{Code: ExitUsage, Err: fmt.Errorf("%q is neither text nor json", text),
		Fix: "use --output text or --output json"}
}

func (v *OutputValue) String() string {
	if *v {
		return "json"
	}
	return "text"
}

func (v *OutputValue) Type() string { return "text|json" }

// MomentValue is a flag with an absolute moment.
type MomentValue time.Time

func (v *MomentValue) Set(text string) error {
	t, err := ParseMoment(text, time.Time{})
	if err == nil {
		*v = MomentValue(t)
	}
	return err
}

func (v *MomentValue) String() string { return FormatTime(time.Time(*v)) }
func (v *MomentValue) Type() string   { return "RFC3339" }

// ParseMoment reads an RFC 3339 time, a date (its midnight, UTC), or, unless base is zero, "now" or a
// distance from base: "+7d".
func ParseMoment(text string, base time.Time) (time.Time, error) {
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
			d, err := ParseDuration(text[1:])
			return base.Add(d).UTC(), err
		}
		fix += ", as now, or as +7d from now"
	}
	return time.Time{}, &Error{Code: ExitUsage, Err: fmt.Errorf("%q is not a time", text), Fix: fix}
}

// FlagFailed names the flag whose value was refused.
func FlagFailed(flag string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return Usage(e.Fix, "--%s: %w", flag, e.Err)
}

// DurationValue is a flag with a duration that knows days.
type DurationValue time.Duration

func (v *DurationValue) Set(text string) error {
	d, err := ParseDuration(text)
	*v = DurationValue(d)
	return err
}

func (v *DurationValue) String() string { return FormatDuration(time.Duration(*v)) }
func (v *DurationValue) Type() string   { return "duration" }

// ParseDuration reads Go durations, with days in front if wanted: 7d, 1d12h, 90m. It is never negative.
func ParseDuration(text string) (time.Duration, error) {
	d, err := howlong.Parse(text)
	if err != nil {
		return 0, &Error{Code: ExitUsage, Err: err, Fix: "write it as 7d, 36h, 1d12h or 90m"}
	}
	return d, nil
}

// FormatDuration writes a duration as ParseDuration reads it, in its two largest units. Of one between times
// that are too far apart for a Duration it says that.
func FormatDuration(d time.Duration) string { return howlong.Short(d) }

// FormatTime writes a moment as everywhere in sealbus: UTC, RFC 3339; "" for the zero time.
func FormatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// DaysLeft is how many whole days are left until t; negative when it is over.
func DaysLeft(t, now time.Time) int {
	d := t.Sub(now)
	if howlong.Far(d) {
		return int((t.Unix() - now.Unix()) / (24 * 60 * 60))
	}
	return int(d.Hours() / 24)
}
