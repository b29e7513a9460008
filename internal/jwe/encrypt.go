package jwe

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

var base64url = base64.RawURLEncoding

// The length of a field's plaintext is a multiple of paddedTo, so that its ciphertext tells little of it.
// Short values (a yes or a no, an amount, a name) all look alike.
const paddedTo = 32

const jsonSpace = " \t\r\n" // RFC 8259 section 2

// Encrypt encrypts plaintext to all recipients in to, and binds it to aad, which is not empty. All of them
// must have been given this very key, else ErrForeignKey. contentType is the media type of the plaintext. The
// result is canonical JSON. Encrypt refuses to write a message that Parse would refuse: ErrTooLarge,
// ErrNoRecipient, ErrUnbound, ErrMalformed. A zeroed key is ErrKey.
func Encrypt(
	key *ContentKey, plaintext []byte, contentType string, aad []byte, to []WrappedKey,
) ([]byte, error) {
	switch {
	case len(aad) == 0:
		return nil, ErrUnbound
	case len(aad) > MaxBound:
		return nil, fmt.Errorf("%w: %d bytes of additional authenticated data", ErrTooLarge, len(aad))
	case len(plaintext) > MaxMessage || len(contentType) > MaxBound:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxMessage)
	case contentType == "" || !utf8.ValidString(contentType):
		return nil, fmt.Errorf("%w: a content type in UTF-8 is needed", ErrMalformed)
	}
	if err := checkRecipients(key, to); err != nil {
		return nil, err
	}
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	var room [256]byte
	protected := jsontext.AppendQuote(append(room[:0], `{"cty":`...), contentType)
	protected = append(protected, `,"enc":"`+encGCM+`","kc":"`...)
	protected = append(append(protected, key.commitment...), `"}`...)
	boundSize := base64url.EncodedLen(len(protected)) + 1 + base64url.EncodedLen(len(aad))
	b := make([]byte, 0, boundSize+nonceSize+len(plaintext)+tagSize)
	b = base64url.AppendEncode(b, protected)
	dot := len(b)
	bound := base64url.AppendEncode(append(b, '.'), aad)
	sealed := aead.Seal(bound[boundSize:], nil, plaintext, bound)
	return appendMessage(bound[:dot], bound[dot+1:], sealed, to)
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
		return nil, fmt.Errorf("%w: a message of %d bytes, the limit is %d", ErrTooLarge, len(dst),
			MaxMessage)
	}
	return dst, nil
}

// split takes the output of the cipher of a ContentKey apart.
func split(sealed []byte) (nonce, ciphertext, tag []byte) {
	end := len(sealed) - tagSize
	return sealed[:nonceSize], sealed[nonceSize:end], sealed[end:]
}

// EncryptCompact encrypts a JSON value, without white space around it, in the Compact Serialization (RFC 7516
// section 7.1) under a content key that travels elsewhere: alg is dir, and kid is the commitment to that key.
// It binds the value to context, which is not empty, as ctx, because this serialization has no aad. The
// plaintext is padded with JSON's spaces to a multiple of 32 bytes. ParseCompact reads the result.
func EncryptCompact(key *ContentKey, value, context []byte) ([]byte, error) {
	switch {
	case len(context) == 0:
		return nil, ErrUnbound
	case len(context) > MaxBound:
		return nil, fmt.Errorf("%w: a context of %d bytes", ErrTooLarge, len(context))
	case len(value) > MaxMessage:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxMessage)
	case len(bytes.Trim(value, jsonSpace)) != len(value) || !jsontext.Value(value).IsValid():
		return nil, fmt.Errorf("%w: not one JSON value without white space around it", ErrMalformed)
	}
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	header := make([]byte, 0, 128+base64url.EncodedLen(len(context)))
	header = append(header, `{"alg":"`+algDirect+`","ctx":"`...)
	header = append(base64url.AppendEncode(header, context), `","enc":"`+encGCM+`","kid":"`...)
	header = append(append(header, key.commitment...), `"}`...)
	bound := base64url.AppendEncode(nil, header)
	plaintext := bytes.Repeat([]byte{' '}, (len(value)+paddedTo-1)/paddedTo*paddedTo)
	copy(plaintext, value)
	sealed := aead.Seal(nil, nil, plaintext, bound)
	clear(plaintext)
	nonce, ciphertext, tag := split(sealed)
	dst := make([]byte, 0, len(bound)+4+base64url.EncodedLen(len(sealed))+2)
	dst = append(append(dst, bound...), ".."...)
	dst = append(base64url.AppendEncode(dst, nonce), '.')
	dst = append(base64url.AppendEncode(dst, ciphertext), '.')
	dst = base64url.AppendEncode(dst, tag)
	if len(dst) > MaxMessage {
		return nil, fmt.Errorf("%w: a field of %d bytes", ErrTooLarge, len(dst))
	}
	return dst, nil
}

