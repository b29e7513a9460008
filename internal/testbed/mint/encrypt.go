package mint

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/keys"
)

// AlgECDH and AlgKMS are the algorithms of recipients.
const (
	AlgECDH = "ECDH-ES+A256KW"
	AlgKMS  = "urn:sealbus:jwe:aws-kms"
)

// encryptedType is the content type of data that is one JWE.
const encryptedType = "application/jose+json"

// Secret says how the data of a plan is encrypted. Keys and nonces are derived from Name and from the data,
// so the same plan gives the same bytes, and every reader of this code can open them. The functions are
// edits, as in Plan.
type Secret struct {
	To     []*keys.Recipient
	Fields []string // JSON Pointers; nil = all of the data
	Name   string   // another one is another content key

	APU, APV string // party infos of RFC 7518 section 4.6.1, "" = none

	Binding    func(Object) Object               // the associated data: id, field, producer, source, type
	Plaintext  func(string) string               // of all of the data
	Protected  func(Object) Object               // headers, before they are authenticated
	Entry      func(i int, entry Object) Object  // of a recipient: encrypted_key, header
	Recipients func(string) string               // the array of the entries
	Message    func(Object) Object               // the JWE
	Padded     func(pointer, text string) string // the plaintext of a field with its padding
	Field      func(pointer, text string) string // the compact JWE of a field
	Enc        func(string) string               // the member "enc"
	Event      func(Object) Object               // the event with its encrypted data, before it is signed
}

// Encrypt returns the plan of the same event with its data encrypted. Opened of p remains what the recipients
// read.
func (p *Plan) Encrypt(s *Secret) *Plan {
	q := *p
	if len(s.Fields) == 0 {
		q.Enc = `"jwe"`
		q.Event = p.Event.Set("datacontenttype", Quote(encryptedType)).Del("data_base64").Set("data",
			s.whole(p))
	} else {
		q.Enc = Array(s.Fields...)
		data := p.data()
		for _, pointer := range s.Fields {
			data = substitute(data, tokens(pointer),
				func(raw string) string { return Quote(s.field(p, pointer, raw)) })
		}
		q.Event = p.Event.Set("data", data).Set("jwerecipients", Quote(s.recipients()))
	}
	q.Data = nil
	q.Enc, q.Event = edit(s.Enc, q.Enc), edit(s.Event, q.Event)
	return &q
}

// whole is the JWE of all of the data.
func (s *Secret) whole(p *Plan) string {
	protected := edit(s.Protected, Object{
		{"cty", Quote(p.text("datacontenttype"))}, {"enc", `"A256GCM"`}, {"kc", Quote(s.Commitment())},
	}).String()
	aad := url(s.binding(p, "").String())
	nonce, ciphertext, tag := s.seal(edit(s.Plaintext, p.data()), url(protected)+"."+aad)
	return edit(s.Message, Object{
		{"aad", Quote(aad)}, {"ciphertext", Quote(url(ciphertext))}, {"iv", Quote(url(nonce))},
		{"protected", Quote(url(protected))},
		{"recipients", s.recipients()}, {"tag", Quote(url(tag))},
	}).String()
}

// field is the compact JWE of one member.
func (s *Secret) field(p *Plan, pointer, raw string) string {
	protected := url(edit(s.Protected, Object{
		{"alg", `"dir"`}, {"ctx", Quote(url(s.binding(p, pointer).String()))}, {"enc", `"A256GCM"`},
		{"kid", Quote(s.Commitment())},
	}).String())
	padded := raw + strings.Repeat(" ", (32-len(raw)%32)%32)
	if s.Padded != nil {
		padded = s.Padded(pointer, padded)
	}
	nonce, ciphertext, tag := s.seal(padded, protected)
	text := strings.Join([]string{protected, "", url(nonce), url(ciphertext), url(tag)}, ".")
	if s.Field != nil {
		text = s.Field(pointer, text)
	}
	return text
}

func (s *Secret) binding(p *Plan, pointer string) Object {
	o := Object{{"id", Quote(p.text("id"))}}
	if len(s.Fields) > 0 {
		o = o.Add("pointer", Quote(pointer))
	}
	return edit(s.Binding, append(o, Object{
		{"producer", Quote(p.By[0].producer())}, {"source", Quote(p.text("source"))},
		{"type", Quote(p.text("type"))},
	}...))
}

