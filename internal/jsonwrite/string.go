// Package jsonwrite writes the pieces of JSON documents of known shape in their canonical spelling.
package jsonwrite

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string as RFC 8785 section 3.2.2.2 spells it: only what must be
// escaped is. Invalid UTF-8 becomes U+FFFD, byte by byte.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' {
				dst = appendEscape(append(dst, s[start:i]...), c)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(append(dst, s[start:i]...), "\uFFFD"...)
			start = i + 1
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

// AppendText is AppendString for text that is known to be valid UTF-8: what is not is written as it is.
func AppendText[T string | []byte](dst []byte, text T) []byte {
	dst = append(dst, '"')
	for {
		n := plain(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, text[n])
		text = text[n+1:]
	}
}

// plain is how many bytes at the beginning of text need no escape. It looks at eight of them at a time, as
// most of what is written is base64 of some hundred bytes.
func plain[T string | []byte](text T) int {
	i := 0
	for ; i+8 <= len(text); i += 8 {
		var word [8]byte
		copy(word[:], text[i:i+8])
		if escapes(binary.LittleEndian.Uint64(word[:])) {
			break
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' {
			return i
		}
	}
	return i
}

// escapes reports whether one of the eight bytes of w is below ' ', a quotation mark or a backslash.
// (x-0x01..)&^x has the high bit of a byte set if x has a zero there; see Hacker's Delight, 6-1.
func escapes(w uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^ones*'"', w^ones*'\\'
	return ((w-ones*' ')&^w|(quote-ones)&^quote|(slash-ones)&^slash)&highs != 0
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
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
		out = append(append(out, text[start:i]...), '\\', 'u', 'f', 'f', 'f', hex[text[i+2]&0xf])
		start = i + 3
	}
	if start == 0 {
		return text
	}
	return append(out, text[start:]...)
}

// AppendStrings appends a JSON array of strings; nil is an empty array.
func AppendStrings(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, s)
	}
	return append(dst, ']')
}
