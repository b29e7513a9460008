package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/wire"
)

// result builds the event anew from what was verified: nothing else can get into it. Encrypted data is parsed
// and held against the event, and is still encrypted.
func (o *opening) result() (*Opened, *Error) {
	r := &Opened{
		Producer: o.producer, SignedAt: o.sealed, ExpiresAt: o.expiry, BundleExpires: o.bundleExpires,
		Foreign: o.payload.Profile == nil, data: o.dataSum, mode: o.policy.Mode,
		content: wire.Event{
			SpecVersion: o.in.SpecVersion, ID: o.in.ID, Source: o.in.Source, Type: o.in.Type,
			DataContentType: o.in.DataContentType, DataSchema: o.in.DataSchema, Subject: o.in.Subject, Time: o.time,
			Extensions: o.exts, Form: o.in.Form, Data: o.ownData(), Base64: o.in.Form == wire.BinaryData,
		},
	}
	ev, err := r.content.ToSDK()
	if err != nil {
		return nil, parseError(err) // in every mode: a mode changes only what is returned
	}
	if r.mode == CoreOnly {
		if ev, err = r.visible().ToSDK(); err != nil {
			return nil, parseError(err)
		}
	}
	r.Event = ev
	ids := make([]string, 0, len(o.counted)+9+len(o.exts)) // one piece of memory for both lists
	for i := range o.counted {
		ids = append(ids, o.counted[i].key.KeyID())
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	r.KeyIDs, r.SignedAttributes = ids[:len(ids):len(ids)], appendSignedNames(ids, &r.content)[len(ids):]
	ignored := o.in.Ignored
	if o.leftOut {
		ignored = append(ignored, o.detail.Ignored...)
	}
	r.Ignored = ReportedMembers(ignored)
	if r.mode == Passthrough {
		for _, a := range o.in.Extensions {
			if slices.Contains(o.payload.Names, a.Name) {
				continue
			}
			if r.Unverified == nil {
				r.Unverified = make(map[string]string)
			}
			r.Unverified[a.Name] = a.Value
		}
	}
	if err := o.readSecret(r); err != nil {
		return nil, err
	}
	return r, nil
}

// ownData is the verified data in memory of its own: the caller may reuse the buffer that it handed in.
func (o *opening) ownData() []byte {
	if o.in.Form == wire.NoData {
		return nil
	}
	if o.payload.Profile != nil && o.payload.Profile.Enc.Whole && !o.step.KeepEncrypted {
		return o.data // it is gone before the caller gets anything
	}
	if len(o.data) > 0 && len(o.in.Data) > 0 && &o.data[0] == &o.in.Data[0] && !o.in.Base64 {
		return bytes.Clone(o.data)
	}
	return o.data
}

// visible is the event as the mode shows it.
func (r *Opened) visible() *wire.Event {
	e := r.content
	if r.mode == CoreOnly {
		e.Extensions = nil
	}
	return &e
}

func appendSignedNames(names []string, e *wire.Event) []string {
	names = append(names, "id", "source", "specversion", "type")
	for _, a := range [...]struct{ name, value string }{
		{"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema}, {"subject", e.Subject}, {"time",
			e.Time},
	} {
		if a.value != "" {
			names = append(names, a.name)
		}
	}
	if e.Form != wire.NoData {
		names = append(names, "data")
	}
	for i := range e.Extensions {
		names = append(names, e.Extensions[i].Name)
	}
	return names
}

// JSON is the verified event in the CloudEvents JSON format, without its signature: JSON data byte for byte
// as it was signed, but for white space around it, which encoding/json would not keep. It shares the data's
// memory with Event.
func (r *Opened) JSON() []byte { return r.visible().Append(nil) }

// String says which event it is and who sealed it. The data, which may have been encrypted, is in no form of
// printing: not in that of any format verb, nor of a log, of a pointer or of a value.
func (r Opened) String() string {
	return fmt.Sprintf("Opened(event %q of %q, sealed by %q)", r.content.ID, r.content.Source, r.Producer)
}

// GoString is String.
func (r Opened) GoString() string { return r.String() }

// Format is String, whatever the verb.
func (r Opened) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is String.
func (r Opened) LogValue() slog.Value { return slog.StringValue(r.String()) }

// ContentDigest identifies what the event says, for telling a duplicate from a reused ID: SHA-256 over type,
// subject, dataschema, datacontenttype, data and the signed extensions but recordedtime, originalrecordedtime
// and expirytime. An honest producer that publishes an event again re-stamps those, and may re-stamp time. It
// leaves ciphertext out, because the data is encrypted anew each time. So the digest is the same before and
// after Decrypt.
func (r *Opened) ContentDigest() [32]byte {
	signed, data := &r.content, r.data
	if r.secret != nil {
		signed, data = &r.secret.signed, r.secret.withoutSecrets()
	}
	b := make([]byte, 0, 512)
	for _, s := range [...]string{signed.Type, signed.Subject, signed.DataSchema, signed.DataContentType} {
		b = appendPrefixed(b, s)
	}
	b = append(b, data[:]...)
	exts := slices.SortedFunc(slices.Values(signed.Extensions), func(x,
		y wire.Attribute) int {
		return strings.Compare(x.Name, y.Name)
	})
	for _, a := range exts {
		switch a.Name {
		case attrRecordedTime, attrOriginalTime, attrExpiryTime:
			continue
		}
		if r.secret != nil && a.Name == attrRecipients {
			continue
		}
		b = appendPrefixed(appendPrefixed(b, a.Name), a.Value)
		if !r.Foreign { // who signs no types leaves them to the consumer's configuration
			b = append(b, byte(a.Type))
		}
	}
	return sha256.Sum256(b)
}

// appendPrefixed appends s behind its length, so that no two lists of strings give the same bytes.
func appendPrefixed(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}
