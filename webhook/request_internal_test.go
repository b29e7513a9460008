package webhook

import (
	"strings"
	"testing"
)

// TestNamesOfHeadersIgnoreTheCaseOfLetters: of ASCII letters, and of nothing else.
func TestNamesOfHeadersIgnoreTheCaseOfLetters(t *testing.T) {
	for x := range 0x80 {
		for y := range 0x80 {
			a, b := "X-"+string(rune(x))+"-Id", "x-"+string(rune(y))+"-iD"
			if got, want := sameName(a, b), strings.EqualFold(a, b); got != want {
				t.Errorf("%q and %q: %v, want %v", a, b, got, want)
			}
		}
	}
	for _, c := range [][2]string{{"Id", "Id2"}, {"", "a"}, {"K-Id", "\u212a-Id"}, {"\u00e9", "\u00c9"},
		{"s-Id", "\u017f-Id"}, {"a\u017f\u017f", "as\u212a"}} {
		if sameName(c[0], c[1]) || sameName(c[1], c[0]) {
			t.Errorf("%q and %q are the same", c[0], c[1])
		}
	}
}
