package envelope

import (
	"context"
	"crypto/sha256"
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

// SealOptions adjust Seal. nil is the zero SealOptions.
type SealOptions struct {
	// Audience is the names of those who may open the event, one space between them; "" = the event's own
	// attribute, or anyone if it has none.
	Audience string
	// Expires is the event's life from the moment of sealing, in whole seconds; 0 = the event's own
	// expirytime, or none.
	Expires time.Duration
	// Exact sends the data byte for byte, as data_base64, which is a third larger. Data that is not JSON is
	// always sent so.
	Exact bool
	// CoSigners make further signatures, by keys of the same producer; nil = one signature.
	CoSigners []keys.Signer
	// ExtensionTypes has the type "Binary" for each extension that may be one; consumers declare them, too.
	ExtensionTypes map[string]string
	// Encrypt has the recipients of the data; nil = it is not encrypted.
	Encrypt *Encrypter
	// EncryptFields are JSON Pointers (RFC 6901) of the members of JSON data to encrypt; nil = all of the
	// data. Each member must be there, and none may be within another.
	EncryptFields []string
	// Now is the clock; nil = time.Now.
	Now func() time.Time

	// KeepRecordedTime is for events that another system recorded first. Their recordedtime is kept as
	// originalrecordedtime, in UTC and whole seconds, and freshness is judged by the time of sealing. An
	// originalrecordedtime that is there already stays, since it is that of the first recorder.
	// false: an event that has a recordedtime cannot be sealed.
	KeepRecordedTime bool
}

// ErrTooLarge is in the error of an event that is larger than consumers take. A Bus has it in the error of an
// event that is larger than it takes.
var ErrTooLarge = errors.New("envelope: the event is too large")

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

// tooLarge is cannotSeal for an event that is too large.
func tooLarge(member, format string, args ...any) *SealError {
	e := cannotSeal(member, format, args...)
	e.Err = ErrTooLarge
	return e
}

// cannotSeal is the error of that member, "" for none, in which %w is the underlying error.
func cannotSeal(member, format string, args ...any) *SealError {
	problem := fmt.Errorf(format, args...)
	return &SealError{Member: member, Problem: problem.Error(), Err: errors.Unwrap(problem)}
}

// Sealed is a sealed event, ready for the wire. It is immutable.
type Sealed struct {
	ev     *wire.Event
	wire   []byte
	keyIDs []string
}

// JSON is the sealed event in the CloudEvents JSON format. The bytes are not to be changed.
func (s *Sealed) JSON() []byte { return s.wire }

// KeyIDs are the keys that signed, in the order of the signatures: for a *session.Session, the session key.
func (s *Sealed) KeyIDs() []string { return slices.Clone(s.keyIDs) }

// Seal signs ev in the name of the signer's producer. Every attribute that is present is signed, except
// traceparent, tracestate and partitionkey, which hops may change. JSON data is put into canonical form
// first, so that the signature survives when a hop re-formats the event. On the wire, the characters that SQS
// takes in no message (U+FFFE, U+FFFF) are escaped. ev is not changed.
//
// Encrypted data (SealOptions.Encrypt) is encrypted first and then signed, and bound to id, source and type
// of the event and to its producer. JSON data comes back in its canonical form, data sealed with Exact byte
// for byte.
//
// For a *session.Session, its current session key signs, and the event carries the statement that vouches for
// the session key.
//
// The error is a *SealError if the event is at fault. Otherwise it is that of the signer, or of the service
// that makes content keys.
func Seal(ctx context.Context, ev event.Event, signer keys.Signer, opts *SealOptions) (*Sealed, error) {
	if opts == nil {
		opts = &SealOptions{}
	}
	if signer == nil {
		return nil, cannotSeal("", "no signer")
	}
	err := errors.Join(nilcheck.Typed("the signer", signer), nilcheck.Each("CoSigners", opts.CoSigners))
	if err != nil {
		return nil, cannotSeal("", "%w", err)
	}
	in, err := wire.FromSDK(&ev)
	if err != nil {
		return nil, sealError(err)
	}
	if err := keys.CheckSource(in.Source); err != nil {
		return nil, cannotSeal("source", "%w", err)
	}
	s := sealing{ev: in, opts: opts, now: clock(opts.Now)}
	if err := s.stamp(); err != nil {
		return nil, err
	}
	if err := s.normalise(); err != nil {
		return nil, err
	}
	if err := s.canonicalise(); err != nil {
		return nil, err
	}
	producer := signer.Producer()
	if err := keys.CheckProducer(producer); err != nil {
		return nil, cannotSeal("", "no trust bundle could name the signer's producer: %w", err)
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
		if e.TooLarge {
			err = errors.Join(ErrTooLarge, err)
		}
		return &SealError{Member: e.Member, Problem: e.Msg, Err: err}
	}
	return cannotSeal("", "%w", err)
}

// sealing is one event on its way to being sealed.
type sealing struct {
	ev     *wire.Event
	opts   *SealOptions
	now    time.Time
	enc    wire.Enc
	keyIDs []string
}

// stamp sets the attributes that are ours: recordedtime always, audience and expirytime when asked.
func (s *sealing) stamp() error {
	for _, name := range [...]string{wire.AttrMaterial, wire.AttrRecipients} {
		if hasExtension(s.ev, name) || name == wire.AttrMaterial && s.ev.Material != "" {
			return cannotSeal(name, "is set by sealing, so the event may be sealed already: remove it")
		}
	}
	if err := s.keepRecordedTime(); err != nil {
		return err
	}
	s.set(wire.AttrRecordedTime, wire.Timestamp, s.now.UTC().Format(time.RFC3339))
	if s.opts.Audience != "" {
		if err := s.setOnce(wire.AttrAudience, wire.String, s.opts.Audience); err != nil {
			return err
		}
	}
	if s.opts.Expires != 0 {
		if s.opts.Expires < time.Second {
			return cannotSeal(wire.AttrExpiryTime, "the life of an event is at least a second")
		}
		return s.setOnce(wire.AttrExpiryTime, wire.Timestamp,
			s.now.UTC().Add(s.opts.Expires).Format(time.RFC3339))
	}
	return nil
}

// keepRecordedTime makes room for the time of sealing, and keeps what stood there.
func (s *sealing) keepRecordedTime() error {
	i := slices.IndexFunc(s.ev.Extensions,
		func(a wire.Attribute) bool { return a.Name == wire.AttrRecordedTime })
	if i < 0 {
		return nil
	}
	if !s.opts.KeepRecordedTime {
		return cannotSeal(wire.AttrRecordedTime, "is set by sealing: remove it, or keep it as %s "+
			"(KeepRecordedTime; of the command line, drop --keep-recordedtime=false)", wire.AttrOriginalTime)
	}
	was, err := wire.ParseTime(s.ev.Extensions[i].Value)
	if err != nil {
		return cannotSeal(wire.AttrRecordedTime, "cannot be kept as %s: %w", wire.AttrOriginalTime, err)
	}
	s.ev.Extensions = slices.Delete(s.ev.Extensions, i, i+1)
	if !hasExtension(s.ev, wire.AttrOriginalTime) {
		s.set(wire.AttrOriginalTime, wire.Timestamp, was.Format(time.RFC3339))
	}
	return nil
}

func (s *sealing) set(name string, t wire.Type, value string) {
	s.ev.Extensions = append(s.ev.Extensions, wire.Attribute{Name: name, Type: t, Value: value})
}

// setOnce is set for an attribute that the application may have set itself, to the same value.
func (s *sealing) setOnce(name string, t wire.Type, value string) error {
	for _, a := range s.ev.Extensions {
		if a.Name == name && a.Value != "" && a.Value != value {
			return cannotSeal(name, "is set on the event and, differently, in the options")
		}
	}
	s.ev.Extensions = slices.DeleteFunc(s.ev.Extensions,
		func(a wire.Attribute) bool { return a.Name == name })
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
		return cannotSeal("", "more than %d extension attributes", wire.MaxExtensions)
	}
	for i, a := range s.ev.Extensions {
		typed, err := asDocumented(a)
		if err != nil {
			return cannotSeal(a.Name, "%w", err)
		}
		if typed.Type == wire.Binary && s.opts.ExtensionTypes[a.Name] != "Binary" {
			return cannotSeal(a.Name,
				"a Binary extension must be declared in ExtensionTypes, here and at the consumer")
		}
		if a.Name == wire.AttrExpiryTime && !s.outlives(typed.Value) {
			return cannotSeal(a.Name, "lies in the past: no consumer could open the event")
		}
		if a.Name == wire.AttrAudience && !isAudience(typed.Value) {
			return cannotSeal(a.Name, "must be printable names with one space between them, of 8 KiB at most")
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
	isHidden := func(r rune) bool { return !unicode.IsPrint(r) }
	return len(text) <= wire.MaxAttribute && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, isHidden) &&
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
	if err := s.ev.Document.Err; err != nil {
		e := cannotSeal("data", "%w", err)
		c, ok := errors.AsType[*jsontext.Error](err)
		if ok && s.opts.Encrypt != nil { // the names of its members are secret, too
			e.Problem = fmt.Sprintf("%s, at byte %d", c.Msg, c.Offset)
		}
		if ok && c.Fault == jsontext.Number {
			e.Problem += "; or seal with Exact"
		}
		return e
	}
	s.ev.Data, s.ev.Canonical = s.ev.Document.Canonical, true
	return nil
}

// sign writes the payload and the envelope around it into dssematerial.
func (s *sealing) sign(ctx context.Context, signer keys.Signer, producer string) error {
	signers, delegations, err := s.signers(ctx, signer, producer)
	if err != nil {
		return err
	}
	body := s.appendPayload(make([]byte, 0, 512), producer, delegations)
	pae := dsse.PAE(make([]byte, 0, len(body)+80), wire.PayloadType, body)
	env := dsse.Envelope{PayloadType: wire.PayloadType, Payload: body}
	for _, signer := range signers {
		sig, err := signer.Sign(ctx, pae)
		if err != nil {
			return fmt.Errorf("envelope: signing with key %s: %w", signer.Verifier().KeyID(), err)
		}
		if alg := signer.Verifier().Algorithm(); len(sig) != alg.SignatureSize() {
			return fmt.Errorf("envelope: key %s made a signature of %d bytes, %s has %d (DER? r||s is wanted)",
				signer.Verifier().KeyID(), len(sig), alg, alg.SignatureSize())
		}
		entry := dsse.Signature{KeyID: signer.Verifier().KeyID(), Sig: sig}
		if session, ok := signer.(*session.Key); ok {
			entry.Delegation = session.Statement()
		}
		env.Signatures = append(env.Signatures, entry)
		s.keyIDs = append(s.keyIDs, entry.KeyID)
	}
	doc := env.Append(make([]byte, 0, 1<<10)) // most are shorter, and then take one allocation in all
	s.ev.Material = string(base64.StdEncoding.AppendEncode(make([]byte, 0, 3<<9), doc))
	return nil
}

// appendPayload appends the payload, with its digests. Everything in s.ev has its final form.
func (s *sealing) appendPayload(dst []byte, producer string, delegations []digest) []byte {
	data := wire.Absent
	if s.ev.Form != wire.NoData {
		data = sha256.Sum256(s.ev.Data)
	}
	profile := wire.Profile{Producer: producer, Time: s.ev.Time, Types: make([]wire.Type, 0, 8), Enc: s.enc,
		Delegations: delegations}
	p := wire.Payload{Core: wire.CoreDigest(s.ev, &data), HasExt: true, Names: make([]string, 0, 8),
		Profile: &profile}
	var room [8 * sha256.Size]byte // the digests of most events fit, and most values fit into scratch
	var scratch [256]byte
	digests := room[:0]
	for _, a := range s.ev.Extensions {
		if changedByHops(a.Name) {
			continue
		}
		hashed, _ := wire.AppendHashed(scratch[:0], a.Type, a.Value) // normalise read it already
		digests = wire.AppendSum(digests, hashed)
		p.Names = append(p.Names, a.Name)
		profile.Types = append(profile.Types, a.Type)
	}
	p.Ext = sha256.Sum256(digests)
	return p.Append(dst)
}

// finish writes the wire and holds it against the limits that every consumer has.
func (s *sealing) finish() (*Sealed, error) {
	if s.ev.Form == wire.JSONData && !s.ev.Base64 {
		escaped := jsontext.EscapeForXML(s.ev.Data) // the digests are over the canonical form, which has them raw
		s.ev.Data, s.ev.Canonical = escaped, s.ev.Canonical && len(escaped) == len(s.ev.Data)
	}
	s.ev.Document = jsontext.Document{} // it would keep the caller's memory
	out := s.ev.Append(nil)
	switch {
	case len(out) > wire.MaxEvent:
		return nil, tooLarge("",
			"the sealed event has %d bytes, the limit is %d: send large data by reference (dataref)",
			len(out), wire.MaxEvent)
	case len(s.ev.Material) > wire.MaxMaterial:
		return nil, tooLarge(wire.AttrMaterial, "too many or too large signatures")
	}
	if s.ev.Form == wire.JSONData && !s.ev.Base64 {
		s.ev.Data = out[len(out)-1-len(s.ev.Data) : len(out)-1] // no longer the caller's memory
	}
	return &Sealed{ev: s.ev, wire: out, keyIDs: s.keyIDs}, nil
}
