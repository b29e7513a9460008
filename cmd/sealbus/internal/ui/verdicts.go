package ui

import (
	"fmt"
)

// The verdicts of listen.
const (
	VerdictVerified    = "verified"    // and handled, if there is a handler
	VerdictDuplicate   = "duplicate"   // was handled before
	VerdictRejected    = "rejected"    // for good, and it was not taken
	VerdictQuarantined = "quarantined" // rejected for good, and put away
	VerdictRetry       = "retry"       // could not be judged, put away or handled: it must come again
)

// VerdictUnavailable is that of an event that could not be judged, where nothing brings it again.
const VerdictUnavailable = "unavailable"

// CountVerdict is "1 duplicate", "2 duplicates", "2 verified".
func CountVerdict(n int, verdict string) string {
	switch verdict {
	case VerdictDuplicate:
		return Count(n, verdict)
	case VerdictRetry:
		return CountOf(n, "retry", "retries")
	}
	return fmt.Sprintf("%d %s", n, verdict)
}

// VerdictPaint is the one colour that each verdict has, in every command.
func (s Style) VerdictPaint(verdict string) func(string) string {
	switch verdict {
	case VerdictVerified:
		return s.Green
	case VerdictDuplicate:
		return s.Cyan
	case VerdictRetry, VerdictUnavailable:
		return s.Yellow
	}
	return s.Red
}
