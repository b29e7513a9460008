// Package uitest looks at text as a terminal would: how wide it is, and whether it holds control sequences.
package uitest

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

func StripColour(text string) string {
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	return text
}

// Obeyed is what a terminal obeys, hides, or lets change the order of other text: one of each kind.
const Obeyed = "\x00\x07\b\x1b[2J\x1b[31m\x1b]0;t\x07\x7f\u0080\u009b31m\u0085\u00a0\u00ad\u034f\u061c\u115f\u180e\u200b\u200d\u200e\u200f" +
	"\u2028\u2029\u202a\u202e\u2060\u2066\u2069\u2800\u3164\ufe0f\ufeff\ufff9\U000e0041\U000e0100\U0010fffd"

// Harmful is what is left of it in output; "" = nothing. The paints of this program are not.
func Harmful(out string) string {
	bare := StripColour(out)
	for i, c := range bare {
		if c == '\n' || c == '\t' {
			continue
		}
		if _, n := utf8.DecodeRuneInString(bare[i:]); ui.Unprintable(c) || c == utf8.RuneError && n == 1 {
			return fmt.Sprintf("%+q at %d, after %q", c, i, bare[max(0, i-40):i])
		}
	}
	if at := strings.Index(out, "\x1b[31mCANARY"); at >= 0 {
		return "a paint that came with the data"
	}
	return ""
}

// Widest is the widest line, and how wide it is.
func Widest(text string) (line string, columns int) {
	for l := range strings.SplitSeq(StripColour(text), "\n") {
		if n := ui.Width(l); n > columns {
			line, columns = l, n
		}
	}
	return line, columns
}
