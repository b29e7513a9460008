package envelope

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/session"
)

// SealOptions adjust Seal.
type SealOptions struct {
	Audience       string                   // space-separated names of who may open the event; "" = the event's own attribute, or anybody
	Expires        time.Duration            // life from the moment of sealing, in whole seconds; 0 = the event's own expirytime, or none
	Exact          bool                     // true: the data goes byte for byte, as data_base64 (+33 %); non-JSON data always does
	CoSigners      []keys.Signer            // further signatures, by keys of the same producer; nil = one signature
	ExtensionTypes map[string]AttributeType // names of extensions that may be Binary; consumers declare them too
	Encrypt        *Encrypter               // whom the data is encrypted to; nil = it is not encrypted
	EncryptFields  []string                 // JSON Pointers of the members of JSON data to encrypt; nil = all of the data. Each must be there, and none within another
	Now            func() time.Time         // nil = time.Now

	// KeepRecordedTime is for events that something else recorded first: their recordedtime is kept as
	// originalrecordedtime, in UTC and whole seconds, and freshness is judged by the time of sealing. If an
	// originalrecordedtime is there already, it stays, as that of the first recorder.
	// false: an event that has a recordedtime cannot be sealed.
	KeepRecordedTime bool
}

// SealError says why an event cannot be sealed. The event is the caller's own: nothing was sent.
type SealError struct {
	Member  string // the attribute at fault, or ""
	Option  string // the field of SealOptions at fault, or ""
	Problem string // what is wrong and what to do
	Err     error
}

// Error names the member, the option and the problem.
func (e *SealError) Error() string {
	text := "envelope: cannot seal: "
	for _, name := range []string{e.Member, e.Option} {
		if name != "" {
			text += name + ": "
		}
	}
	return text + e.Problem
}

// Unwrap is the underlying error.
func (e *SealError) Unwrap() error { return e.Err }

// Sealed is a sealed event, ready for the wire. It is immutable.
type Sealed struct {
	ev     wire.Event
	wire   []byte
	keyIDs []string
	at     time.Time
}

// JSON is the sealed event in the CloudEvents JSON format. The bytes are not to be changed.
func (s *Sealed) JSON() []byte { return s.wire }

// ID is the event's id.
func (s *Sealed) ID() string { return s.ev.ID }

// Source is the event's source.
func (s *Sealed) Source() string { return s.ev.Source }

// Type is the event's type.
func (s *Sealed) Type() string { return s.ev.Type }

// KeyIDs are the keys that signed, in the order of the signatures. Of a session.Delegator it is the session key.
func (s *Sealed) KeyIDs() []string { return slices.Clone(s.keyIDs) }

// SealedAt is the signed recordedtime, in whole seconds.
func (s *Sealed) SealedAt() time.Time { return s.at }

// Seal signs ev in the name of the signer's producer. Every attribute that is present is signed, except
// traceparent, tracestate and partitionkey, which hops may change. JSON data is put into canonical form
// first, so that the signature survives whatever re-formats the event on its way; on the wire, the characters
// that SQS takes in no message (U+FFFE, U+FFFF) are escaped. ev is not changed.
//
// Encrypted data (SealOptions.Encrypt) is encrypted first and then signed, and bound to id, source and type
// of the event and to its producer. JSON data comes back in its canonical form, data sealed with Exact byte
// for byte.
//
// In place of a session.Delegator, such as a *session.Session, its session key of the moment signs, and the
// statement that vouches for it goes along.
//
// The error is a *SealError if the event is at fault, and otherwise that of the signer, or of who gives the
// keys to encrypt with.
func Seal(ctx context.Context, ev event.Event, signer keys.Signer, opts *SealOptions) (*Sealed, error) {
	if opts == nil {
		opts = &SealOptions{}
	}
	if signer == nil {
		return nil, &SealError{Problem: "no signer"}
	}
	err := errors.Join(nilcheck.Typed("the signer", signer), nilcheck.Each("CoSigners", opts.CoSigners))
	if err != nil {
		return nil, &SealError{Problem: err.Error(), Err: err}
	}
	in, err := wire.FromSDK(&ev)
	if err != nil {
		return nil, sealError(err)
	}
	if err := keys.CheckSource(in.Source); err != nil {
		return nil, &SealError{Member: "source", Problem: err.Error(), Err: err}
	}
	s := sealing{ev: in, opts: opts, now: clock(opts.Now)}
	for _, step := range [...]func(*sealing) error{
		(*sealing).stamp,
		(*sealing).normalise,
		(*sealing).canonicalise,
	} {
		if err := step(&s); err != nil {
			return nil, err
		}
	}
	producer := signer.Producer()
	if err := keys.CheckProducer(producer); err != nil {
		return nil, &SealError{Problem: "no trust bundle could name the signer's producer: " + err.Error(), Err: err}
	}
	if err := s.encrypt(ctx, producer); err != nil {
		return nil, err
	}
	if err := s.sign(ctx, signer, producer); err != nil {
		return nil, err
	}
	return s.finish()
}

