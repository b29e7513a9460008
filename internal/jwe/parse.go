package jwe

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/b64"
	"github.com/sealbus/sealbus/internal/strictjson"
)

// Message is a message that was parsed. Nothing in it is verified before Decrypt.
type Message struct {
	ContentType string       // "cty": the media type of the plaintext, "" when absent
	AAD         []byte       // what it is bound to, decoded; nil when absent
	Keys        []WrappedKey // at least one of them of a known algorithm

	commitment []byte // "kc" as text, nil when absent
	bound      []byte // the additional data of AES-GCM: protected, or protected '.' aad, as texts
	sealed     []byte // nonce, ciphertext, tag
}

// Parse reads a message in the General or the Flattened JSON Serialization: see the package for how strictly. doc must
// not change while the Message is used. The errors are ErrMalformed, ErrUnsupported, ErrTooLarge.
func Parse(doc []byte) (*Message, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes, of which %d are allowed", ErrTooLarge, len(doc), MaxMessage)
	}
	m, err := readMembers(doc)
	if err != nil {
		return nil, err
	}
	p := parser{buf: make([]byte, 0, len(m.protected)+1+len(m.aad)+base64url.DecodedLen(len(doc)))}
	return p.message(m)
}

// members are the top-level members: texts, and raw JSON. Each is nil when absent.
type members struct {
	protected, aad, iv, ciphertext, tag, encryptedKey []byte
	unprotected, header, recipients                   []byte
}

func readMembers(doc []byte) (*members, error) {
	m := &members{}
	r := strictjson.NewReader(doc)
	for obj := r.Object(); r.Member(&obj); {
		m.read(obj.Name, &r)
	}
	if err := r.End(); err != nil {
		return nil, kindOf("message", err)
	}
	return m, m.check()
}

func (m *members) read(name []byte, r *strictjson.Reader) {
	switch string(name) {
	case "protected":
		m.protected = r.Bytes()
	case "aad":
		m.aad = r.Bytes()
	case "iv":
		m.iv = r.Bytes()
	case "ciphertext":
		m.ciphertext = r.Bytes()
	case "tag":
		m.tag = r.Bytes()
	case "encrypted_key":
		m.encryptedKey = r.Bytes()
	case "unprotected":
		m.unprotected = r.Raw()
	case "header":
		m.header = r.Raw()
	case "recipients":
		m.recipients = r.Raw()
	default:
		r.Skip()
	}
}

// check is RFC 7516 section 7.2 on which members there are, and the limits.
func (m *members) check() error {
	switch {
	case m.ciphertext == nil || m.iv == nil || m.tag == nil:
		return fmt.Errorf("%w: ciphertext, iv and tag are needed", ErrMalformed)
	case m.protected == nil:
		return fmt.Errorf("%w: no protected header", ErrUnsupported)
	case len(m.protected) == 0 || m.aad != nil && len(m.aad) == 0:
		return fmt.Errorf("%w: an empty protected or aad", ErrMalformed)
	case m.recipients != nil && m.header != nil:
		return fmt.Errorf("%w: both recipients and header", ErrMalformed)
	case len(m.protected) > MaxProtected:
		return fmt.Errorf("%w: a protected header of %d bytes", ErrTooLarge, len(m.protected))
	case len(m.aad) > base64url.EncodedLen(MaxBound):
		return fmt.Errorf("%w: an aad of %d bytes", ErrTooLarge, len(m.aad))
	case len(m.unprotected) > MaxHeader || len(m.header) > MaxHeader:
		return fmt.Errorf("%w: an unprotected header of more than %d bytes", ErrTooLarge, MaxHeader)
	}
	return nil
}

// parser decodes all base64 of one message into one buffer that is large enough from the start.
type parser struct{ buf []byte }

