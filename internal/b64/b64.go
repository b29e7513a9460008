// Package b64 reads base64 strictly: one text per value. The standard library's strict mode still skips line
// breaks, which would let one signed value be written in many ways.
package b64

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
)

// ErrEncoding is the error of every text that is not strict base64 of the wanted kind. It quotes nothing of
// the text, which may be a secret.
var ErrEncoding = errors.New("not strict base64")

var (
	std = base64.StdEncoding.Strict()
	url = base64.URLEncoding.Strict()
	raw = base64.RawURLEncoding.Strict()
)

// AppendStd appends what src encodes: RFC 4648 section 4, padded, zero trailing bits, no line breaks.
// On error dst is returned as it was.
func AppendStd(dst, src []byte) ([]byte, error) { return appendDecoded(dst, src, std) }

// AppendURL appends what src encodes: RFC 4648 section 5 without padding (JOSE's base64url), zero
// trailing bits, no line breaks. On error dst is returned as it was.
func AppendURL(dst, src []byte) ([]byte, error) { return appendDecoded(dst, src, raw) }

// AppendEither is AppendStd for either alphabet, as DSSE demands; one text uses one alphabet.
func AppendEither(dst, src []byte) ([]byte, error) {
	if bytes.IndexByte(src, '-') >= 0 || bytes.IndexByte(src, '_') >= 0 {
		return appendDecoded(dst, src, url)
	}
	return appendDecoded(dst, src, std)
}

func appendDecoded(dst, src []byte, enc *base64.Encoding) ([]byte, error) {
	dst = slices.Grow(dst, enc.DecodedLen(len(src)))
	n, err := enc.Decode(dst[len(dst):cap(dst)], src)
	// The length tells line breaks, which Decode skips.
	if err != nil || enc.EncodedLen(n) != len(src) {
		return dst, ErrEncoding
	}
	return dst[:len(dst)+n], nil
}
