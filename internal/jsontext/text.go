package jsontext

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns the index, from i on, of the first byte that ends a run of plain string bytes: a quote, a
// backslash or a control character, or len(b). wide is not zero if the run has bytes beyond ASCII.
// It looks at eight bytes at a time, because most of any text is strings. With one byte at a
// time, Seal takes about a tenth longer for 16 KiB of data.
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

// readString reads the string that begins, with its quote, at b[i]. canonical says that it is spelled as its
// canonical form is. An error has no Pointer.
func readString(b []byte, i int) (end int, escaped, canonical bool, err *Error) {
	canonical = true
	start := i + 1
	var wide uint64 // not zero if there are bytes beyond ASCII
	for i = start; ; {
		run, w := plain(b, i)
		i, wide = run, wide|w
		switch {
		case i == len(b):
			return i, false, false, &Error{Fault: Syntax, Offset: i, Msg: "the text ends inside a string"}
		case b[i] < ' ':
			return i, false, false, &Error{Fault: Syntax, Offset: i,
				Msg: "a control character in a string is not escaped"}
		case b[i] == '"':
			if wide != 0 && !utf8.Valid(b[start:i]) {
				for n, r := range string(b[start:i]) {
					if r == utf8.RuneError && !bytes.HasPrefix(b[start+n:], []byte("\uFFFD")) {
						return i, false, false, &Error{Fault: UTF8, Offset: start +
							n, Msg: "a string is not valid UTF-8"}
					}
				}
			}
			return i + 1, escaped, canonical, nil
		}
		r, next, fault := unescape(b, i)
		switch fault {
		case Syntax:
			return i, false, false, &Error{Fault: fault, Offset: i, Msg: "not an escape sequence of JSON"}
		case Surrogate:
			return i, false, false, &Error{Fault: fault, Offset: i,
				Msg: "half of a surrogate pair stands alone"}
		}
		escaped = true
		if b[i+1] == 'u' || b[i+1] == '/' { // all others are canonical
			var spelled [6]byte
			canonical = canonical && string(appendRune(spelled[:0], r)) == string(b[i:next])
		}
		i = next
	}
}

