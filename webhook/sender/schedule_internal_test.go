package sender

import (
	"net/http"
	"testing"
	"time"
)

var epoch = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

func TestReadRetryAfter(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "086400": maxRetryAfter, "+7": 0, "-7": 0,
		"7.5": 0, "7s": 0, "0x10": 0, "1e3": 0, "2147483648": maxRetryAfter,
		"99999999999999999999999999": maxRetryAfter, "٧": 0,
		"Mon, 30 Nov 2026 12:00:09 GMT":    9 * time.Second,
		"Monday, 30-Nov-26 12:00:09 GMT":   9 * time.Second,
		"Mon Nov 30 12:00:09 2026":         9 * time.Second,
		"Mon, 30 Nov 2026 11:59:59 GMT":    0,
		"Fri, 31 Dec 9999 23:59:59 GMT":    maxRetryAfter,
		"Mon, 30 Nov 2026 12:00:09 +0100":  0,
		"2026-11-30T12:00:09Z":             0,
		"Mon, 30 Nov 2026 12:00:09 GMT, 7": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}, epoch); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"5", "6"}}, epoch); got != 0 {
		t.Errorf("two lines are %v, want 0", got)
	}
	late := http.Header{"Retry-After": {"Mon, 30 Nov 2026 11:00:09 GMT"},
		"Date": {"Mon, 30 Nov 2026 11:00:00 GMT"}}
	if got := retryAfter(late, epoch); got != 9*time.Second {
		t.Errorf("by a clock that is an hour late it is %v, want 9 s", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "7", "-1", "99999999999999999999", "Mon, 30 Nov 2026 12:00:09 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(text, "Mon, 30 Nov 2026 11:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, text, date string) {
		got := retryAfter(http.Header{"Retry-After": {text}, "Date": {date}}, epoch)
		if got < 0 || got > maxRetryAfter {
			t.Errorf("%q at %q is %v", text, date, got)
		}
		if next, more := wait(t.Context(), DefaultSchedule(), 1, got); !more || next < got || next < 4*time.Second {
			t.Errorf("%q at %q: the next attempt follows after %v, more: %t", text, date, next, more)
		}
	})
}
