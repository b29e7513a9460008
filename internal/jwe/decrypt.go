package jwe

import (
	"crypto/subtle"
	"errors"
)

// Check says all that can be said before a key is touched: ErrUncommitted if the message commits to no
// content key, ErrUnbound if it is bound to nothing, ErrBinding if it is bound to something other than aad.
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
// additional authenticated data, or both. A message that has the latter must have this one.
func (m *Message) UnsafeCheckUncommitted(aad []byte) error {
	if m.AAD != nil && subtle.ConstantTimeCompare(m.AAD, aad) != 1 {
		return ErrBinding
	}
	return nil
}

// Decrypt returns the plaintext of a message that passes Check(aad). Nothing is decrypted under a key that is
// not the one that is committed to: ErrCommitment. ErrDecrypt means that the message was changed, ErrKey that
// the key was zeroed.
func (m *Message) Decrypt(key *ContentKey, aad []byte) ([]byte, error) {
	if err := m.Check(aad); err != nil {
		return nil, err
	}
	return m.open(key)
}

// UnsafeDecryptUncommitted is Decrypt of a message that passes UnsafeCheckUncommitted(aad). A commitment that
// is there is checked all the same. Without one, whoever made the message may have made it to read otherwise
// under another key.
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

// IsForAnother reports whether an error of Unwrap or Decrypt says no more than that this entry or this key is
// the wrong one, so that the next may be tried.
func IsForAnother(err error) bool {
	return errors.Is(err, ErrNotRecipient) || errors.Is(err, ErrUnwrap) || errors.Is(err, ErrCommitment)
}
