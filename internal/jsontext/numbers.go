package jsontext

import "strings"

// shortNumber is the length in bytes below which a number is of no kind that AnyNumber is asked for: those
// have 15 digits and more.
const shortNumber = 15

// AnyNumber reports whether the strict JSON text has a number of that kind, of 15 bytes or more. In canonical
// JSON it is canonical, too.
func AnyNumber(data []byte, is func(number string) bool) bool {
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			for i, _ = plain(data, i+1); data[i] != '"'; i, _ = plain(data, i+2) { // over an escape sequence
			}
		case c == '-' || '0' <= c && c <= '9':
			start := i
			for i < len(data) && ('+' <= data[i] && data[i] <= '9' && data[i] != ',' && data[i] != '/' ||
				data[i]|0x20 == 'e') {
				i++
			}
			if i-start >= shortNumber && is(string(data[start:i])) {
				return true
			}
			i--
		}
	}
	return false
}

// SignificantDigits is how many digits a JSON number has between its first and its last that are not 0.
func SignificantDigits(number string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
	return len(strings.Trim(strings.ReplaceAll(strings.TrimPrefix(mantissa, "-"), ".", ""), "0"))
}

// IsFragile reports whether a canonical number may not survive a reader that holds numbers in an IEEE 754
// double, and prints at most 16 digits of them.
func IsFragile(number string) bool {
	const exact = "9007199254740992" // 2^53
	digits := strings.TrimPrefix(number, "-")
	if strings.Trim(digits, "0123456789") == "" {
		return len(digits) > len(exact) || len(digits) == len(exact) && digits > exact
	}
	return SignificantDigits(number) >= 17
}
