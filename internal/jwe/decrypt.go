package jwe

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Message is encrypted data that was parsed: a message (Parse) or a field (ParseCompact). Nothing in it is
// verified before Decrypt. It shares no memory with the text that was parsed.
type Message struct {
	headers
	Binding []byte // "aad" of a message, "ctx" of a field, decoded; empty when absent

	// UnsafeUncommitted lets Check and Decrypt accept messages of other libraries, which lack the key
	// commitment, the binding, or both. A commitment or a binding that is present must be right all the same.
	// A message without a commitment may decrypt to another text under another key, if its author made it so.
	UnsafeUncommitted bool

	isField bool   // its plaintext is one JSON value, padded
	bound   []byte // the additional data of AES-GCM: protected, or protected '.' aad, as texts
	sealed  []byte // nonce, ciphertext, tag
}

// headers are the content of the headers of a message. Messages of one Parser share them, so they must not be
// changed.
type headers struct {
	ContentType string       // "cty": the media type of the plaintext, "" when absent; a field has none
	Keys        []WrappedKey // at least one of them of a known algorithm; a field has none
	Commitment  []byte       // "kc" of a message, "kid" of a field, as text; nil when absent
}

// Check makes all checks that need no key. The error is ErrUncommitted if the message commits to no content
// key, ErrUnbound if it is bound to nothing, and ErrBinding if it is bound to something other than binding.
func (m *Message) Check(binding []byte) error {
	isBound := len(m.Binding) > 0
	switch {
	case m.Commitment == nil && !m.UnsafeUncommitted:
		return ErrUncommitted
	case !isBound && !m.UnsafeUncommitted:
		return ErrUnbound
	case isBound && subtle.ConstantTimeCompare(m.Binding, binding) != 1:
		return ErrBinding
	}
	return nil
}

// Decrypt returns the plaintext of a message that passes Check(binding). A key other than the one that the
// message commits to is ErrCommitment, and nothing is decrypted. ErrDecrypt means that the message was
// changed, ErrKey that the key was zeroed. Of a field, Decrypt removes the padding. A field that is not
// padded as EncryptCompact does it is ErrMalformed, and one that is not one JSON value is ErrPlaintext.
func (m *Message) Decrypt(key *ContentKey, binding []byte) ([]byte, error) {
	if err := m.Check(binding); err != nil {
		return nil, err
	}
	if m.Commitment != nil && subtle.ConstantTimeCompare(m.Commitment, []byte(key.commitment)) != 1 {
		return nil, ErrCommitment
	}
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(make([]byte, 0, len(m.sealed)), nil, m.sealed, m.bound)
	if err != nil {
		return nil, ErrDecrypt
	}
	if !m.isField {
		return plaintext, nil
	}
	value := bytes.TrimRight(plaintext, " ")
	padding := len(plaintext) - len(value)
	if len(value) == 0 || padding >= paddedTo || len(bytes.Trim(value, jsonSpace)) != len(value) {
		return nil, fmt.Errorf("%w: a field is not padded to the next multiple of %d", ErrMalformed, paddedTo)
	}
	// Two values, or a part of one, would change the document around the field.
	if !jsontext.Value(value).IsValid() {
		return nil, ErrPlaintext
	}
	return value, nil
}

// WrappedKey is one entry of "recipients": a content key as one recipient gets it. In an entry that was read
// nothing is verified.
type WrappedKey struct {
	Alg          string
	KeyID        string // "kid", "" when absent
	EncryptedKey []byte

	epk        ephemeral
	apu, apv   []byte
	text       []byte // the entry as JSON
	commitment string // to the content key in it; "" when it was read
}

// ephemeral is an "epk" (RFC 7518 section 4.6.1.1) as it was read: texts, not decoded yet.
type ephemeral struct{ kty, crv, x, y []byte }

// Digest identifies the entry: two entries of one digest unwrap to the same key under one identity. A cache
// of unwrapped keys uses it as a key, together with the identity and anything else that the identity depends
// on.
func (w *WrappedKey) Digest() [sha256.Size]byte {
	b := make([]byte, 0, 512) // longer than most entries, on the stack
	for _, part := range [...][]byte{[]byte(w.Alg), []byte(w.KeyID), w.EncryptedKey,
		w.epk.kty, w.epk.crv, w.epk.x, w.epk.y, w.apu, w.apv} {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(part))), part...)
	}
	return sha256.Sum256(b)
}

// IsForAnother reports whether an error of Unwrap or Decrypt means only that this entry or this key is the
// wrong one, so that the next may be tried.
func IsForAnother(err error) bool {
	return errors.Is(err, ErrNotRecipient) || errors.Is(err, ErrUnwrap) || errors.Is(err, ErrCommitment)
}
