package jwe

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// Parse reads a message in the General or the Flattened JSON Serialization: see the package for how strictly.
// The result shares no memory with doc. The errors are ErrMalformed, ErrUnsupported, ErrTooLarge.
func Parse(doc []byte) (*Message, error) { return (*Parser)(nil).Parse(doc) }

// Parser reads messages as the function Parse does, and remembers the headers that it has read. All messages
// under one content key have the same headers, byte by byte. It is safe for concurrent use. The zero value is
// ready. A nil Parser remembers nothing.
type Parser struct {
	mu    sync.RWMutex
	known map[string]*headers // by the texts of the protected header and of the recipients
}

// Bounds of the memory of a Parser. It is enough for 16 producers with as many kinds of content each. With
// headers of one or two kilobytes it takes a few hundred kilobytes.
const (
	parserHeaders = 256
	parserText    = 8 << 10 // bytes of the headers of one message: larger ones are read each time
)

// Parse reads a message as the function Parse does.
func (p *Parser) Parse(doc []byte) (*Message, error) {
	var m members
	if err := m.read(doc); err != nil {
		return nil, err
	}
	r := reader{buf: make([]byte, 0, len(m.protected)+1+len(m.aad)+base64url.DecodedLen(len(m.aad))+
		nonceSize+base64url.DecodedLen(len(m.ciphertext))+tagSize)}
	r.buf = append(r.buf, m.protected...)
	if m.aad != nil {
		r.buf = append(append(r.buf, '.'), m.aad...)
	}
	msg := &Message{bound: r.buf[:len(r.buf):len(r.buf)]}
	msg.Binding = r.base64("aad", m.aad, anySize)
	msg.sealed = r.sealed(m.iv, m.ciphertext, m.tag)
	if r.err != nil {
		return nil, r.err
	}
	h, err := p.headers(&m)
	if err != nil {
		return nil, err
	}
	msg.headers = *h
	return msg, nil
}

// headers reads the headers of m, unless it has read the same before.
func (p *Parser) headers(m *members) (*headers, error) {
	var room [2 << 10]byte
	text := room[:0]
	remember := p != nil && m.recipients != nil && m.unprotected == nil &&
		len(m.protected)+len(m.recipients) <= parserText
	if remember {
		text = binary.BigEndian.AppendUint32(text, uint32(len(m.protected)))
		text = append(append(text, m.protected...), m.recipients...)
		p.mu.RLock()
		h := p.known[string(text)]
		p.mu.RUnlock()
		if h != nil {
			return h, nil
		}
	}
	h, err := m.readHeaders()
	if err != nil || !remember {
		return h, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= parserHeaders {
		p.known = make(map[string]*headers)
	}
	p.known[string(text)] = h
	return h, nil
}

// ParseCompact reads the output of EncryptCompact, as strictly as Parse. Another alg than dir is
// ErrUnsupported. doc must not change while the result is used.
func ParseCompact(doc []byte) (*Message, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: a field of %d bytes, the limit is %d", ErrTooLarge, len(doc), MaxMessage)
	}
	parts := bytes.SplitN(doc, []byte{'.'}, 6)
	switch {
	case len(parts) != 5:
		return nil, fmt.Errorf("%w: a compact message has five parts", ErrMalformed)
	case len(parts[0]) > MaxProtected:
		return nil, fmt.Errorf("%w: a protected header of %d bytes", ErrTooLarge, len(parts[0]))
	}
	r := reader{buf: make([]byte, 0, 2*base64url.DecodedLen(len(doc)))} // twice: the header has base64 in it
	var h header
	r.header(r.base64("protected", parts[0], anySize), protectedHeader, &h)
	switch {
	case r.err != nil:
		return nil, r.err
	case string(h.alg) != algDirect:
		return nil, fmt.Errorf("%w: alg %.64q of a field, only %s is", ErrUnsupported, h.alg, algDirect)
	case len(parts[1]) != 0:
		return nil, fmt.Errorf("%w: an encrypted key beside alg %s", ErrMalformed, algDirect)
	}
	msg := &Message{isField: true, bound: parts[0], headers: headers{Commitment: h.kid}}
	r.base64("kid", h.kid, sha256.Size)
	msg.sealed = r.sealed(parts[2], parts[3], parts[4])
	n := len(msg.sealed) - nonceSize - tagSize
	switch {
	case r.err != nil:
		return nil, r.err
	case n == 0 || n%paddedTo != 0:
		return nil, fmt.Errorf("%w: a field of %d bytes, not a multiple of %d", ErrMalformed, n, paddedTo)
	case len(h.ctx) > base64url.EncodedLen(MaxBound):
		return nil, fmt.Errorf("%w: a context of %d bytes", ErrTooLarge, len(h.ctx))
	}
	if msg.Binding = r.base64("ctx", h.ctx, anySize); r.err != nil {
		return nil, r.err
	}
	return msg, nil
}

