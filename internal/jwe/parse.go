package jwe

import (
	"bytes"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Message is a message that was parsed. Nothing in it is verified before Decrypt.
type Message struct {
	headers
	AAD []byte // the binding, decoded; nil when absent

	bound  []byte // the additional data of AES-GCM: protected, or protected '.' aad, as texts
	sealed []byte // nonce, ciphertext, tag
}

// headers are the content of the headers of a message. Messages of one Parser share them, so they must not be
// changed.
type headers struct {
	ContentType string       // "cty": the media type of the plaintext, "" when absent
	Keys        []WrappedKey // at least one of them of a known algorithm
	commitment  []byte       // "kc" as text, nil when absent
}

// Parse reads a message in the General or the Flattened JSON Serialization: see the package for how strictly.
// doc must not change while the Message is used. The errors are ErrMalformed, ErrUnsupported, ErrTooLarge.
func Parse(doc []byte) (*Message, error) { return (*Parser)(nil).Parse(doc) }

// Parse is the function Parse.
func (p *Parser) Parse(doc []byte) (*Message, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes, of which %d are allowed", ErrTooLarge, len(doc), MaxMessage)
	}
	var m members
	if err := m.readAll(doc); err != nil {
		return nil, err
	}
	msg := &Message{}
	if err := msg.content(&m); err != nil {
		return nil, err
	}
	h, err := p.headersOf(&m)
	if err != nil {
		return nil, err
	}
	msg.headers = *h
	return msg, nil
}

// members are the top-level members: texts, and parts that are parsed on their own and are not known to be
// JSON yet. Each is nil when absent.
type members struct {
	protected, aad, iv, ciphertext, tag, encryptedKey []byte
	unprotected, header, recipients                   []byte
}

func (m *members) readAll(doc []byte) error {
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		m.read(obj.Name, &r)
	}
	if err := r.End(); err != nil {
		return kindOf("message", err)
	}
	return m.check()
}

func (m *members) read(name []byte, r *jsontext.Decoder) {
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
		m.unprotected = r.ReadSpan()
	case "header":
		m.header = r.ReadSpan()
	case "recipients":
		m.recipients = r.ReadSpan()
	default:
		r.SkipValue()
	}
}

// check applies the rules of RFC 7516 section 7.2 on the members that must and must not be present, and the
// limits.
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

// content reads everything but the headers.
func (msg *Message) content(m *members) (err error) {
	text := len(m.protected) + 1 + len(m.aad)
	p := parser{buf: make([]byte, 0, text+base64url.DecodedLen(len(m.aad))+nonceSize+base64url.DecodedLen(len(m.ciphertext))+tagSize)}
	p.buf = append(p.buf, m.protected...)
	if m.aad != nil {
		p.buf = append(append(p.buf, '.'), m.aad...)
		msg.bound = p.buf[:text:text]
		if msg.AAD, err = p.base64("aad", m.aad); err != nil {
			return err
		}
	} else {
		msg.bound = p.buf[: text-1 : text-1]
	}
	msg.sealed, err = p.sealed(m.iv, m.ciphertext, m.tag)
	return err
}

// parser decodes base64 into one buffer. The buffer is large enough from the start where the size is known.
type parser struct{ buf []byte }

// parseHeaders reads the headers.
func (m *members) parseHeaders() (*headers, error) {
	p := parser{buf: make([]byte, 0, base64url.DecodedLen(len(m.protected)+len(m.recipients)))}
	var h header
	if err := p.protected(m.protected, &h); err != nil {
		return nil, err
	}
	hs := &headers{ContentType: string(h.cty), commitment: h.kc}
	if h.kc != nil {
		if err := p.commitment("kc", h.kc); err != nil {
			return nil, err
		}
	}
	if err := readHeader("unprotected", m.unprotected, sharedHeader, &h); err != nil {
		return nil, err
	}
	var err error
	if m.recipients != nil {
		hs.Keys, err = p.recipients(m.recipients, &h)
	} else {
		hs.Keys, err = p.flattened(m, &h)
	}
	if err == nil {
		err = anyKnown(hs.Keys)
	}
	if err != nil {
		return nil, err
	}
	return hs, nil
}

// readHeader adds an unprotected header to h, if it is present.
func readHeader(what string, doc []byte, from place, h *header) error {
	if doc == nil {
		return nil
	}
	r := jsontext.NewDecoder(doc)
	h.read(&r, from)
	return kindOf(what, r.End())
}

// sealed puts together the input of ContentKey.cipher.
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

// protected reads the protected header and checks its parameters about the content.
func (p *parser) protected(text []byte, h *header) error {
	doc, err := p.base64("protected", text)
	if err != nil {
		return err
	}
	r := jsontext.NewDecoder(doc)
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
	buf, err := jsontext.Base64URL.AppendDecode(p.buf, text)
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
	if err := readHeader("header", m.header, recipientHeader, h); err != nil {
		return nil, err
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
	keys := make([]WrappedKey, 0, min(bytes.Count(doc, []byte(`"encrypted_key"`)), MaxRecipients))
	r := jsontext.NewDecoder(doc)
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

func (p *parser) recipient(r *jsontext.Decoder, h header) WrappedKey {
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
			r.SkipValue()
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

// ParseRecipients reads the output of AppendRecipients, as strictly as Parse. doc must not change while the
// result is used.
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
