package jwe

import (
	"crypto/subtle"
	"errors"
)

// Check makes all checks that need no key. The error is ErrUncommitted if the message commits to no content
// key, ErrUnbound if it is bound to nothing, and ErrBinding if it is bound to something other than aad.
func (m *Message) Check(aad []byte) error {
	switch {
	case m.commitment == nil:
		return ErrUncommitted
	case m.AAD == nil:
		return ErrUnbound
	}
	return m.UnsafeCheckUncommitted(aad)
}

// UnsafeCheckUncommitted is Check for messages of other libraries, which lack the key commitment, the
// additional authenticated data, or both. If a message has additional authenticated data, it must be aad.
func (m *Message) UnsafeCheckUncommitted(aad []byte) error {
	if m.AAD != nil && subtle.ConstantTimeCompare(m.AAD, aad) != 1 {
		return ErrBinding
	}
	return nil
}

// Decrypt returns the plaintext of a message that passes Check(aad). A key other than the one that the
// message commits to is ErrCommitment, and nothing is decrypted. ErrDecrypt means that the message was
// changed, ErrKey that the key was zeroed.
func (m *Message) Decrypt(key *ContentKey, aad []byte) ([]byte, error) {
	if err := m.Check(aad); err != nil {
		return nil, err
	}
	return m.open(key)
}

// UnsafeDecryptUncommitted is Decrypt of a message that passes UnsafeCheckUncommitted(aad). A commitment that
// is present is checked all the same. Without one, the author of the message may have made it to decrypt to
// another text under another key.
func (m *Message) UnsafeDecryptUncommitted(key *ContentKey, aad []byte) ([]byte, error) {
	if err := m.UnsafeCheckUncommitted(aad); err != nil {
		return nil, err
	}
	return m.open(key)
}

func (m *Message) open(key *ContentKey) ([]byte, error) {
	if m.commitment != nil && !key.commits(m.commitment) {
		return nil, ErrCommitment
	}
	return open(key, m.sealed, m.bound)
}

func open(key *ContentKey, sealed, bound []byte) ([]byte, error) {
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(make([]byte, 0, len(sealed)), nil, sealed, bound)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// Committed reports whether the message commits to its content key.
func (m *Message) Committed() bool { return m.commitment != nil }

// IsForAnother reports whether an error of Unwrap or Decrypt means only that this entry or this key is the
// wrong one, so that the next may be tried.
func IsForAnother(err error) bool {
	return errors.Is(err, ErrNotRecipient) || errors.Is(err, ErrUnwrap) || errors.Is(err, ErrCommitment)
}
