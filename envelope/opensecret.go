package envelope

import (
	"bytes"
	"context"
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
	OpenedWith string   // the key ID of the identity that did; "" = it is still encrypted, or was not
}

// secret is the verified part of encrypted data. No key has been used for it yet.
type secret struct {
	signed  wire.Event // the event as it was signed
	enc     wire.Enc
	bound   binding
	message *jwe.Message     // all of the data, or
	fields  []secretField    // its members
	entries []jwe.WrappedKey // the recipients
	bundle  *trust.Bundle    // that the event was judged by
	now     func() time.Time

	aad         []byte // what message must be bound to
	uncommitted bool   // message may be bound to nothing, and need not commit to its key
}

// secretField is one encrypted member.
type secretField struct {
	jsontext.Span
	compact *jwe.Compact
	context []byte // what it must be bound to
}

// checkEncryption says whether the data is encrypted as far as this consumer demands, and whether it can be
// opened at all. A required field that is not there is no violation.
func (o *opening) checkEncryption() *Error {
	var is wire.Enc // how the data is encrypted, if it is
	if o.payload.Profile != nil {
		is = o.payload.Profile.Enc
	}
	if !is.Whole {
		if o.policy.RequireEncrypted {
			return reject(ReasonNotEncrypted, "the data is not encrypted, or only some of its members are")
		}
		for _, field := range o.fields {
			switch {
			case o.in.Form == wire.NoData:
			case o.in.Form != wire.JSONData, field.LeadsOutside(o.data, is.Fields):
				return reject(ReasonNotEncrypted, "the field %.80q is not encrypted", field)
			}
		}
	}
	if is.Any() && o.policy.Decrypter == nil && !o.step.KeepEncrypted {
		return reject(ReasonNotARecipient, "the data is encrypted and no identity was given")
	}
	return nil
}

func (o *opening) isEncrypted() bool { return o.payload.Profile != nil && o.payload.Profile.Enc.Any() }

// readSecret parses the encrypted data, and makes sure that it belongs to this event and commits to its key.
// All of that is possible before a key is used.
func (o *opening) readSecret(r *Opened) *Error {
	if !o.isEncrypted() {
		return nil
	}
	s := &secret{signed: r.content, enc: o.payload.Profile.Enc, bundle: o.bundle, now: o.step.Now,
		bound: binding{id: o.in.ID, source: o.in.Source, typ: o.in.Type, producer: o.producer}}
	var err *Error
	if s.enc.Whole {
		err = s.readWhole(&o.policy)
	} else {
		err = s.readFields()
	}
	if err != nil {
		return err
	}
	if o.step.KeepEncrypted {
		s.signed.Data = bytes.Clone(s.signed.Data) // that of the event is the caller's to change
	}
	r.secret = s
	r.Encryption = &Encryption{Fields: s.enc.Texts(), Recipients: make([]string, len(s.entries))}
	for i := range s.entries {
		r.Encryption.Recipients[i] = s.entries[i].KeyID
	}
	return nil
}

func (s *secret) readWhole(policy *Policy) *Error {
	if s.signed.Form != wire.JSONData {
		return reject(ReasonMalformed, "the data is not the JWE that the producer says it is")
	}
	var parser *jwe.Parser
	if policy.Decrypter != nil {
		parser = &policy.Decrypter.parser
	}
	m, err := parser.Parse(s.signed.Data)
	if err != nil {
		return secretError("the encrypted data", err)
	}
	s.message, s.entries, s.aad, s.uncommitted = m, m.Keys, s.bound.aad(), policy.Unsafe.AllowUncommitted
	if s.uncommitted {
		err = m.UnsafeCheckUncommitted(s.aad)
	} else {
		err = m.Check(s.aad)
	}
	if err != nil {
		return secretError("the encrypted data", err)
	}
	return nil
}

// secretError is the verdict on encrypted data that was signed so.
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

func (s *secret) readFields() *Error {
	if s.signed.Form != wire.JSONData {
		return reject(ReasonMalformed, "members are encrypted of data that is not JSON")
	}
	i := slices.IndexFunc(s.signed.Extensions, func(a wire.Attribute) bool { return a.Name == attrRecipients })
	if i < 0 {
		return reject(ReasonMalformed, "members of the data are encrypted, and no attribute %s is signed",
			attrRecipients)
	}
	var err error
	if s.entries, err = jwe.ParseRecipients([]byte(s.signed.Extensions[i].Value)); err != nil {
		return secretError(attrRecipients, err)
	}
	at := jsontext.FindAll(s.signed.Data, s.enc.Fields)
	for i, p := range s.enc.Fields {
		what := fmt.Sprintf("the encrypted field %.80q", p)
		if at[i].End == 0 || s.signed.Data[at[i].Start] != '"' {
			return reject(ReasonMalformed, "%s is not there, or no string", what)
		}
		text, err := jsontext.AppendUnquote(nil, s.signed.Data[at[i].Start:at[i].End])
		if err != nil {
			return reject(ReasonMalformed, "%s: %v", what, err)
		}
		f := secretField{Span: at[i], context: s.bound.field(p)}
		if f.compact, err = jwe.ParseCompact(text); err == nil {
			err = f.compact.Check(f.context)
		}
		if err != nil {
			return secretError(what, err)
		}
		s.fields = append(s.fields, f)
	}
	for i := range s.fields {
		if s.fields[i].compact.Commitment != s.fields[0].compact.Commitment { // no answer of a service opens both
			return reject(ReasonDecryptFailed, "the encrypted fields %.80q and %.80q are under different content keys",
				s.enc.Fields[0], s.enc.Fields[i])
		}
	}
	return nil
}

