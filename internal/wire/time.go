package wire

import (
	"errors"
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
	year, month, day := digits(text[0:4]), digits(text[5:7]), digits(text[8:10])
	hour, minute, second := digits(text[11:13]), digits(text[14:16]), digits(text[17:19])
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errTime
	}
	nano, zone, err := fraction(text[len(layout):])
	if err != nil {
		return time.Time{}, err
	}
	east, ok := offset(zone)
	if !ok {
		return time.Time{}, errTime
	}
	t := time.Date(year, time.Month(month), day, hour, minute-east, second, nano, time.UTC)
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
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05Z")
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

func digits(text string) (n int) {
	for i := range len(text) {
		n = 10*n + int(text[i]-'0')
	}
	return n
}

func daysIn(year, month int) int {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4 || month == 6 || month == 9 || month == 11:
		return 30
	}
	return 31
}

// fraction reads the nanoseconds after the seconds and returns what follows them.
func fraction(text string) (nano int, rest string, err error) {
	if text == "" || text[0] != '.' {
		return 0, text, nil
	}
	n := 1
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	switch {
	case n == 1:
		return 0, "", errTime
	case n > 1+9:
		return 0, "", errFraction
	}
	nano = digits(text[1:n])
	for i := n; i < 1+9; i++ {
		nano *= 10
	}
	return nano, text[n:], nil
}

// offset reads a zone: minutes east of UTC.
func offset(zone string) (minutes int, ok bool) {
	if zone == "" || zone == "Z" {
		return 0, true
	}
	if len(zone) != len("+00:00") || !punctuated(zone[1:], "00:00") {
		return 0, false
	}
	hour, minute := digits(zone[1:3]), digits(zone[4:6])
	if hour > 23 || minute > 59 {
		return 0, false
	}
	switch zone[0] {
	case '+':
		return 60*hour + minute, true
	case '-':
		return -60*hour - minute, true
	}
	return 0, false
}
