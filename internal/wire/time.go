package wire

import (
	"errors"
	"strings"
	"time"
)

// The errors of ParseTime.
var (
	errTime     = errors.New("not an RFC 3339 timestamp, such as 2006-01-02T15:04:05Z")
	errFraction = errors.New("a timestamp has at most 9 fraction digits")
	errYear     = errors.New("a timestamp lies in the years 0001 to 9999 of UTC, after the first second")
)

// ParseTime reads an RFC 3339 timestamp with at most nine fraction digits, T and Z in upper case. Without a
// zone it is UTC. The result is in UTC and in the years 0001 to 9999, which is where it can be written again;
// the first second of those is refused, since it is the zero time.Time, which means that there is none. There
// is no second 60: a time.Time has none.
func ParseTime(text string) (time.Time, error) {
	const layout = "0000-00-00T00:00:00"
	if len(text) < len(layout) || !punctuated(text, layout) {
		return time.Time{}, errTime
	}
	zone := text[len(layout):]
	if strings.HasPrefix(zone, ".") {
		zone = strings.TrimLeft(zone[1:], "0123456789")
		switch digits := len(text) - len(layout) - len(".") - len(zone); {
		case digits == 0:
			return time.Time{}, errTime
		case digits > 9:
			return time.Time{}, errFraction
		}
	}
	form, local := time.RFC3339Nano, text // nearly all times end in Z, for which package time is fast
	if zone != "Z" {
		form, local = "2006-01-02T15:04:05", text[:len(text)-len(zone)] // the fraction is read, too
	}
	t, err := time.Parse(form, local)
	if err != nil {
		return time.Time{}, errTime
	}
	if zone != "" && zone != "Z" {
		if len(zone) != len("+00:00") || !punctuated(zone[1:], "00:00") || zone[1:3] > "23" || zone[4:] > "59" {
			return time.Time{}, errTime
		}
		hours := 10*time.Duration(zone[1]-'0') + time.Duration(zone[2]-'0')
		minutes := 10*time.Duration(zone[4]-'0') + time.Duration(zone[5]-'0')
		east := hours*time.Hour + minutes*time.Minute
		switch zone[0] {
		case '+':
			t = t.Add(-east)
		case '-':
			t = t.Add(east)
		default:
			return time.Time{}, errTime
		}
	}
	if !writable(t) || t.Truncate(time.Second).IsZero() {
		return time.Time{}, errYear
	}
	return t, nil
}

// FormatTime writes t in UTC with Z, trailing zeros of the fraction dropped: the form in which a time is
// sealed. t must lie in the years 0001 to 9999.
func FormatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// FormatSeconds writes t in UTC with Z and without a fraction: the form in which a time is hashed. t must lie
// in the years 0001 to 9999.
func FormatSeconds(t time.Time) string { return string(AppendSeconds(make([]byte, 0, 20), t)) }

// AppendSeconds is FormatSeconds that appends.
func AppendSeconds(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339)
}

// writable reports whether t has a four-digit year in UTC.
func writable(t time.Time) bool {
	year := t.UTC().Year()
	return 1 <= year && year <= 9999
}

// punctuated reports whether text begins as layout says, a 0 there standing for any digit.
func punctuated(text, layout string) bool {
	for i := range len(layout) {
		if layout[i] == '0' && isDigit(text[i]) || layout[i] == text[i] {
			continue
		}
		return false
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
