package jwe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Recipient encrypts content keys to the holder of one key. It may do I/O.
type Recipient interface {
	Wrap(ctx context.Context, key *ContentKey) (WrappedKey, error)
}

// Identity decrypts the content keys that were encrypted to it.
type Identity interface {
	// Takes reports whether an entry should be tried, by the type and the ID of the identity's own key. It does
	// no I/O.
	Takes(w *WrappedKey) bool
	// Unwrap decrypts an entry. It fails with ErrNotRecipient for one that Takes declines.
	Unwrap(ctx context.Context, w *WrappedKey) (*ContentKey, error)
}

// WrappedKey is one entry of "recipients": a content key as one recipient gets it. In an entry that was read
// nothing is verified, and its slices alias the text that was read.
type WrappedKey struct {
	Alg          string
	KeyID        string // "kid", "" when absent
	EncryptedKey []byte

	epk        ephemeral
	apu, apv   []byte
	text       []byte // the entry as JSON
	commitment string // to the content key in it; "" when it was read
	digest     *[sha256.Size]byte
}

// ephemeral is an "epk" (RFC 7518 section 4.6.1.1) as it was read: texts, not decoded yet.
type ephemeral struct{ kty, crv, x, y []byte }

// Wrapped is an entry for a key management service: the caller's service encrypted this content key as
// encryptedKey. alg is AlgAWSKMS. Recipients of other algorithms are made by this package only.
func (k *ContentKey) Wrapped(alg, keyID string, encryptedKey []byte) (WrappedKey, error) {
	if alg != AlgAWSKMS {
		return WrappedKey{}, fmt.Errorf("%w: alg %q", ErrUnsupported, clip(alg))
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
	w.text = base64.RawURLEncoding.AppendEncode(w.text, w.EncryptedKey)
	w.text = append(append(append(w.text, `","header":`...), header...), '}')
	w.commitment = key.commitment
	return w, nil
}

// Clone shares no memory with w.
func (w *WrappedKey) Clone() WrappedKey {
	c := *w
	c.EncryptedKey, c.apu, c.apv = bytes.Clone(w.EncryptedKey), bytes.Clone(w.apu), bytes.Clone(w.apv)
	c.epk = ephemeral{bytes.Clone(w.epk.kty), bytes.Clone(w.epk.crv), bytes.Clone(w.epk.x), bytes.Clone(w.epk.y)}
	return c
}

// Digest identifies the entry: two entries of one digest unwrap to the same key under one identity. A cache
// of unwrapped keys uses it as a key, together with the identity and anything else that the identity depends
// on.
func (w *WrappedKey) Digest() [sha256.Size]byte {
	if w.digest != nil {
		return *w.digest
	}
	b := make([]byte, 0, 512) // longer than most entries, on the stack
	for _, part := range [...][]byte{[]byte(w.Alg), []byte(w.KeyID), w.EncryptedKey,
		w.epk.kty, w.epk.crv, w.epk.x, w.epk.y, w.apu, w.apv} {
		b = appendSized(b, part)
	}
	return sha256.Sum256(b)
}

// AppendRecipients appends the JSON array of the entries, for content keys that travel apart from the data
// that they encrypt. ParseRecipients reads it. It fails as Encrypt does.
func AppendRecipients(dst []byte, key *ContentKey, to []WrappedKey) ([]byte, error) {
	if err := checkRecipients(key, to); err != nil {
		return dst, err
	}
	return appendRecipients(dst, to), nil
}

// checkRecipients refuses a list of recipients if one of them, or all, could not read the message.
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

// clip shortens untrusted text before it enters an error.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
