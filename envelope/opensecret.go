package envelope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys/trust"
)

// Encryption says how the data of an event was encrypted.
type Encryption struct {
	Fields     []string // JSON Pointers of the members that were encrypted; nil = all of the data was
	Recipients []string // the key IDs of the recipients, as the event names them; "" = it names none
	OpenedWith string   // the key ID of the identity that opened the data; "" = it is still encrypted
}

// secret is encrypted data, as its producer signed it. No key was used for it yet. Either message or fields
// is set.
type secret struct {
	signed  wire.Event // the event as it was signed
	enc     wire.Enc
	bound   binding
	message *jwe.Message     // all of the data
	fields  []secretField    // members of the data
	entries []jwe.WrappedKey // the content key, encrypted to each recipient
	bundle  *trust.Bundle    // by which the event was judged
	clock   func() time.Time // of this delivery

	aad []byte // the binding of message
}

// secretField is one encrypted member.
type secretField struct {
	jsontext.Span
	compact *jwe.Message
	context []byte // its binding
}

// checkEncryption refuses an event whose data is not encrypted as far as this consumer demands, and encrypted
// data if this consumer has no keys. A required field that is absent is no violation.
func (o *opening) checkEncryption() *Error {
	var is wire.Enc // how the data is encrypted, if it is
	if o.payload.Profile != nil {
		is = o.payload.Profile.Enc
	}
	if !is.Whole {
		if o.policy.RequireEncrypted {
			return reject(ReasonNotEncrypted, "the data is not encrypted, or only some of its members are")
		}
		for _, field := range o.policy.RequireEncryptedFields {
			switch {
			case o.in.Form == wire.NoData:
			case o.in.Form != wire.JSONData, jsontext.LeadsOutside(o.data, field, is.Fields):
				return reject(ReasonNotEncrypted, "the field %.80q is not encrypted", field)
			}
		}
	}
	if (is.Whole || len(is.Fields) > 0) && o.policy.Decrypter == nil && !o.step.KeepEncrypted {
		return reject(ReasonNotARecipient, "the data is encrypted and no identity was given")
	}
	return nil
}

// readSecret parses the encrypted data, and checks before any key is used that it belongs to this event and
// commits to its key.
func (o *opening) readSecret(r *Opened) *Error {
	p := o.payload.Profile
	if p == nil || !p.Enc.Whole && len(p.Enc.Fields) == 0 {
		return nil
	}
	s := &secret{signed: r.content, enc: p.Enc, bundle: o.bundle, clock: o.step.Now,
		bound: binding{id: o.in.ID, source: o.in.Source, typ: o.in.Type, producer: o.producer}}
	if s.signed.Form != wire.JSONData {
		return reject(ReasonMalformed,
			"the data is not JSON, and the producer says that it has encrypted data")
	}
	var parser *jwe.Parser
	if o.policy.Decrypter != nil {
		parser = &o.policy.Decrypter.parser
	}
	if o.step.KeepEncrypted {
		s.signed.Data = bytes.Clone(s.signed.Data) // that of the event is the caller's to change
	}
	if !s.enc.Whole {
		if err := s.readFields(parser); err != nil {
			return err
		}
	} else {
		m, err := parser.Parse(s.signed.Data)
		if err != nil {
			return secretError("the encrypted data", err)
		}
		s.message, s.entries, s.aad = m, m.Keys, s.bound.json(nil)
		m.UnsafeUncommitted = o.policy.Unsafe.AllowUncommitted
		if err := m.Check(s.aad); err != nil {
			return secretError("the encrypted data", err)
		}
	}
	r.secret = s
	r.Encryption = &Encryption{Fields: slices.Clone(s.enc.Fields), Recipients: make([]string, len(s.entries))}
	for i := range s.entries {
		r.Encryption.Recipients[i] = s.entries[i].KeyID
	}
	return nil
}