func (p *parser) message(m *members) (*Message, error) {
	msg := &Message{bound: p.boundText(m)}
	var h header
	if err := p.content(msg, m, &h); err != nil {
		return nil, err
	}
	if m.unprotected != nil {
		r := strictjson.NewReader(m.unprotected)
		h.read(&r, sharedHeader)
		if err := r.End(); err != nil {
			return nil, kindOf("unprotected", err)
		}
	}
	var err error
	if m.recipients != nil {
		msg.Keys, err = p.recipients(m.recipients, &h)
	} else {
		msg.Keys, err = p.flattened(m, &h)
	}
	if err == nil {
		err = anyKnown(msg.Keys)
	}
	if err != nil {
		return nil, err
	}
	return msg, nil
}

func (p *parser) boundText(m *members) []byte {
	p.buf = append(p.buf, m.protected...)
	if m.aad != nil {
		p.buf = append(append(p.buf, '.'), m.aad...)
	}
	return p.buf[:len(p.buf):len(p.buf)]
}

// content reads everything but the recipients.
func (p *parser) content(msg *Message, m *members, h *header) (err error) {
	if msg.sealed, err = p.sealed(m.iv, m.ciphertext, m.tag); err != nil {
		return err
	}
	if m.aad != nil {
		if msg.AAD, err = p.base64("aad", m.aad); err != nil {
			return err
		}
	}
	if err = p.protected(m.protected, h); err != nil {
		return err
	}
	msg.ContentType = string(h.cty)
	if h.kc != nil {
		msg.commitment = h.kc
		return p.commitment("kc", h.kc)
	}
	return nil
}

// sealed puts together what ContentKey.cipher opens.
func (p *parser) sealed(iv, ciphertext, tag []byte) ([]byte, error) {
	start := len(p.buf)
	if b, err := p.base64("iv", iv); err != nil || len(b) != nonceSize {
		return nil, fmt.Errorf("%w: iv is not base64url of %d bytes", ErrMalformed, nonceSize)
	}
	if _, err := p.base64("ciphertext", ciphertext); err != nil {
		return nil, err
	}
	if b, err := p.base64("tag", tag); err != nil || len(b) != tagSize {
		return nil, fmt.Errorf("%w: tag is not base64url of %d bytes", ErrMalformed, tagSize)
	}
	return p.buf[start:len(p.buf):len(p.buf)], nil
}

// protected reads the protected header and judges what it says of the content.
func (p *parser) protected(text []byte, h *header) error {
	doc, err := p.base64("protected", text)
	if err != nil {
		return err
	}
	r := strictjson.NewReader(doc)
	h.read(&r, protectedHeader)
	if err := r.End(); err != nil {
		return kindOf("protected", err)
	}
	return h.content()
}

// commitment checks the form of a key commitment.
func (p *parser) commitment(what string, text []byte) error {
	if _, err := p.base64(what, text); err != nil || len(text) != commitmentSize {
		return fmt.Errorf("%w: %s is not base64url of 32 bytes", ErrMalformed, what)
	}
	return nil
}