// Wrapped is an entry for a key management service, which encrypted this content key as encryptedKey. alg is
// AlgAWSKMS. Entries of other algorithms are made by this package only.
func (k *ContentKey) Wrapped(alg, keyID string, encryptedKey []byte) (WrappedKey, error) {
	if alg != AlgAWSKMS {
		return WrappedKey{}, fmt.Errorf("%w: alg %.64q", ErrUnsupported, alg)
	}
	if len(encryptedKey) == 0 {
		return WrappedKey{}, fmt.Errorf("%w: an empty encrypted key", ErrMalformed)
	}
	return newWrappedKey(k, WrappedKey{Alg: alg, KeyID: keyID, EncryptedKey: encryptedKey}, nil)
}

// newWrappedKey completes an entry of ours: epk is the JSON of its ephemeral key, nil without one.
func newWrappedKey(key *ContentKey, w WrappedKey, epk []byte) (WrappedKey, error) {
	if w.KeyID == "" || !utf8.ValidString(w.KeyID) {
		return WrappedKey{}, fmt.Errorf("%w: a recipient needs a key ID in UTF-8", ErrMalformed)
	}
	header := append([]byte(`{"alg":`), jsontext.AppendQuote(nil, w.Alg)...)
	if epk != nil {
		header = append(append(header, `,"epk":`...), epk...)
	}
	header = append(jsontext.AppendQuote(append(header, `,"kid":`...), w.KeyID), '}')
	if len(header) > MaxHeader || len(w.EncryptedKey) > MaxEncryptedKey {
		return WrappedKey{}, fmt.Errorf("%w: a recipient's entry", ErrTooLarge)
	}
	w.text = append(w.text, `{"encrypted_key":"`...)
	w.text = base64url.AppendEncode(w.text, w.EncryptedKey)
	w.text = append(append(append(w.text, `","header":`...), header...), '}')
	w.commitment = key.commitment
	return w, nil
}

// AppendRecipients appends the JSON array of the entries, for content keys that travel apart from the data
// that they encrypt. ParseRecipients reads it. It fails as Encrypt does.
func AppendRecipients(dst []byte, key *ContentKey, to []WrappedKey) ([]byte, error) {
	if err := checkRecipients(key, to); err != nil {
		return dst, err
	}
	return appendRecipients(dst, to), nil
}

// checkRecipients refuses a list if it has no recipient, too many, or one that was given another content key.
func checkRecipients(key *ContentKey, to []WrappedKey) error {
	switch {
	case len(to) == 0:
		return ErrNoRecipient
	case len(to) > MaxRecipients:
		return fmt.Errorf("%w: %d recipients, of which %d are allowed", ErrTooLarge, len(to), MaxRecipients)
	}
	for i := range to {
		if to[i].commitment != key.commitment {
			return ErrForeignKey
		}
	}
	return nil
}

func appendRecipients(dst []byte, to []WrappedKey) []byte {
	dst = append(dst, '[')
	for i := range to {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, to[i].text...)
	}
	return append(dst, ']')
}
