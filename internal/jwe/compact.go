package jwe

import (
	"bytes"
	"crypto/subtle"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// The length of a field's plaintext is a multiple of paddedTo, so that its ciphertext tells little of it.
// Short values (a yes or a no, an amount, a name) all look alike.
const paddedTo = 32

// Compact is one JSON value, encrypted in the Compact Serialization (RFC 7516 section 7.1) under a content
// key that travels elsewhere: alg is dir, and kid is the commitment to that key. ctx is the binding of the
// value, as this serialization has no aad. Nothing in it is verified before Decrypt.
type Compact struct {
	Context    []byte // "ctx", decoded; nil when absent
	Commitment string // "kid": which key it is under

	bound  []byte // the protected header's text
	sealed []byte // nonce, ciphertext, tag
}

// EncryptCompact encrypts a JSON value, without white space around it, and binds it to context, which is not
// empty. The plaintext is padded with JSON's spaces to a multiple of 32 bytes.
func EncryptCompact(key *ContentKey, value, context []byte) ([]byte, error) {
	if err := checkCompact(value, context); err != nil {
		return nil, err
	}
	if !isOneValue(value) {
		return nil, fmt.Errorf("%w: not one JSON value", ErrMalformed)
	}
	aead, err := key.cipher()
	if err != nil {
		return nil, err
	}
	text := base64url.AppendEncode(nil, compactHeader(key, context))
	plaintext := pad(value)
	sealed := aead.Seal(nil, nil, plaintext, text)
	clear(plaintext)
	return appendCompact(text, sealed)
}

func checkCompact(value, context []byte) error {
	switch {
	case len(context) == 0:
		return ErrUnbound
	case len(context) > MaxBound:
		return fmt.Errorf("%w: a context of %d bytes", ErrTooLarge, len(context))
	case len(value) > MaxMessage:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxMessage)
	case len(value) == 0 || isSpace(value[0]) || isSpace(value[len(value)-1]):
		return fmt.Errorf("%w: not a JSON value without white space around it", ErrMalformed)
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func compactHeader(key *ContentKey, context []byte) []byte {
	dst := append(make([]byte, 0, 128+base64url.EncodedLen(len(context))), `{"alg":"`+algDirect+`","ctx":"`...)
	dst = append(base64url.AppendEncode(dst, context), `","enc":"`+encGCM+`","kid":`...)
	return append(jsontext.AppendQuote(dst, key.commitment), '}')
}

func pad(value []byte) []byte {
	size := (len(value) + paddedTo - 1) / paddedTo * paddedTo
	return append(append(make([]byte, 0, size), value...), bytes.Repeat([]byte{' '}, size-len(value))...)
}

func appendCompact(protected, sealed []byte) ([]byte, error) {
	nonce, ciphertext, tag := split(sealed)
	dst := make([]byte, 0, len(protected)+4+base64url.EncodedLen(len(sealed))+2)
	dst = append(append(dst, protected...), ".."...)
	dst = append(base64url.AppendEncode(dst, nonce), '.')
	dst = append(base64url.AppendEncode(dst, ciphertext), '.')
	dst = base64url.AppendEncode(dst, tag)
	if len(dst) > MaxMessage {
		return nil, fmt.Errorf("%w: a field of %d bytes", ErrTooLarge, len(dst))
	}
	return dst, nil
}

// ParseCompact reads the output of EncryptCompact, as strictly as Parse. Another alg than dir is
// ErrUnsupported. doc must not change while the result is used.
func ParseCompact(doc []byte) (*Compact, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: a field of %d bytes, of which %d are allowed", ErrTooLarge, len(doc), MaxMessage)
	}
	parts := bytes.SplitN(doc, []byte{'.'}, 6)
	switch {
	case len(parts) != 5:
		return nil, fmt.Errorf("%w: a compact message has five parts", ErrMalformed)
	case len(parts[0]) > MaxProtected:
		return nil, fmt.Errorf("%w: a protected header of %d bytes", ErrTooLarge, len(parts[0]))
	}
	p := parser{buf: make([]byte, 0, 2*base64url.DecodedLen(len(doc)))}
	var h header
	if err := p.protected(parts[0], &h); err != nil {
		return nil, err
	}
	return p.compact(parts, &h)
}

func (p *parser) compact(parts [][]byte, h *header) (c *Compact, err error) {
	if string(h.alg) != algDirect {
		return nil, fmt.Errorf("%w: alg %q of a field, only %s is", ErrUnsupported, clip(string(h.alg)), algDirect)
	}
	if len(parts[1]) != 0 {
		return nil, fmt.Errorf("%w: an encrypted key beside alg %s", ErrMalformed, algDirect)
	}
	c = &Compact{bound: parts[0], Commitment: string(h.kid)}
	if err := p.commitment("kid", h.kid); err != nil {
		return nil, err
	}
	if c.sealed, err = p.sealed(parts[2], parts[3], parts[4]); err != nil {
		return nil, err
	}
	if n := len(c.sealed) - nonceSize - tagSize; n == 0 || n%paddedTo != 0 {
		return nil, fmt.Errorf("%w: a field of %d bytes, not a multiple of %d", ErrMalformed, n, paddedTo)
	}
	if c.Context, err = p.context(h.cx); err != nil {
		return nil, err
	}
	return c, nil
}

// context decodes ctx; without one it is nil.
func (p *parser) context(text []byte) ([]byte, error) {
	if text == nil {
		return nil, nil
	}
	if len(text) > base64url.EncodedLen(MaxBound) {
		return nil, fmt.Errorf("%w: a context of %d bytes", ErrTooLarge, len(text))
	}
	return p.base64("ctx", text)
}

// Check makes all checks that need no key. The error is ErrUnbound if the field is bound to nothing, and
// ErrBinding if it is bound to something other than context.
func (c *Compact) Check(context []byte) error {
	switch {
	case len(c.Context) == 0:
		return ErrUnbound
	case subtle.ConstantTimeCompare(c.Context, context) != 1:
		return ErrBinding
	}
	return nil
}

// Decrypt returns the JSON value of a field that passes Check(context), without its padding. The errors are
// those of Message.Decrypt, ErrMalformed if the plaintext is not padded, and ErrPlaintext if it is not one
// JSON value.
func (c *Compact) Decrypt(key *ContentKey, context []byte) ([]byte, error) {
	if err := c.Check(context); err != nil {
		return nil, err
	}
	if !key.commits([]byte(c.Commitment)) {
		return nil, ErrCommitment
	}
	plaintext, err := open(key, c.sealed, c.bound)
	if err != nil {
		return nil, err
	}
	value := bytes.TrimRight(plaintext, " ")
	if len(value) == 0 || len(pad(value)) != len(plaintext) || checkCompact(value, context) != nil {
		return nil, fmt.Errorf("%w: a field that was not padded to the next multiple of %d", ErrMalformed, paddedTo)
	}
	if !isOneValue(value) {
		return nil, ErrPlaintext
	}
	return value, nil
}

// isOneValue reports whether text is one JSON value. Two values, or a part of one, would change the document
// outside of the encrypted field.
func isOneValue(text []byte) bool { return jsontext.Value(text).IsValid() }
