package jwe

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

var base64url = base64.RawURLEncoding

// Encrypt encrypts plaintext to all recipients in to, and binds it to aad, which is not empty. All of them
// must have been given this very key, else ErrForeignKey. contentType is the media type of the plaintext. The
// result is canonical JSON. Encrypt refuses to write a message that Parse would refuse: ErrTooLarge,
// ErrNoRecipient, ErrUnbound, ErrMalformed. A zeroed key is ErrKey.
func Encrypt(key *ContentKey, plaintext []byte, contentType string, aad []byte, to []WrappedKey) ([]byte, error) {
	if err := checkEncrypt(key, plaintext, contentType, aad, to); err != nil {
		return nil, err
	}
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	var room [256]byte
	protected := appendProtected(room[:0], contentType, key)
	boundSize := base64url.EncodedLen(len(protected)) + 1 + base64url.EncodedLen(len(aad))
	b := make([]byte, 0, boundSize+nonceSize+len(plaintext)+tagSize)
	b = base64url.AppendEncode(b, protected)
	dot := len(b)
	bound := base64url.AppendEncode(append(b, '.'), aad)
	sealed := aead.Seal(bound[boundSize:], nil, plaintext, bound)
	return appendMessage(bound[:dot], bound[dot+1:], sealed, to)
}

func checkEncrypt(key *ContentKey, plaintext []byte, contentType string, aad []byte, to []WrappedKey) error {
	switch {
	case len(aad) == 0:
		return ErrUnbound
	case len(aad) > MaxBound:
		return fmt.Errorf("%w: %d bytes of additional authenticated data", ErrTooLarge, len(aad))
	case len(plaintext) > MaxMessage || len(contentType) > MaxBound:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxMessage)
	case contentType == "" || !utf8.ValidString(contentType):
		return fmt.Errorf("%w: a content type in UTF-8 is needed", ErrMalformed)
	}
	return checkRecipients(key, to)
}

func appendProtected(dst []byte, contentType string, key *ContentKey) []byte {
	dst = jsontext.AppendQuote(append(dst, `{"cty":`...), contentType)
	dst = append(dst, `,"enc":"`+encGCM+`","kc":"`...)
	return append(append(dst, key.commitment...), `"}`...)
}

func appendMessage(protected, aad, sealed []byte, to []WrappedKey) ([]byte, error) {
	size := len(`{"aad":"","ciphertext":"","iv":"","protected":"","recipients":,"tag":""}`) + len(`[]`) +
		len(aad) + base64url.EncodedLen(len(sealed)) + 2 + len(protected)
	for i := range to {
		size += len(to[i].text) + 1
	}
	nonce, ciphertext, tag := split(sealed)
	dst := append(make([]byte, 0, size), `{"aad":"`...)
	dst = append(append(dst, aad...), `","ciphertext":"`...)
	dst = append(base64url.AppendEncode(dst, ciphertext), `","iv":"`...)
	dst = append(base64url.AppendEncode(dst, nonce), `","protected":"`...)
	dst = append(append(dst, protected...), `","recipients":`...)
	dst = append(appendRecipients(dst, to), `,"tag":"`...)
	dst = append(base64url.AppendEncode(dst, tag), `"}`...)
	if len(dst) > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes, of which %d are allowed", ErrTooLarge, len(dst), MaxMessage)
	}
	return dst, nil
}

// split takes the output of ContentKey.cipher apart.
func split(sealed []byte) (nonce, ciphertext, tag []byte) {
	end := len(sealed) - tagSize
	return sealed[:nonceSize], sealed[nonceSize:end], sealed[end:]
}