func clock(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

func sealError(err error) error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return &SealError{Member: e.Member, Problem: e.Msg, Err: err}
	}
	return &SealError{Problem: err.Error(), Err: err}
}

// sealing is one event on its way to being sealed.
type sealing struct {
	ev     *wire.Event
	opts   *SealOptions
	now    time.Time
	hash   wire.Hasher
	enc    wire.Enc
	keyIDs []string
}

// stamp sets the attributes that are ours: recordedtime always, audience and expirytime when asked.
func (s *sealing) stamp() error {
	for _, name := range [...]string{attrMaterial, attrRecipients} {
		if hasExtension(s.ev, name) || name == attrMaterial && s.ev.Material != "" {
			return &SealError{Member: name, Problem: "is set by sealing: remove it (is the event sealed already?)"}
		}
	}
	if err := s.keepRecordedTime(); err != nil {
		return err
	}
	s.set(attrRecordedTime, Timestamp, wire.FormatSeconds(s.now))
	if s.opts.Audience != "" {
		if err := s.setOnce(attrAudience, String, s.opts.Audience); err != nil {
			return err
		}
	}
	if s.opts.Expires != 0 {
		if s.opts.Expires < time.Second {
			return &SealError{Member: attrExpiryTime, Problem: "the life of an event is at least a second"}
		}
		return s.setOnce(attrExpiryTime, Timestamp, wire.FormatSeconds(s.now.Add(s.opts.Expires)))
	}
	return nil
}

// keepRecordedTime makes room for the time of sealing, and keeps what stood there.
func (s *sealing) keepRecordedTime() error {
	i := slices.IndexFunc(s.ev.Extensions, func(a wire.Attribute) bool { return a.Name == attrRecordedTime })
	if i < 0 {
		return nil
	}
	if !s.opts.KeepRecordedTime {
		return &SealError{Member: attrRecordedTime,
			Problem: "is set by sealing: remove it, or keep it as " + attrOriginalTime + " (KeepRecordedTime; of the command line, drop --keep-recordedtime=false)"}
	}
	was, err := wire.ParseTime(s.ev.Extensions[i].Value)
	if err != nil {
		return &SealError{Member: attrRecordedTime, Problem: "cannot be kept as " + attrOriginalTime + ": " + err.Error(), Err: err}
	}
	s.ev.Extensions = slices.Delete(s.ev.Extensions, i, i+1)
	if !hasExtension(s.ev, attrOriginalTime) {
		s.set(attrOriginalTime, Timestamp, wire.FormatSeconds(was))
	}
	return nil
}

func (s *sealing) set(name string, t AttributeType, value string) {
	s.ev.Extensions = append(s.ev.Extensions, wire.Attribute{Name: name, Type: wire.Type(t), Value: value})
}