// readFields parses the encrypted members, and the recipients that have the key of all of them.
func (s *secret) readFields(parser *jwe.Parser) *Error {
	i := slices.IndexFunc(s.signed.Extensions,
		func(a wire.Attribute) bool { return a.Name == wire.AttrRecipients })
	if i < 0 {
		return reject(ReasonMalformed, "members of the data are encrypted, and no attribute %s is signed",
			wire.AttrRecipients)
	}
	var err error
	if s.entries, err = parser.ParseRecipients([]byte(s.signed.Extensions[i].Value)); err != nil {
		return secretError(wire.AttrRecipients, err)
	}
	at := jsontext.FindAll(s.signed.Data, s.enc.Fields)
	s.fields = make([]secretField, 0, len(at))
	for i, p := range s.enc.Fields {
		what := func() string { return fmt.Sprintf("the encrypted field %.80q", p) }
		if at[i].End == 0 || s.signed.Data[at[i].Start] != '"' {
			return reject(ReasonMalformed, "%s is not there, or no string", what())
		}
		text := jsontext.NewDecoder(s.signed.Data[at[i].Start:at[i].End])
		f := secretField{Span: at[i], context: s.bound.json(&p)}
		if f.compact, err = jwe.ParseCompact(text.Bytes()); err == nil {
			err = f.compact.Check(f.context)
		}
		if err != nil {
			return secretError(what(), err)
		}
		s.fields = append(s.fields, f)
	}
	for i := range s.fields {
		// No answer of a service opens both.
		if !bytes.Equal(s.fields[i].compact.Commitment, s.fields[0].compact.Commitment) {
			return reject(ReasonDecryptFailed,
				"the encrypted fields %.80q and %.80q are under different content keys",
				s.enc.Fields[0], s.enc.Fields[i])
		}
	}
	return nil
}

// secretError is the verdict on encrypted data that fails a check before any key is used.
func secretError(what string, err error) *Error {
	e := &Error{Reason: ReasonDecryptFailed, Cause: what + ": " + err.Error(), Err: err}
	switch {
	case errors.Is(err, jwe.ErrMalformed):
		e.Reason = ReasonMalformed
	case errors.Is(err, jwe.ErrUnsupported):
		e.Reason = ReasonUnsupported
	case errors.Is(err, jwe.ErrTooLarge):
		e.Reason = ReasonTooLarge
	case errors.Is(err, jwe.ErrBinding):
		e.Cause = what + " was made for another event or by another producer: it was moved here"
	case errors.Is(err, jwe.ErrUncommitted), errors.Is(err, jwe.ErrUnbound):
		e.Cause += ": it is of another library; Unsafe.AllowUncommitted accepts it"
	}
	return e
}

// IsEncrypted reports whether the data is still encrypted.
func (r *Opened) IsEncrypted() bool { return r.secret != nil && !r.opened }

// Decrypt opens the data of an event that was opened with Step.KeepEncrypted. It returns a new Opened,
// or an *Error with the Reason: not_a_recipient, kms_unavailable (transient), too_large (more recipients to
// try than maxTries and maxServiceCalls allow), decrypt_failed, malformed. Of an event that is not encrypted,
// or no longer, it returns r.
func (r *Opened) Decrypt(ctx context.Context, d *Decrypter) (*Opened, error) {
	if !r.IsEncrypted() {
		return r, nil
	}
	next, encryption, own := *r, *r.Encryption, *r.secret
	next.Encryption, next.secret = &encryption, &own
	if err := next.decrypt(ctx, d); err != nil {
		err.UnverifiedID, err.UnverifiedSource, err.UnverifiedType = r.content.ID, r.content.Source,
			r.content.Type
		return nil, err
	}
	return &next, nil
}