// contentKey is what the data is encrypted under.
func (s *Secret) contentKey() []byte { return []byte(hash("sealbus test content key: " + s.Name)) }

// ContentKey is what the data is encrypted under, in base64url.
func (s *Secret) ContentKey() string { return url(string(s.contentKey())) }

// Commitment is what names the content key.
func (s *Secret) Commitment() string {
	mac := hmac.New(sha256.New, s.contentKey())
	mac.Write([]byte("sealbus/v1/key-commitment"))
	return url(string(mac.Sum(nil)))
}

func (s *Secret) seal(plaintext, bound string) (nonce, ciphertext, tag string) {
	block, err := aes.NewCipher(s.contentKey())
	must(err)
	gcm, err := cipher.NewGCM(block)
	must(err)
	nonce = hash("sealbus test nonce: " + bound + "\n" + plaintext)[:gcm.NonceSize()]
	sealed := string(gcm.Seal(nil, []byte(nonce), []byte(plaintext), []byte(bound)))
	end := len(sealed) - gcm.Overhead()
	return nonce, sealed[:end], sealed[end:]
}

func (s *Secret) recipients() string {
	var list []string
	for i, r := range s.To {
		e := s.entry(r)
		if s.Entry != nil {
			e = s.Entry(i, e)
		}
		list = append(list, e.String())
	}
	return edit(s.Recipients, "["+strings.Join(list, ",")+"]")
}

// entry is the content key for one recipient.
func (s *Secret) entry(r *keys.Recipient) Object {
	ephemeral, err := r.PublicKey().Curve().NewPrivateKey([]byte(hash("sealbus test ephemeral key: " +
		s.Name + r.KeyID())))
	must(err)
	z, err := ephemeral.ECDH(r.PublicKey())
	must(err)
	header := Object{{"alg", Quote(AlgECDH)}, {"epk", ephemeralJWK(ephemeral.PublicKey())},
		{"kid", Quote(r.KeyID())}}
	if s.APU != "" || s.APV != "" {
		header = header.Add("apu", Quote(url(s.APU))).Add("apv", Quote(url(s.APV)))
	}
	wrapped := wrap(derive(z, s.APU, s.APV), s.contentKey())
	return Object{{"encrypted_key", Quote(url(string(wrapped)))}, {"header", header.String()}}
}

func ephemeralJWK(key *ecdh.PublicKey) string {
	point := string(key.Bytes())
	if key.Curve() == ecdh.X25519() {
		return Object{{"crv", `"X25519"`}, {"kty", `"OKP"`}, {"x", Quote(url(point))}}.String()
	}
	return Object{{"crv", `"P-256"`}, {"kty", `"EC"`}, {"x", Quote(url(point[1:33]))},
		{"y", Quote(url(point[33:]))}}.String()
}

// derive is the Concat KDF of RFC 7518 section 4.6.2 for 256 bits.
func derive(z []byte, apu, apv string) []byte {
	info := "\x00\x00\x00\x01" + string(z)
	for _, part := range []string{AlgECDH, apu, apv} {
		info += string(binary.BigEndian.AppendUint32(nil, uint32(len(part)))) + part
	}
	return []byte(hash(info + "\x00\x00\x01\x00"))
}

// wrap is the AES key wrap by the letter of RFC 3394 section 2.2.1.
func wrap(kek, key []byte) []byte {
	block, err := aes.NewCipher(kek)
	must(err)
	a, r := bytes.Repeat([]byte{0xa6}, 8), slices.Collect(slices.Chunk(key, 8))
	for t := range 6 * len(r) {
		b := slices.Concat(a, r[t%len(r)])
		block.Encrypt(b, b)
		a, r[t%len(r)] = b[:8], b[8:]
		a[7] ^= byte(t + 1)
	}
	return slices.Concat(append([][]byte{a}, r...)...)
}

func url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func must(err error) {
	if err != nil {
		panic("mint: " + err.Error()) // a plan of our own
	}
}