// setOnce is set for an attribute that the application may have set itself, to the same value.
func (s *sealing) setOnce(name string, t AttributeType, value string) error {
	for _, a := range s.ev.Extensions {
		if a.Name == name && a.Value != "" && a.Value != value {
			return &SealError{Member: name, Problem: "is set on the event and, differently, in the options"}
		}
	}
	s.ev.Extensions = slices.DeleteFunc(s.ev.Extensions, func(a wire.Attribute) bool { return a.Name == name })
	s.set(name, t, value)
	return nil
}

// normalise brings the attributes into the one form that they are opened as: documented types, empty ones
// deleted, a data content type always, extensions in name order.
func (s *sealing) normalise() error {
	if s.ev.DataContentType == "" {
		s.ev.DataContentType = "application/json" // JSON to HTTP conversion may add it otherwise
	}
	s.ev.Extensions = slices.DeleteFunc(s.ev.Extensions, func(a wire.Attribute) bool { return a.Value == "" })
	if len(s.ev.Extensions) > wire.MaxExtensions {
		return &SealError{Problem: fmt.Sprintf("more than %d extension attributes", wire.MaxExtensions)}
	}
	for i, a := range s.ev.Extensions {
		typed, err := asDocumented(a)
		if err != nil {
			return &SealError{Member: a.Name, Problem: err.Error(), Err: err}
		}
		if typed.Type == wire.Binary && s.opts.ExtensionTypes[a.Name] != Binary {
			return &SealError{Member: a.Name, Problem: "a Binary extension must be declared in ExtensionTypes, here and at the consumer"}
		}
		if a.Name == attrExpiryTime && !s.outlives(typed.Value) {
			return &SealError{Member: a.Name, Problem: "lies in the past: nobody could open the event"}
		}
		if a.Name == attrAudience && !isAudience(typed.Value) {
			return &SealError{Member: a.Name, Problem: "must be printable names with one space between them, of 8 KiB at most"}
		}
		s.ev.Extensions[i] = typed
	}
	s.sortExtensions()
	return nil
}

func (s *sealing) sortExtensions() {
	slices.SortFunc(s.ev.Extensions, func(a, b wire.Attribute) int { return strings.Compare(a.Name, b.Name) })
}

// outlives reports whether an event with that expirytime can be opened at all.
func (s *sealing) outlives(expiry string) bool {
	at, err := wire.ParseTime(expiry)
	return err == nil && at.After(s.now)
}

// isAudience looks at what SealOptions may have set, past the checks of the event's attributes.
func isAudience(text string) bool {
	return len(text) <= wire.MaxAttribute && utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) &&
		!strings.HasPrefix(text, " ") && !strings.HasSuffix(text, " ") && !strings.Contains(text, "  ")
}

// canonicalise settles the bytes of the data.
func (s *sealing) canonicalise() error {
	switch {
	case s.ev.Form == wire.NoData:
		return nil
	case s.opts.Exact || s.ev.Form == wire.BinaryData:
		s.ev.Base64 = true
		return nil
	}
	s.ev.Base64 = false
	if s.ev.Canonical {
		return nil
	}
	form, err := s.ev.Document.AppendCanonical(make([]byte, 0, len(s.ev.Data)))
	if err != nil {
		e := &SealError{Member: "data", Problem: err.Error(), Err: err}
		c, ok := errors.AsType[*jsontext.Error](err)
		if ok && s.opts.Encrypt != nil { // the names of its members are secret, too
			e.Problem = fmt.Sprintf("%s, at byte %d", c.Msg, c.Offset)
		}
		if ok && c.Fault == jsontext.Number {
			e.Problem += "; or seal with Exact"
		}
		return e
	}
	s.ev.Data, s.ev.Canonical = form, true
	return nil
}