// escapes has what a backslash and this byte stand for; 0 = nothing, or a sequence of more bytes.
var escapes = [256]byte{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// unescape decodes the escape sequence at b[i], or the pair of two that stand for one character. The Fault is
// Syntax or Surrogate, or 0.
func unescape(b []byte, i int) (r rune, end int, fault Fault) {
	if len(b)-i < 2 {
		return 0, 0, Syntax
	}
	if c := escapes[b[i+1]]; c != 0 {
		return rune(c), i + 2, 0
	}
	r = hexUnit(b, i)
	switch {
	case r < 0:
		return 0, 0, Syntax
	case !utf16.IsSurrogate(r):
		return r, i + 6, 0
	}
	if r = utf16.DecodeRune(r, hexUnit(b, i+6)); r == utf8.RuneError {
		return 0, 0, Surrogate
	}
	return r, i + 12, 0
}

// hexUnit is the UTF-16 code unit that b[i:] spells as \uXXXX, or -1.
func hexUnit(b []byte, i int) (unit rune) {
	if len(b)-i < 6 || b[i] != '\\' || b[i+1] != 'u' {
		return -1
	}
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

// AppendUnquote appends the text of the string that the JSON literal src is. The error is an *Error; dst then
// comes back as it was.
func AppendUnquote(dst, src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] != '"' {
		return dst, &Error{Fault: Syntax, Msg: "a string was expected"}
	}
	if text, end := unquote(dst, src); end == len(src) {
		return text, nil
	}
	end, _, _, err := readString(src, 0)
	if err != nil {
		return dst, err
	}
	return dst, &Error{Fault: Syntax, Offset: end, Msg: "something follows the JSON value"}
}

// unquote appends the text of the string at the beginning of src, in one walk. end is the index after the
// string. It is 0 if there is none: dst comes back with the room that it got, and readString finds the error.
//
// Text with JSON in it has an escape sequence at every few bytes. So eight bytes are copied at a time,
// whatever they are, and then counted up to the first that cannot be copied.
func unquote(dst, src []byte) (text []byte, end int) {
	dst = slices.Grow(dst, len(src)+8) // no spelling is shorter than the text
	out, n := dst[:cap(dst)], len(dst)
	var wide uint64 // has a top bit if there are bytes beyond ASCII
	for i := 1; i < len(src); {
		if len(src)-i >= 8 {
			w := binary.LittleEndian.Uint64(src[i:])
			binary.LittleEndian.PutUint64(out[n:], w)
			wide |= w
			quote, slash := w^('"'*ones), w^('\\'*ones) // as in plain, which finds the end of a longer run
			stop := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
			if stop == 0 {
				i, n = i+8, n+8
				continue
			}
			copied := bits.TrailingZeros64(stop) / 8
			i, n = i+copied, n+copied
		}
		switch c := src[i]; {
		case c == '\\' && i+1 < len(src) && escapes[src[i+1]] != 0:
			out[n] = escapes[src[i+1]]
			i, n = i+2, n+1
		case c == '\\':
			r, next, fault := unescape(src, i)
			if fault != 0 {
				return dst, 0
			}
			i, n = next, n+utf8.EncodeRune(out[n:], r)
		case c == '"':
			if wide&highs != 0 && !utf8.Valid(src[1:i]) {
				return dst, 0
			}
			return out[:n], i + 1
		case c < ' ':
			return dst, 0
		default:
			wide |= uint64(c)
			out[n] = c
			i, n = i+1, n+1
		}
	}
	return dst, 0
}

// AppendQuote appends text as a JSON string, in the canonical spelling: only characters that must be escaped
// are (RFC 8785 section 3.2.2.2). Invalid UTF-8 becomes U+FFFD, byte by byte.
func AppendQuote[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := len(dst)
	dst = append(dst, text...) // nearly all text needs no escapes
	end, wide := plain(dst, start)
	if end < len(dst) {
		dst, wide = escape(dst[:start], text)
	}
	if wide != 0 && !utf8.Valid(dst[start:]) { // an escape sequence does not make a character valid
		dst = dst[:start]
		for _, r := range string(text) {
			dst = appendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// QuotedSize is how many bytes AppendQuote appends, if text is UTF-8. It allocates nothing for a dst that has
// room for them and for 16 bytes more.
func QuotedSize[T string | []byte](text T) int {
	const low = ones * 0x7f
	size, i := len(text)+len(`""`), 0
	for ; len(text)-i >= 8; i += 8 {
		w := word(text, i)
		quote, slash, control := w^('"'*ones), w^('\\'*ones), w&(0xe0*ones)
		// The top bit of a byte is set exactly where it is zero: unlike those of plain, these can be counted.
		quote, slash = ^((quote&low + low) | quote | low), ^((slash&low + low) | slash | low)
		if ^((control&low + low) | control | low) == 0 {
			size += bits.OnesCount64(quote | slash)
			continue
		}
		for k := range 8 {
			size += int(longer[text[i+k]])
		}
	}
	for ; i < len(text); i++ {
		size += int(longer[text[i]])
	}
	return size
}

// word is the eight bytes at text[i:], the first one lowest, in one load.
func word[T string | []byte](text T, i int) uint64 {
	return uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
		uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
}

// longer is how many bytes more than itself a byte takes in a string; short is the escape sequence of two
// bytes, 0 = there is none.
var longer, short = func() (longer, short [256]byte) {
	for c := range byte(' ') {
		longer[c] = byte(len(`\u0000`) - 1)
	}
	for letter, c := range escapes {
		if c != 0 && c != '/' {
			longer[c], short[c] = 1, byte(letter)
		}
	}
	return longer, short
}()

// escape appends text with escape sequences. wide has a top bit if there are bytes beyond ASCII, which it
// does not check. As in unquote, eight bytes are copied at a time, whatever they are, since text with JSON in
// it has a quote at every few bytes.
func escape[T string | []byte](dst []byte, text T) (out []byte, wide uint64) {
	out, n := dst[:cap(dst)], len(dst)
	for i := 0; i < len(text); {
		if len(out)-n < 16 { // one step writes 13 bytes at most
			out = slices.Grow(out[:n], QuotedSize(text[i:])+16)
			out = out[:cap(out)]
		}
		if len(text)-i >= 8 {
			w := word(text, i)
			binary.LittleEndian.PutUint64(out[n:], w)
			wide |= w & highs
			quote, slash := w^('"'*ones), w^('\\'*ones) // as in plain
			stop := ((quote-ones)&^quote | (slash-ones)&^slash | (w-' '*ones)&^w) & highs
			if stop == 0 {
				i, n = i+8, n+8
				continue
			}
			copied := bits.TrailingZeros64(stop) / 8
			i, n = i+copied, n+copied
		}
		c := text[i]
		switch {
		case short[c] != 0:
			out[n], out[n+1] = '\\', short[c]
			n += 2
		case c < ' ':
			n = len(appendRune(out[:n], rune(c)))
		default:
			wide |= uint64(c & 0x80)
			out[n] = c
			n++
		}
		i++
	}
	return out[:n], wide
}

// appendRune appends r as a canonical string has it.
func appendRune(dst []byte, r rune) []byte {
	if r >= ' ' && r != '"' && r != '\\' {
		return utf8.AppendRune(dst, r)
	}
	if n := strings.IndexByte("\"\\\b\f\n\r\t", byte(r)); n >= 0 {
		return append(dst, '\\', `"\bfnrt`[n])
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
}

// AppendStrings appends a JSON array of strings; nil is an empty array.
func AppendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendQuote(dst, s)
	}
	return append(dst, ']')
}

// EscapeForXML escapes the two characters that a JSON text may hold as they are and that XML 1.0 forbids,
// U+FFFE and U+FFFF: SQS refuses a message with one of them. The text still means the same. A text without
// these characters is returned as it is.
func EscapeForXML(text []byte) []byte {
	const first = "\xef\xbf" // the first two of their three bytes; 62 other characters have them, too
	i := bytes.Index(text, []byte(first))
	if i < 0 {
		return text
	}
	var out []byte
	start := 0
	for ; i+2 < len(text); i++ {
		if text[i] != first[0] || text[i+1] != first[1] || text[i+2] < 0xbe {
			continue
		}
		out = append(out, text[start:i]...)
		out = append(out, `\uffff`...)
		out[len(out)-1] -= 0xbf - text[i+2] // e or f
		start = i + 3
	}
	if start == 0 {
		return text
	}
	return append(out, text[start:]...)
}

// ErrBase64 is the error of every text that is not strict base64 of the wanted kind. It quotes nothing of the
// text, which may be a secret.
var ErrBase64 = errors.New("not strict base64")

// The kinds of base64. Each has one text for each value.
var (
	Base64          = strictBase64{base64.StdEncoding.Strict()}    // RFC 4648 section 4, padded
	Base64URL       = strictBase64{base64.RawURLEncoding.Strict()} // section 5, not padded: JOSE's base64url
	Base64URLPadded = strictBase64{base64.URLEncoding.Strict()}    // section 5, padded: DSSE allows it
)

type strictBase64 struct{ encoding *base64.Encoding }

// AppendDecode appends the bytes that src encodes. The trailing bits of src must be zero. Line breaks, which
// the strict mode of the standard library skips, are refused. The error is ErrBase64; dst then comes back as
// it was.
func (s strictBase64) AppendDecode(dst, src []byte) ([]byte, error) {
	dst = slices.Grow(dst, s.encoding.DecodedLen(len(src)))
	n, err := s.encoding.Decode(dst[len(dst):cap(dst)], src)
	if err != nil || s.encoding.EncodedLen(n) != len(src) { // another length: there were line breaks
		return dst, ErrBase64
	}
	return dst[:len(dst)+n], nil
}
