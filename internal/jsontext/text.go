package jsontext

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain returns the index, from i on, of the first byte that ends a run of plain string bytes: a quote, a
// backslash or a control character, or len(b). wide is not zero if the run has bytes beyond ASCII.
// It looks at eight bytes at a time, since most of any text is strings, and most of those are base64.
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

// literal is what a strict walk over a string literal found.
type literal struct {
	end       int  // the index after the closing quote, or that of the fault
	escaped   bool // it has an escape sequence
	canonical bool // its escape sequences are those of the canonical form
	fault     Fault
}

// message says what is wrong at b[l.end].
func (l *literal) message(b []byte) string {
	switch {
	case l.fault == UTF8:
		return "a string is not valid UTF-8"
	case l.fault == Surrogate:
		return "half of a surrogate pair stands alone"
	case l.end >= len(b):
		return "the text ends inside a string"
	case b[l.end] == '\\':
		return "not an escape sequence of JSON"
	}
	return "a control character in a string is not escaped"
}

// readLiteral reads the string literal that begins, with its quote, at b[i].
func readLiteral(b []byte, i int) literal {
	l := literal{canonical: true}
	start := i + 1
	var wide uint64 // non-zero once a byte beyond ASCII was seen
	for i = start; ; {
		end, w := plain(b, i)
		wide |= w
		switch {
		case end < len(b) && b[end] == '"':
			if wide != 0 && !utf8.Valid(b[start:end]) {
				return literal{end: start + invalidUTF8(b[start:end]), fault: UTF8}
			}
			l.end = end + 1
			return l
		case end >= len(b) || b[end] != '\\':
			return literal{end: end, fault: Syntax}
		}
		r, next, fault := unescape(b, end)
		if fault != 0 {
			return literal{end: end, fault: fault}
		}
		l.escaped = true
		if b[end+1] == 'u' || b[end+1] == '/' { // all others are canonical
			var spelled [6]byte
			l.canonical = l.canonical && string(appendRune(spelled[:0], r)) == string(b[end:next])
		}
		i = next
	}
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
func unescape(b []byte, i int) (r rune, end int, fault Fault) {
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

// AppendUnquote appends the text of the string that the JSON literal src is. The error is an *Error; dst then
// comes back as it was.
func AppendUnquote(dst, src []byte) ([]byte, error) {
	if len(src) == 0 || src[0] != '"' {
		return dst, &Error{Fault: Syntax, Msg: "a string was expected"}
	}
	l := readLiteral(src, 0)
	switch {
	case l.fault != 0:
		return dst, &Error{Fault: l.fault, Offset: l.end, Msg: l.message(src)}
	case l.end != len(src):
		return dst, &Error{Fault: Syntax, Offset: l.end, Msg: "something follows the JSON value"}
	}
	return appendUnescaped(dst, src[1:len(src)-1]), nil
}

// appendUnescaped appends the text of a literal that was read without fault; inner is all between its quotes.
func appendUnescaped(dst, inner []byte) []byte {
	for i := 0; ; {
		end, _ := plain(inner, i)
		dst = append(dst, inner[i:end]...)
		if end == len(inner) {
			return dst
		}
		var r rune
		r, i, _ = unescape(inner, end)
		dst = utf8.AppendRune(dst, r)
	}
}

// AppendQuote appends text as a JSON string, in the canonical spelling: only characters that must be escaped
// are (RFC 8785 section 3.2.2.2). Invalid UTF-8 becomes U+FFFD, byte by byte.
func AppendQuote[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	start := len(dst)
	dst = append(dst, text...) // nearly all text needs no escapes
	if end, wide := plain(dst, start); end < len(dst) || wide != 0 && !utf8.Valid(dst[start:]) {
		dst = appendEscaped(dst[:start], bytes.Clone(dst[start:]))
	}
	return append(dst, '"')
}

func appendEscaped(dst, text []byte) []byte {
	if !utf8.Valid(text) {
		text = []byte(string([]rune(string(text))))
	}
	for i := 0; ; i++ {
		end, _ := plain(text, i)
		dst = append(dst, text[i:end]...)
		if end == len(text) {
			return dst
		}
		dst = appendRune(dst, rune(text[end]))
		i = end
	}
}

// appendRune appends r as a canonical string has it.
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

// EscapeForXML is the JSON text with the characters escaped that JSON has raw and XML 1.0 has not at all:
// U+FFFE and U+FFFF. SQS takes no message with one of them. The text, which is returned as it is if it has
// none, means the same.
func EscapeForXML(text []byte) []byte {
	const first = "\xef\xbf" // of the three bytes of both, and of no more than 62 others
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

var (
	stdBase64    = base64.StdEncoding.Strict()
	urlBase64    = base64.URLEncoding.Strict()
	rawURLBase64 = base64.RawURLEncoding.Strict()
)

// DecodeBase64 appends the bytes that src encodes: RFC 4648 section 4, padded, with zero trailing bits. There
// is one text per value: line breaks, which the strict mode of the standard library skips, are refused. On
// error dst is returned as it was.
func DecodeBase64(dst, src []byte) ([]byte, error) { return decodeBase64(dst, src, stdBase64) }

// DecodeBase64URL is DecodeBase64 for RFC 4648 section 5 without padding (JOSE's base64url).
func DecodeBase64URL(dst, src []byte) ([]byte, error) { return decodeBase64(dst, src, rawURLBase64) }

// DecodeBase64Either is DecodeBase64 for either alphabet with padding, as DSSE demands. One text uses one
// alphabet.
func DecodeBase64Either(dst, src []byte) ([]byte, error) {
	if bytes.IndexByte(src, '-') >= 0 || bytes.IndexByte(src, '_') >= 0 {
		return decodeBase64(dst, src, urlBase64)
	}
	return decodeBase64(dst, src, stdBase64)
}

func decodeBase64(dst, src []byte, enc *base64.Encoding) ([]byte, error) {
	dst = slices.Grow(dst, enc.DecodedLen(len(src)))
	n, err := enc.Decode(dst[len(dst):cap(dst)], src)
	// The length tells line breaks, which Decode skips.
	if err != nil || enc.EncodedLen(n) != len(src) {
		return dst, ErrBase64
	}
	return dst[:len(dst)+n], nil
}