// ParseRecipients reads the output of AppendRecipients, as strictly as Parse. The result shares no memory
// with doc.
func ParseRecipients(doc []byte) ([]WrappedKey, error) { return (*Parser)(nil).ParseRecipients(doc) }

// ParseRecipients reads recipients as the function ParseRecipients does, and remembers them. All fields under
// one content key have the same.
func (p *Parser) ParseRecipients(doc []byte) ([]WrappedKey, error) {
	if len(doc) > MaxMessage {
		return nil, fmt.Errorf("%w: recipients of %d bytes", ErrTooLarge, len(doc))
	}
	h, err := p.headers(&members{recipients: doc})
	if err != nil {
		return nil, err
	}
	return h.Keys, nil
}

// members are the top-level members: texts, and parts that are parsed on their own and are not known to be
// JSON yet. Each is nil when absent.
type members struct {
	protected, aad, iv, ciphertext, tag, encryptedKey []byte
	unprotected, header, recipients                   []byte
}

// read reads the members. It applies the limits, and the rules of RFC 7516 section 7.2 on the members that
// must and must not be present.
func (m *members) read(doc []byte) error {
	if len(doc) > MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes, the limit is %d", ErrTooLarge, len(doc), MaxMessage)
	}
	d := jsontext.NewDecoder(doc)
	for obj := d.Object(); d.Member(&obj); {
		switch string(obj.Name) {
		case "protected":
			m.protected = d.Bytes()
		case "aad":
			m.aad = d.Bytes()
		case "iv":
			m.iv = d.Bytes()
		case "ciphertext":
			m.ciphertext = d.Bytes()
		case "tag":
			m.tag = d.Bytes()
		case "encrypted_key":
			m.encryptedKey = d.Bytes()
		case "unprotected":
			m.unprotected = d.ReadSpan()
		case "header":
			m.header = d.ReadSpan()
		case "recipients":
			m.recipients = d.ReadSpan()
		default:
			d.SkipValue()
		}
	}
	err := d.End()
	switch {
	case err != nil:
		return kindOf("message", err)
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

// readHeaders reads the headers. The result shares no memory with m.
func (m *members) readHeaders() (*headers, error) {
	size := len(m.recipients) + base64url.DecodedLen(len(m.protected)+len(m.recipients))
	r := reader{buf: make([]byte, 0, size)}
	var h header
	if m.protected != nil { // nil: the recipients of fields, which travel alone
		r.header(r.base64("protected", m.protected, anySize), protectedHeader, &h)
	}
	hs := &headers{ContentType: string(h.cty), Commitment: h.kc}
	if h.kc != nil {
		r.base64("kc", h.kc, sha256.Size)
	}
	r.header(bytes.Clone(m.unprotected), sharedHeader, &h)
	if m.recipients != nil {
		start := len(r.buf)
		r.buf = append(r.buf, m.recipients...)
		hs.Keys = r.recipients(r.buf[start:len(r.buf):len(r.buf)], &h)
	} else { // the Flattened Serialization has one
		r.header(bytes.Clone(m.header), recipientHeader, &h)
		hs.Keys = []WrappedKey{r.entry(&h, m.encryptedKey)}
	}
	if r.wantKnown(hs.Keys); r.err != nil {
		return nil, r.err
	}
	return hs, nil
}

// reader reads the parts of one message. It keeps the first error, and reads nothing after it.
type reader struct {
	buf   []byte // the parts are decoded into it
	err   error
	names [2 * MaxParameters][]byte // of the parameters in the protected and the shared header
	count int                       // of names
}

const anySize = -1 // for base64

// base64 decodes text into the buffer. size is how many bytes it must have.
func (r *reader) base64(what string, text []byte, size int) []byte {
	if r.err != nil {
		return nil
	}
	start := len(r.buf)
	buf, err := jsontext.Base64URL.AppendDecode(r.buf, text)
	switch {
	case size != anySize && (err != nil || len(buf) != start+size):
		r.err = fmt.Errorf("%w: %s is not base64url of %d bytes", ErrMalformed, what, size)
		return nil
	case err != nil:
		r.err = fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
		return nil
	}
	r.buf = buf
	return buf[start:len(buf):len(buf)]
}

// sealed decodes the input of AES-GCM, which is nonce, ciphertext and tag in one piece.
func (r *reader) sealed(iv, ciphertext, tag []byte) []byte {
	start := len(r.buf)
	r.base64("iv", iv, nonceSize)
	r.base64("ciphertext", ciphertext, anySize)
	r.base64("tag", tag, tagSize)
	return r.buf[start:len(r.buf):len(r.buf)]
}

// place is one of the three headers that a recipient's parameters come from (RFC 7516 section 4).
type place string

const (
	protectedHeader place = "protected"
	sharedHeader    place = "unprotected"
	recipientHeader place = "header"
)

// header is the union of the headers that were read so far (the JOSE header). A text is nil when absent.
type header struct {
	alg, kid          []byte
	enc, cty, kc, ctx []byte // protected only
	epk               ephemeral
	apu, apv          []byte // decoded
}

// header adds the parameters of one header to h. doc is nil if there is no such header.
func (r *reader) header(doc []byte, from place, h *header) {
	if r.err != nil || doc == nil {
		return
	}
	d := jsontext.NewDecoder(doc)
	r.parameters(&d, from, h)
	r.err = kindOf(string(from), d.End())
	if r.err == nil && from == protectedHeader && string(h.enc) != encGCM {
		r.err = fmt.Errorf("%w: enc %.64q in the protected header, only %s is", ErrUnsupported, h.enc, encGCM)
	}
}

// parameters adds the parameters of the object at which d stands to h.
func (r *reader) parameters(d *jsontext.Decoder, from place, h *header) {
	earlier, n := r.names[:r.count], 0
	for obj := d.Object(); d.Member(&obj); {
		if n++; n > MaxParameters {
			d.Failf("%w: more than %d parameters in a header", ErrTooLarge, MaxParameters)
			return
		}
		for _, name := range earlier {
			if string(name) == string(obj.Name) {
				d.Failf("%w: parameter %.64q in two headers", ErrMalformed, name)
				return
			}
		}
		if from != recipientHeader {
			r.names[r.count] = obj.Name
			r.count++
		}
		switch string(obj.Name) {
		case "crit", "zip":
			d.Failf("%w: header parameter %q", ErrUnsupported, obj.Name)
		case "enc", "cty", "kc", "ctx":
			if from != protectedHeader {
				d.Failf("%w: header parameter %q is not protected", ErrUnsupported, obj.Name)
			}
		}
		switch string(obj.Name) {
		case "alg":
			h.alg = d.Bytes()
		case "kid":
			h.kid = d.Bytes()
		case "enc":
			h.enc = d.Bytes()
		case "cty":
			h.cty = d.Bytes()
		case "kc":
			h.kc = d.Bytes()
		case "ctx":
			h.ctx = d.Bytes()
		case "epk":
			h.epk.read(d)
		case "apu":
			h.apu = r.base64("apu", d.Bytes(), anySize)
		case "apv":
			h.apv = r.base64("apv", d.Bytes(), anySize)
		default:
			d.SkipValue()
		}
		if r.err != nil {
			d.Fail(r.err)
		}
	}
}

func (e *ephemeral) read(d *jsontext.Decoder) {
	for obj := d.Object(); d.Member(&obj); {
		switch string(obj.Name) {
		case "kty":
			e.kty = d.Bytes()
		case "crv":
			e.crv = d.Bytes()
		case "x":
			e.x = d.Bytes()
		case "y":
			e.y = d.Bytes()
		case "d":
			d.Failf("%w: an epk with a private key in it", ErrMalformed)
		default:
			d.SkipValue()
		}
	}
}

// recipients reads the array of recipients, whose headers add to the shared one.
func (r *reader) recipients(doc []byte, shared *header) []WrappedKey {
	if r.err != nil {
		return nil
	}
	keys := make([]WrappedKey, 0, min(bytes.Count(doc, []byte(`"encrypted_key"`)), MaxRecipients))
	d := jsontext.NewDecoder(doc)
	for a := d.Array(); d.Element(&a); {
		if len(keys) == MaxRecipients {
			d.Failf("%w: more than %d recipients", ErrTooLarge, MaxRecipients)
			break
		}
		h := *shared
		var text []byte
		for obj := d.Object(); d.Member(&obj); {
			switch string(obj.Name) {
			case "header":
				r.parameters(&d, recipientHeader, &h)
				if d.Offset()-obj.Start > MaxHeader+len(`"header":`) {
					d.Failf("%w: a recipient's header of more than %d bytes", ErrTooLarge, MaxHeader)
				}
			case "encrypted_key":
				text = d.Bytes()
			default:
				d.SkipValue()
			}
		}
		keys = append(keys, r.entry(&h, text))
		if r.err != nil {
			d.Fail(r.err)
		}
	}
	r.err = kindOf("recipients", d.End())
	if r.err == nil && len(keys) == 0 {
		r.err = fmt.Errorf("%w: no recipient", ErrMalformed)
	}
	return keys
}

// entry makes an entry of the header and the encrypted key. Entries of unknown algorithms are kept, and no
// identity here takes them: the message may have other recipients.
func (r *reader) entry(h *header, encryptedKey []byte) WrappedKey {
	w := WrappedKey{KeyID: string(h.kid), epk: h.epk, apu: h.apu, apv: h.apv}
	switch string(h.alg) { // a known name allocates nothing
	case AlgECDH:
		w.Alg = AlgECDH
	case AlgAWSKMS:
		w.Alg = AlgAWSKMS
	default:
		w.Alg = string(h.alg)
	}
	if r.err == nil && len(encryptedKey) > base64url.EncodedLen(MaxEncryptedKey) {
		r.err = fmt.Errorf("%w: an encrypted_key of %d bytes", ErrTooLarge, len(encryptedKey))
	}
	w.EncryptedKey = r.base64("encrypted_key", encryptedKey, anySize)
	size := len(w.EncryptedKey)
	switch {
	case r.err != nil:
	case w.Alg == "":
		r.err = fmt.Errorf("%w: a recipient without alg", ErrMalformed)
	case w.Alg == AlgECDH && size != wrappedSize:
		r.err = fmt.Errorf("%w: an encrypted key of %d bytes, not %d", ErrMalformed, size, wrappedSize)
	case w.Alg == AlgECDH && h.epk.crv == nil:
		r.err = fmt.Errorf("%w: no epk with a crv", ErrMalformed)
	case w.Alg == AlgAWSKMS && (size == 0 || w.KeyID == ""):
		r.err = fmt.Errorf("%w: a KMS recipient without kid or without encrypted key", ErrMalformed)
	}
	return w
}

// wantKnown fails unless an identity of this package or a key management service might take one of the keys.
func (r *reader) wantKnown(keys []WrappedKey) {
	if r.err != nil {
		return
	}
	for i := range keys {
		crv := string(keys[i].epk.crv)
		if keys[i].Alg == AlgAWSKMS || keys[i].Alg == AlgECDH && (crv == crvP256 || crv == crvX25519) {
			return
		}
	}
	r.err = fmt.Errorf("%w: no recipient of a known algorithm: alg %.64q", ErrUnsupported, keys[0].Alg)
}

// kindOf makes an error of jsontext an error of this package. An error without a kind is ErrMalformed.
func kindOf(what string, err error) error {
	isOurs := errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnsupported) || errors.Is(err, ErrTooLarge)
	if err == nil || isOurs {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
}
