package jsontext

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
)

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
