package sender

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jitter"
)

// DefaultSchedule is how long after each attempt the next one follows: 10 attempts within 75 h 35 min 5 s
// (Standard Webhooks 1.0.0, "Deliverability and reliability").
func DefaultSchedule() []time.Duration {
	return []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour}
}

const (
	spread = 0.2 // each wait is longer or shorter by up to this part
	// maxRetryAfter is the longest wait that a receiver can ask for.
	maxRetryAfter = 24 * time.Hour
)

// wait is how long after the attempt that failed the next one follows. A Retry-After only lengthens it. False
// = it was the last one.
func wait(ctx context.Context, schedule []time.Duration, failed int, retryAfter time.Duration,
) (time.Duration, bool) {
	if failed > len(schedule) {
		return 0, false
	}
	return max(spreadOut(ctx, schedule[failed-1]), retryAfter), true
}

// spreadOut is a wait with its random part.
func spreadOut(ctx context.Context, d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - spread + 2*spread*jitter.Draw(ctx)))
}

// retryAfter reads Retry-After: seconds, or a date (RFC 9110, section 10.2.3), which counts from the Date of
// the answer if it has one, because the clocks may differ. Anything else, and what stands twice, is 0.
func retryAfter(header http.Header, now time.Time) time.Duration {
	values := header.Values("Retry-After")
	if len(values) != 1 {
		return 0
	}
	text := strings.Trim(values[0], " \t")
	if isDigits(text) {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil { // more than 31 bits
			return maxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}