// IsEncrypted reports whether the data is still encrypted.
func (r *Opened) IsEncrypted() bool { return r.secret != nil && !r.opened }

// Decrypt opens the data of an event that was opened with Step.KeepEncrypted. It returns a new Opened,
// or an *Error with the Reason: not_a_recipient, kms_unavailable (transient), too_large (more recipients to
// try than MaxTries and MaxServiceCalls allow), decrypt_failed, malformed. Of an event that is not encrypted,
// or no longer, it returns r.
func (r *Opened) Decrypt(ctx context.Context, d *Decrypter) (*Opened, error) {
	if !r.IsEncrypted() {
		return r, nil
	}
	next, encryption := *r, *r.Encryption
	next.Encryption = &encryption
	if err := next.decrypt(ctx, d); err != nil {
		err.UnverifiedID, err.UnverifiedSource, err.UnverifiedType = r.content.ID, r.content.Source, r.content.Type
		return nil, err
	}
	return &next, nil
}

// decrypt makes r the event that was sealed. No other code has r yet.
func (r *Opened) decrypt(ctx context.Context, d *Decrypter) *Error {
	if d == nil {
		return reject(ReasonNotARecipient, "the data is encrypted and no identity was given")
	}
	s := r.secret
	u := &unlocking{
		Decrypter: d, source: r.content.Source, producer: s.bound.producer, entries: s.entries,
		bundle: s.bundle, now: s.now(), committed: s.message == nil || s.message.Committed(),
	}
	u.try = func(key *jwe.ContentKey) (err error) {
		r.content.Data, err = s.decrypt(key)
		return err
	}
	identity, verdict := u.unlock(ctx)
	if verdict != nil {
		return verdict
	}
	if err := s.restore(&r.content); err != nil {
		return err
	}
	without := ""
	if s.message == nil {
		without = attrRecipients
	}
	r.Encryption.OpenedWith = identity
	r.Event, r.opened = r.content.WithData(r.Event, without), true
	// A handler may keep the event for long. It is not to keep the trust bundle and the delivery with it.
	done := *s
	done.bundle, done.now = nil, nil
	r.secret = &done
	return nil
}

// decrypt is the plain data, if key is the right one.
func (s *secret) decrypt(key *jwe.ContentKey) ([]byte, error) {
	switch {
	case s.message != nil && s.uncommitted:
		return s.message.UnsafeDecryptUncommitted(key, s.aad)
	case s.message != nil:
		return s.message.Decrypt(key, s.aad)
	}
	plain := make([]jsontext.Replacement, len(s.fields))
	for i := range s.fields {
		f := &s.fields[i]
		value, err := f.compact.Decrypt(key, f.context)
		if err != nil {
			return nil, err
		}
		plain[i] = jsontext.Replacement{Span: f.Span, Text: value}
	}
	return jsontext.Replace(s.signed.Data, plain), nil
}

// restore makes of content, which has the plain data, the event that was sealed.
func (s *secret) restore(content *wire.Event) *Error {
	content.Form, content.Base64 = wire.JSONData, false
	if s.message == nil {
		content.Extensions = slices.DeleteFunc(slices.Clone(content.Extensions),
			func(a wire.Attribute) bool { return a.Name == attrRecipients })
	} else if content.DataContentType = mediaType(s.message.ContentType); wire.CheckText("datacontenttype",
		content.DataContentType) != nil {
		return reject(ReasonMalformed, "the content type of the encrypted data is no text, or too long")
	}
	if !wire.IsJSON(content.DataContentType) {
		content.Form, content.Base64 = wire.BinaryData, true
		if len(content.Data) == 0 {
			content.Form, content.Base64 = wire.NoData, false
		}
		return nil
	}
	var err error
	if content.Canonical, err = wire.ScanJSON(content.Data); err != nil {
		// err may quote a member's name
		return reject(ReasonMalformed, "what was encrypted is not JSON, as its content type says")
	}
	return nil
}

// mediaType is a "cty" in full: without a slash it lacks "application/" (RFC 7516 section 4.1.12), and
// without any it is JSON, as in CloudEvents.
func mediaType(cty string) string {
	switch {
	case cty == "":
		return "application/json"
	case !slices.Contains([]byte(cty), '/'):
		return "application/" + cty
	}
	return cty
}

// withoutSecrets is the digest of encrypted data by which a duplicate and a reused ID are told apart. It
// leaves the ciphertext out, because that differs each time. Where all of the data is encrypted, the media
// type is left.
func (s *secret) withoutSecrets() digest {
	if s.message != nil {
		return sum256([]byte(mediaType(s.message.ContentType)))
	}
	cut := make([]jsontext.Replacement, len(s.fields))
	b := make([]byte, 0, len(s.signed.Data))
	texts := s.enc.Texts()
	slices.Sort(texts)
	for i := range s.fields {
		cut[i].Span = s.fields[i].Span
		b = appendPrefixed(b, texts[i])
	}
	return sum256(append(b, jsontext.Replace(s.signed.Data, cut)...))
}
