package envelope

import (
	"context"
	"errors"
	"fmt"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/wire"
)

// encryptedType is the content type of data that is one JWE in a JSON serialization (RFC 7516 section 9.2).
const encryptedType = "application/jose+json"

// encrypt encrypts the data, or the members of it that are named. It comes before signing, so that consumers
// verify before they decrypt.
func (s *sealing) encrypt(ctx context.Context, producer string) error {
	e, fields := s.opts.Encrypt, s.opts.EncryptFields
	switch {
	case e == nil && len(fields) > 0:
		return &SealError{Member: "data",
			Problem: "fields are to be encrypted, and there is no recipient: set Encrypt"}
	case e == nil:
		return nil
	case s.ev.Form == wire.NoData:
		return &SealError{Member: "data", Problem: "there is none to encrypt: seal the event without Encrypt"}
	}
	b := &binding{id: s.ev.ID, source: s.ev.Source, typ: s.ev.Type, producer: producer}
	if len(fields) > 0 {
		return s.encryptFields(ctx, e, b)
	}
	if mediaType(s.ev.DataContentType) != s.ev.DataContentType {
		return &SealError{Member: "datacontenttype",
			Problem: "is no media type, as text/plain is one: in a JWE it would mean another"}
	}
	key, err := e.keyFor(ctx, s.ev.Source, 1, len(s.ev.Data), s.now)
	if err != nil {
		return fmt.Errorf("envelope: a key to encrypt with: %w", err)
	}
	defer key.addUsers(-1)
	message, err := jwe.Encrypt(key.key, s.ev.Data, s.ev.DataContentType, b.json(nil), key.wrapped)
	if err != nil {
		return encryptError(err)
	}
	s.ev.Form, s.ev.Data, s.ev.Canonical, s.ev.Base64 = wire.JSONData, message, true, false
	s.ev.DataContentType = encryptedType
	s.enc = wire.Enc{Whole: true}
	return nil
}

// encryptError is the error of package jwe as the caller of Seal gets it.
func encryptError(err error) error {
	if errors.Is(err, jwe.ErrTooLarge) {
		return &SealError{Member: "data", Err: err,
			Problem: "is too large once it is encrypted: send large data by reference (dataref)"}
	}
	return fmt.Errorf("envelope: encrypting: %w", err)
}

// encryptFields puts a compact JWE in place of each member. An attribute has the content key of the members,
// encrypted to each recipient.
func (s *sealing) encryptFields(ctx context.Context, e *Encrypter, b *binding) error {
	fields, size, err := s.findFields()
	if err != nil {
		return err
	}
	key, err := e.keyFor(ctx, s.ev.Source, len(fields), size, s.now)
	if err != nil {
		return fmt.Errorf("envelope: a key to encrypt with: %w", err)
	}
	defer key.addUsers(-1)
	for i := range fields {
		f := &fields[i]
		field, err := jwe.EncryptCompact(key.key, s.ev.Data[f.Start:f.End], b.json(&s.enc.Fields[i]))
		if err != nil {
			return encryptError(err)
		}
		f.Text = jsontext.AppendQuote(nil, field)
	}
	s.ev.Data = jsontext.Replace(s.ev.Data, fields)
	list, err := jwe.AppendRecipients(nil, key.key, key.wrapped)
	switch {
	case err != nil:
		return encryptError(err)
	case len(s.ev.Extensions) == wire.MaxExtensions:
		return &SealError{Problem: fmt.Sprintf(
			"more than %d extension attributes, with the one for the recipients of the fields",
			wire.MaxExtensions)}
	case len(list) > wire.MaxAttribute:
		return &SealError{Member: wire.AttrRecipients, Problem: fmt.Sprintf(
			"the keys for the recipients of the fields have %d bytes, the limit is %d: "+
				"encrypt to fewer, or all of the data", len(list), wire.MaxAttribute)}
	}
	s.set(wire.AttrRecipients, wire.String, string(list))
	s.sortExtensions()
	return nil
}

// findFields is where the members to encrypt stand, in the order of s.enc, and how many bytes they have.
func (s *sealing) findFields() (fields []jsontext.Replacement, size int, err error) {
	texts := s.opts.EncryptFields
	switch {
	case len(texts) > wire.MaxEncryptedFields:
		return nil, 0, &SealError{Member: "data", Problem: fmt.Sprintf(
			"more than %d fields to encrypt: encrypt all of the data, or what they are in",
			wire.MaxEncryptedFields)}
	case s.ev.Form != wire.JSONData || s.ev.Base64:
		return nil, 0, &SealError{Member: "data", Option: "EncryptFields",
			Problem: "fields can be encrypted in JSON data only, and not with Exact: name none to encrypt all of it"}
	}
	for _, text := range texts {
		if err := jsontext.CheckPointer(text, s.enc.Fields); err != nil {
			return nil, 0, &SealError{Member: "data", Option: "EncryptFields", Problem: err.Error(), Err: err}
		}
		s.enc.Fields = append(s.enc.Fields, text)
	}
	at := jsontext.FindAll(s.ev.Data, s.enc.Fields)
	for i := range at {
		if at[i].End == 0 {
			return nil, 0, &SealError{Member: "data", Option: "EncryptFields",
				Problem: fmt.Sprintf("there is nothing at %.80q: name the fields that this event has",
					texts[i])}
		}
		fields = append(fields, jsontext.Replacement{Span: at[i]})
		size += at[i].End - at[i].Start
	}
	return fields, size, nil
}