func (p *parser) base64(what string, text []byte) ([]byte, error) {
	start := len(p.buf)
	buf, err := b64.AppendURL(p.buf, text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	p.buf = buf
	return buf[start:len(buf):len(buf)], nil
}

func (p *parser) encryptedKey(text []byte) ([]byte, error) {
	if len(text) > base64url.EncodedLen(MaxEncryptedKey) {
		return nil, fmt.Errorf("%w: an encrypted_key of %d bytes", ErrTooLarge, len(text))
	}
	return p.base64("encrypted_key", text)
}

// flattened is the one recipient of a message without "recipients".
func (p *parser) flattened(m *members, h *header) ([]WrappedKey, error) {
	if m.header != nil {
		r := strictjson.NewReader(m.header)
		h.read(&r, recipientHeader)
		if err := r.End(); err != nil {
			return nil, kindOf("header", err)
		}
	}
	key, err := p.encryptedKey(m.encryptedKey)
	if err != nil {
		return nil, err
	}
	w, err := h.wrappedKey(key)
	return []WrappedKey{w}, err
}

// recipients reads the array of recipients, whose headers add to the shared one.
func (p *parser) recipients(doc []byte, shared *header) ([]WrappedKey, error) {
	var keys []WrappedKey
	r := strictjson.NewReader(doc)
	for a := r.Array(); r.Element(&a); {
		if len(keys) == MaxRecipients {
			r.Failf("%w: more than %d recipients", ErrTooLarge, MaxRecipients)
			break
		}
		keys = append(keys, p.recipient(&r, *shared))
	}
	if err := r.End(); err != nil {
		return nil, kindOf("recipients", err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no recipient", ErrMalformed)
	}
	return keys, nil
}

func (p *parser) recipient(r *strictjson.Reader, h header) WrappedKey {
	var text []byte
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "header":
			h.read(r, recipientHeader)
			if len(r.Since(&obj)) > MaxHeader+len(`"header":`) {
				r.Failf("%w: a recipient's header of more than %d bytes", ErrTooLarge, MaxHeader)
			}
		case "encrypted_key":
			text = r.Bytes()
		default:
			r.Skip()
		}
	}
	if r.Err() != nil {
		return WrappedKey{}
	}
	key, err := p.encryptedKey(text)
	if err != nil {
		r.Fail(err)
		return WrappedKey{}
	}
	w, err := h.wrappedKey(key)
	if err != nil {
		r.Fail(err)
	}
	return w
}

func anyKnown(keys []WrappedKey) error {
	for i := range keys {
		if keys[i].known() {
			return nil
		}
	}
	return fmt.Errorf("%w: no recipient of a known algorithm: alg %q", ErrUnsupported, clip(keys[0].Alg))
}

// ParseRecipients reads what AppendRecipients wrote, as strictly as Parse. doc must not change while the result is used.
func ParseRecipients(doc []byte) ([]WrappedKey, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: recipients of %d bytes", ErrTooLarge, len(doc))
	}
	p := parser{buf: make([]byte, 0, base64url.DecodedLen(len(doc)))}
	keys, err := p.recipients(doc, &header{})
	if err == nil {
		err = anyKnown(keys)
	}
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// Check says all that can be said before a key is touched: ErrUncommitted if the message commits to no content key,
// ErrUnbound if it is bound to nothing, ErrBinding if it is bound to something other than aad.
func (m *Message) Check(aad []byte) error {
	switch {
	case m.commitment == nil:
		return ErrUncommitted
	case m.AAD == nil:
		return ErrUnbound
	}
	return m.UnsafeCheckUncommitted(aad)
}

// UnsafeCheckUncommitted is Check for messages of other libraries, which lack the key commitment, the additional
// authenticated data, or both. A message that has the latter must have this one.
func (m *Message) UnsafeCheckUncommitted(aad []byte) error {
	if m.AAD != nil && subtle.ConstantTimeCompare(m.AAD, aad) != 1 {
		return ErrBinding
	}
	return nil
}

// Decrypt returns the plaintext of a message that passes Check(aad). Nothing is decrypted under a key that is not the one
// that is committed to: ErrCommitment. ErrDecrypt means that the message was changed, ErrKey that the key was zeroed.
func (m *Message) Decrypt(key *ContentKey, aad []byte) ([]byte, error) {
	if err := m.Check(aad); err != nil {
		return nil, err
	}
	return m.open(key)
}

// UnsafeDecryptUncommitted is Decrypt of a message that passes UnsafeCheckUncommitted(aad). A commitment that is there
// is checked all the same. Without one, whoever made the message may have made it to read otherwise under another key.
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

// IsForAnother reports whether an error of Unwrap or Decrypt says no more than that this entry or this key is the wrong
// one, so that the next may be tried.
func IsForAnother(err error) bool {
	return errors.Is(err, ErrNotRecipient) || errors.Is(err, ErrUnwrap) || errors.Is(err, ErrCommitment)
}
