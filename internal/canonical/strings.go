package canonical

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns the index, from i on, of the first byte that ends a run of plain string bytes: a quote, a
// backslash or a control character, or len(b). wide is not zero if the run has bytes beyond ASCII.
// It looks at eight bytes at a time, for most of any text is strings.
func plain(b []byte, i int) (end int, wide uint64) {
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		// The top bit of a byte is set where it is zero (below 0x20, for the third). A borrow can set
		// more of them, but only above a true one, and only the lowest is used.
		stop := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
		if stop != 0 {
			n := bits.TrailingZeros64(stop) &^ 7
			return i + n/8, wide | w&highs&(1<<n-1)
		}
		wide |= w & highs
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
		wide |= uint64(b[i] & 0x80)
	}
	return i, wide
}

// invalidUTF8 is the offset of the first byte that is not UTF-8.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// unescape decodes the escape sequence, or surrogate pair of two, at b[i].
func unescape(b []byte, i int) (r rune, end int, kind Kind) {
	if len(b)-i < 2 {
		return 0, 0, Syntax
	}
	switch c := b[i+1]; c {
	case '"', '\\', '/':
		return rune(c), i + 2, 0
	case 'b':
		return '\b', i + 2, 0
	case 'f':
		return '\f', i + 2, 0
	case 'n':
		return '\n', i + 2, 0
	case 'r':
		return '\r', i + 2, 0
	case 't':
		return '\t', i + 2, 0
	}
	r = hexUnit(b, i)
	if r < 0 || !utf16.IsSurrogate(r) {
		return r, i + 6, syntaxIf(r < 0)
	}
	if r = utf16.DecodeRune(r, hexUnit(b, i+6)); r == utf8.RuneError {
		return 0, 0, Surrogate
	}
	return r, i + 12, 0
}

func syntaxIf(bad bool) Kind {
	if bad {
		return Syntax
	}
	return 0
}

// hexUnit is the UTF-16 code unit that b[i:] spells as \uXXXX, or -1.
func hexUnit(b []byte, i int) rune {
	if len(b)-i < 6 || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range b[i+2 : i+6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		unit = unit<<4 | rune(c)
	}
	return unit
}

// appendRune appends r as a canonical string has it (RFC 8785 section 3.2.2.2).
func appendRune(dst []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

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
