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
	"time"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/internal/wire"
)

// Opened is a verified event. Printed or logged, it says which event it is and shows none of its data.
// Marshalled as JSON, it has the data, decrypted.
type Opened struct {
	Event            event.Event       // what was signed, and only that
	Producer         string            // who sealed it
	KeyIDs           []string          // the producer's keys whose signatures counted, sorted
	TaintedKeyIDs    []string          // those of KeyIDs that the trust bundle marks as tainted; nil = none
	SignedAt         time.Time         // the signed moment of sealing; zero = none was signed
	ExpiresAt        time.Time         // the signed expirytime; zero = none
	SignedAttributes []string          // names of the attributes that were verified: core, then extensions
	Foreign          bool              // sealed by another implementation of the standard
	Encryption       *Encryption       // how the data was encrypted; nil = it was not
	Unverified       map[string]string // Passthrough only: the unsigned extension attributes; believe none
	// BundleExpires is when the trust bundle that judged it may no longer be used; zero = never.
	BundleExpires time.Time

	// Ignored are the names of members that a hop added, such as a tracer, and that are no part of Event.
	// There are at most 8 of them, cut after 64 bytes, and all but printable ASCII is escaped as Go does. An
	// attacker can add some, since they are not signed: show them, and never act on them. nil = none.
	Ignored []string

	content wire.Event // the verified event, all signed extensions included
	data    digest     // SHA-256 of its data as signed
	secret  *secret    // what was encrypted; nil = nothing
	opened  bool       // it was decrypted
	mode    Mode
}

// result builds the event anew from what was verified: nothing else can get into it. Encrypted data is parsed
// and held against the event, and is still encrypted.
func (o *opening) result() (*Opened, *Error) {
	r := &Opened{
		Producer: o.producer, SignedAt: o.sealed, ExpiresAt: o.expiry, BundleExpires: o.bundleExpires,
		Foreign: o.payload.Profile == nil, data: o.dataSum, mode: o.policy.Mode,
		content: wire.Event{
			SpecVersion: o.in.SpecVersion, ID: o.in.ID, Source: o.in.Source, Type: o.in.Type,
			DataContentType: o.in.DataContentType, DataSchema: o.in.DataSchema, Subject: o.in.Subject,
			Time:       o.time,
			Extensions: o.exts, Form: o.in.Form, Data: o.ownData(), Base64: o.in.Form == wire.BinaryData,
		},
	}
	var err error
	if r.Event, err = r.content.ToSDK(); err != nil {
		return nil, parseError(err) // in every mode: a mode changes only what is returned
	}
	if r.mode == CoreOnly {
		core := r.content
		core.Extensions = nil
		if r.Event, err = core.ToSDK(); err != nil {
			return nil, parseError(err)
		}
	}
	ids := make([]string, 0, len(o.counted)+9+len(o.exts)) // one piece of memory for both lists
	for i := range o.counted {
		ids = append(ids, o.counted[i].key.KeyID())
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for _, id := range ids {
		if o.bundle.Key(id).Tainted {
			r.TaintedKeyIDs = append(r.TaintedKeyIDs, id)
		}
	}
	names := r.content.CoreNames(ids)
	for i := range o.exts {
		names = append(names, o.exts[i].Name)
	}
	r.KeyIDs, r.SignedAttributes = ids[:len(ids):len(ids)], names[len(ids):]
	ignored := o.in.Ignored
	if o.leftOut {
		ignored = append(ignored, o.detail.Ignored...)
	}
	r.Ignored = wire.ReportedMembers(ignored)
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

// JSON is the verified event in the CloudEvents JSON format, without its signature: JSON data byte for byte
// as it was signed, but for white space around it, which encoding/json would not keep. It shares the data's
// memory with Event.
func (r *Opened) JSON() []byte {
	shown := r.content
	if r.mode == CoreOnly {
		shown.Extensions = nil
	}
	return shown.Append(nil)
}

// Format says which event it is and who sealed it, whatever the verb. It prints none of the data, which may
// have been encrypted.
func (r Opened) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.text()) }

// LogValue says which event it is and who sealed it.
func (r Opened) LogValue() slog.Value { return slog.StringValue(r.text()) }

func (r *Opened) text() string {
	return fmt.Sprintf("Opened(event %q of %q, sealed by %q)", r.content.ID, r.content.Source, r.Producer)
}

// ContentDigest identifies what the event says. It tells a duplicate from a reused ID. It is a SHA-256:
//
//   - over type, subject, dataschema, datacontenttype, the data and the signed extensions;
//   - without time, recordedtime, originalrecordedtime and expirytime, because an honest producer that
//     publishes an event again stamps it anew;
//   - without webhookverifiedat, webhookkeyid, webhooksignature and webhookid, because a provider that sends
//     a delivery again signs it anew, and webhook/ingest publishes it again;
//   - without ciphertext, because the data is encrypted anew each time. So the digest is the same before and
//     after Decrypt.
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
	exts := signed.Extensions
	byName := func(x, y wire.Attribute) int { return strings.Compare(x.Name, y.Name) }
	if !slices.IsSortedFunc(exts, byName) { // Seal signs them in order, other implementations may not
		exts = slices.SortedFunc(slices.Values(exts), byName)
	}
	for _, a := range exts {
		switch a.Name {
		case wire.AttrRecordedTime, wire.AttrOriginalTime, wire.AttrExpiryTime,
			wire.AttrWebhookVerifiedAt, wire.AttrWebhookKeyID, wire.AttrWebhookSignature, wire.AttrWebhookID:
			continue
		}
		if r.secret != nil && a.Name == wire.AttrRecipients {
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
