package jsontext

import (
	"cmp"
	"unicode/utf8"
)

// compareNames orders the strings whose opening quotes are at b[i] and b[j] by their UTF-16 code units
// (RFC 8785 section 3.2.3). Both must have been read without error.
func compareNames(b []byte, i, j int) int {
	for i, j = i+1, j+1; ; {
		c, d := b[i], b[j]
		switch {
		case c == '\\' || d == '\\':
			r, x := runeAt(b, i)
			q, y := runeAt(b, j)
			if r != q {
				return compareRunes(r, q)
			}
			i, j = x, y
		case c != d:
			return cmp.Compare(rank(c), rank(d))
		case c == '"':
			return 0
		default:
			i, j = i+1, j+1
		}
	}
}

// rank orders bytes that differ after an equal prefix, both in UTF-8, as the UTF-16 code units would be.
// The end of a string comes first. Then UTF-8 has the order of code points, and UTF-16 too, but for the
// lead bytes of U+E000 to U+FFFF, which come after all surrogates.
func rank(c byte) byte {
	switch c {
	case '"':
		return 0
	case 0xEE, 0xEF:
		return c + 0x10
	}
	return c
}

// runeAt is the character at b[i] and the index after it; the end of the string is -1.
func runeAt(b []byte, i int) (r rune, end int) {
	switch c := b[i]; {
	case c == '"':
		return -1, i
	case c == '\\':
		r, end, _ = unescape(b, i)
		return r, end
	default:
		r, n := utf8.DecodeRune(b[i:])
		return r, i + n
	}
}

func compareRunes(r, q rune) int {
	if c := cmp.Compare(firstUnit(r), firstUnit(q)); c != 0 {
		return c
	}
	return cmp.Compare(r, q)
}

// firstUnit is the first UTF-16 code unit of r.
func firstUnit(r rune) rune {
	if r < 0x10000 {
		return r
	}
	return 0xD800 + (r-0x10000)>>10
}