// decrypt makes r the event that was sealed. No other code has r yet.
func (r *Opened) decrypt(ctx context.Context, d *Decrypter) *Error {
	if d == nil {
		return reject(ReasonNotARecipient, "the data is encrypted and no identity was given")
	}
	s, content := r.secret, &r.content
	u := &unlocking{Decrypter: d, secret: s, now: s.clock()}
	identity, verdict := u.unlock(ctx)
	if verdict != nil {
		return verdict
	}
	content.Data, content.Form, content.Base64 = u.plain, wire.JSONData, false
	without := ""
	if s.message == nil {
		without = wire.AttrRecipients
		content.Extensions = slices.DeleteFunc(slices.Clone(content.Extensions),
			func(a wire.Attribute) bool { return a.Name == wire.AttrRecipients })
	} else {
		content.DataContentType = mediaType(s.message.ContentType)
		if wire.CheckText("datacontenttype", content.DataContentType, wire.MaxAttribute) != nil {
			return reject(ReasonMalformed, "the content type of the encrypted data is no text, or too long")
		}
	}
	switch {
	case wire.IsJSON(content.DataContentType):
		if !u.isJSON && content.SetJSON(content.Data) != nil { // its error may quote a member's name
			return reject(ReasonMalformed, "the decrypted data is not JSON, as its content type says")
		}
		content.Document = jsontext.Document{} // it would keep a second form of the data in memory
	case len(content.Data) == 0:
		content.Form = wire.NoData
	default:
		content.Form, content.Base64 = wire.BinaryData, true
	}
	r.Encryption.OpenedWith = identity
	r.Event, r.opened = content.WithData(r.Event, without), true
	// A handler may keep the event for long. It is not to keep the trust bundle and the delivery with it.
	s.bundle, s.clock = nil, nil
	return nil
}

// decrypt is the data in clear, if key is the right one. isJSON is true if it is strict JSON for sure: the
// signed data is, and each field is one value that took the place of a string. Only an object or an array
// could then nest too deeply.
func (s *secret) decrypt(key *jwe.ContentKey) (data []byte, isJSON bool, err error) {
	if s.message != nil {
		data, err = s.message.Decrypt(key, s.aad)
		return data, false, err
	}
	isJSON = true
	plain := make([]jsontext.Replacement, len(s.fields))
	for i := range s.fields {
		f := &s.fields[i]
		value, err := f.compact.Decrypt(key, f.context)
		if err != nil {
			return nil, false, err
		}
		isJSON = isJSON && value[0] != '{' && value[0] != '['
		plain[i] = jsontext.Replacement{Span: f.Span, Text: value}
	}
	return jsontext.Replace(s.signed.Data, plain), isJSON, nil
}

// mediaType is the media type that a "cty" stands for. One without a slash lacks "application/" (RFC 7516
// section 4.1.12). An empty one is JSON, as in CloudEvents.
func mediaType(cty string) string {
	switch {
	case cty == "":
		return "application/json"
	case !slices.Contains([]byte(cty), '/'):
		return "application/" + cty
	}
	return cty
}

// withoutSecrets is the digest of encrypted data that tells a duplicate from a reused ID. It leaves the
// ciphertext out, because that differs each time. If all of the data is encrypted, only the media type is
// left.
func (s *secret) withoutSecrets() digest {
	if s.message != nil {
		return sha256.Sum256([]byte(mediaType(s.message.ContentType)))
	}
	cut := make([]jsontext.Replacement, len(s.fields))
	b := make([]byte, 0, len(s.signed.Data))
	texts := slices.Sorted(slices.Values(s.enc.Fields))
	for i := range s.fields {
		cut[i].Span = s.fields[i].Span
		b = appendPrefixed(b, texts[i])
	}
	return sha256.Sum256(append(b, jsontext.Replace(s.signed.Data, cut)...))
}

// binding is what encrypted data is bound to, so that it opens in this event only: data that was moved into
// another one, or signed again by another producer, does not.
type binding struct{ id, source, typ, producer string }

// json is the binding of the whole data, or of one encrypted member, as canonical JSON.
func (b *binding) json(field *string) []byte {
	dst := jsontext.AppendQuote(append(make([]byte, 0, 256), `{"id":`...), b.id)
	if field != nil {
		dst = jsontext.AppendQuote(append(dst, `,"pointer":`...), *field)
	}
	dst = jsontext.AppendQuote(append(dst, `,"producer":`...), b.producer)
	dst = jsontext.AppendQuote(append(dst, `,"source":`...), b.source)
	return append(jsontext.AppendQuote(append(dst, `,"type":`...), b.typ), '}')
}