// sign writes the payload and the envelope around it into dssematerial.
func (s *sealing) sign(ctx context.Context, signer keys.Signer, producer string) error {
	signers, delegations, err := s.signers(ctx, signer, producer)
	if err != nil {
		return err
	}
	body := s.payload(producer, delegations).Append(make([]byte, 0, 512))
	pae := dsse.PAE(make([]byte, 0, len(body)+80), wire.PayloadType, body)
	env := dsse.Envelope{PayloadType: wire.PayloadType, Payload: body}
	for _, signer := range signers {
		sig, err := signer.Sign(ctx, pae)
		if err != nil {
			return fmt.Errorf("envelope: signing with key %s: %w", signer.Verifier().KeyID(), err)
		}
		if alg := signer.Verifier().Algorithm(); len(sig) != alg.SignatureSize() {
			return fmt.Errorf("envelope: key %s made a signature of %d bytes, %s has %d (DER? r||s is wanted)", signer.Verifier().KeyID(), len(sig), alg, alg.SignatureSize())
		}
		entry := dsse.Signature{KeyID: signer.Verifier().KeyID(), Sig: sig}
		if session, ok := signer.(*session.Key); ok {
			entry.Delegation = session.Statement()
		}
		env.Signatures = append(env.Signatures, entry)
		s.keyIDs = append(s.keyIDs, entry.KeyID)
	}
	s.ev.Material = base64.StdEncoding.EncodeToString(env.Append(make([]byte, 0, 1<<10)))
	return nil
}

// payload computes the digests. Everything in s.ev has its final form.
func (s *sealing) payload(producer string, delegations []digest) *wire.Payload {
	data := wire.Absent
	if s.ev.Form != wire.NoData {
		data = sum256(s.ev.Data)
	}
	p := &wire.Payload{HasExt: true, Profile: &wire.Profile{Producer: producer, Time: s.ev.Time, Enc: s.enc, Delegations: delegations}}
	seconds, _, _ := appendSeconds(make([]byte, 0, 20), s.ev.Time) // the codec wrote it: it is a timestamp
	p.Core = s.hash.CoreDigest(s.ev, seconds, &data)
	s.hash.Reset()
	p.Names = make([]string, 0, len(s.ev.Extensions))
	p.Profile.Types = make([]wire.Type, 0, len(s.ev.Extensions))
	for _, a := range s.ev.Extensions {
		if changedByHops(a.Name) {
			continue
		}
		hashed, _ := wire.AppendHashed(s.hash.Scratch[:0], a.Type, a.Value) // normalise read it already
		s.hash.Bytes(hashed)
		p.Names = append(p.Names, a.Name)
		p.Profile.Types = append(p.Profile.Types, a.Type)
	}
	p.Ext = s.hash.Sum()
	return p
}

// finish writes the wire and holds it against the limits that every consumer has.
func (s *sealing) finish() (*Sealed, error) {
	if s.ev.Form == wire.JSONData && !s.ev.Base64 {
		escaped := jsontext.EscapeForXML(s.ev.Data) // the digests are over the canonical form, which has them raw
		s.ev.Data, s.ev.Canonical = escaped, s.ev.Canonical && len(escaped) == len(s.ev.Data)
	}
	s.ev.Document = jsontext.Document{} // it would keep the caller's memory
	out := s.ev.Append(make([]byte, 0, len(s.ev.Data)*4/3+len(s.ev.Material)+1<<10))
	switch {
	case len(out) > wire.MaxEvent:
		return nil, &SealError{Problem: fmt.Sprintf("the sealed event has %d bytes, the limit is %d: send large data by reference (dataref)", len(out), wire.MaxEvent)}
	case len(s.ev.Material) > wire.MaxMaterial:
		return nil, &SealError{Member: attrMaterial, Problem: "too many or too large signatures"}
	}
	if s.ev.Form == wire.JSONData && !s.ev.Base64 {
		s.ev.Data = out[len(out)-1-len(s.ev.Data) : len(out)-1] // no longer the caller's memory
	}
	return &Sealed{ev: *s.ev, wire: out, keyIDs: s.keyIDs, at: s.now.UTC().Truncate(time.Second)}, nil
}
