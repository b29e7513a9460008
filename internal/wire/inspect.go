package wire

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/jwe"
)

// The ways in which an event lies in a document, as `sealbus inspect` names them.
const (
	LayoutPlain      = "cloudevent"             // the document is the CloudEvent
	LayoutStructured = "eventbridge structured" // an EventBridge event whose detail is the CloudEvent
	LayoutEmbedded   = "eventbridge embedded"   // an EventBridge event whose detail is data and attributes
)

// Inspected is what a document claims to be. Nothing is verified, and an attacker may have written all of it:
// a caller that prints it escapes it.
type Inspected struct {
	Layout  string
	Outer   *Delivery // the EventBridge event around it; nil for LayoutPlain
	Event   *Event
	Payload *Payload // as far as it can be read; nil: unsigned, or unreadable

	Signatures []InspectedSignature // none: unsigned, or unreadable
	Encryption *InspectedEncryption // nil: the payload names nothing that is encrypted
	Core       Fit                  // the digest of core attributes and data
	Extensions Fit                  // the digest of the signed extensions
	Problems   []string             // what a consumer would stumble over, in the order in which it would

	// Ignored are the names of members that are no part of the event: they were added on its way, or look so.
	Ignored []string
}

// Fit says whether the event has the digest that the payload states. It proves nothing, since an attacker who
// changes an event can compute a payload that fits. Only a signature tells.
type Fit string

// The values of Fit.
const (
	FitUnknown   Fit = "unknown"             // not compared: types unknown, or nothing to compare
	FitExact     Fit = "fits"                // as received
	FitCanonical Fit = "fits when canonical" // the data was re-formatted on its way, its value is the same
	FitNone      Fit = "does not fit"
)

// InspectedSignature is one signature, as it stands.
type InspectedSignature struct {
	KeyID      string
	Bytes      int // 0: not strict base64
	Delegation *InspectedDelegation
}

// InspectedDelegation is a statement by which a long-term key claims to vouch for the key that signed.
type InspectedDelegation struct {
	By                  string // the key ID of the long-term key
	Session             string // the thumbprint of the session key
	NotBefore, NotAfter string
	Sources, Types      []string
	Problem             string // why the rest is empty
}

// InspectedEncryption is what the event says of its encrypted data. No key was touched.
type InspectedEncryption struct {
	Fields      []string // JSON Pointers of the members that are encrypted; nil = all of the data is
	ContentType string   // of what is encrypted; "" = not said
	Committed   bool     // it says which content key it is under; always, of single members
	Recipients  []jwe.WrappedKey
	Problem     string // why the rest is empty
}

// Inspect reads one CloudEvent or EventBridge event without verifying anything, for `sealbus inspect`: an
// operator must be able to look at a rejected event before any key is trusted. It fails only if there is no
// event to show. The names in ignore are those of envelope.OpenOptions.IgnoreMembers.
func Inspect(doc []byte, ignore ...string) (*Inspected, error) {
	s, err := readDocument(doc, ignore)
	if err != nil {
		return nil, err
	}
	s.Ignored = s.Event.Ignored
	if s.Event.Material == "" {
		s.problem("no attribute dssematerial: the event is not signed")
		return s, nil
	}
	if err := s.readMaterial(); err != nil {
		s.problem("%v", err)
		return s, nil
	}
	for _, name := range s.Payload.Names {
		if twin := s.Event.CaseTwin(name); twin != "" {
			s.problem("%.80q is the signed attribute %s but for the case of its letters", twin, name)
		}
	}
	s.Core = s.fitCore()
	if s.Core == FitNone && s.Outer != nil && len(s.Outer.Ignored) > 0 {
		s.fitWithoutIgnored()
	}
	s.Extensions = s.fitExtensions()
	if s.Core == FitNone {
		s.problem("the data or a core attribute is not what the payload has the digest of")
	}
	if s.Extensions == FitNone {
		s.problem("a signed extension attribute is not what the payload has the digest of")
	}
	s.readEncryption()
	return s, nil
}

func (s *Inspected) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// readDocument finds the CloudEvent in the document.
func readDocument(doc []byte, ignore []string) (*Inspected, error) {
	if len(doc) > MaxDelivery {
		return nil, fmt.Errorf("more than %d bytes", MaxDelivery)
	}
	if !isDelivery(doc) {
		e, err := ParseSealed(doc) // which says what is wrong with it, if anything is
		return &Inspected{Layout: LayoutPlain, Event: e}, err
	}
	d, err := ParseDelivery(doc, ignore)
	if err != nil && !errors.Is(err, ErrNotDelivery) {
		return nil, err
	}
	s := &Inspected{Layout: LayoutStructured, Outer: d}
	if s.Event, err = d.ParseEvent(); err != nil {
		return nil, fmt.Errorf("detail: %w", err)
	}
	switch {
	case d.Embedded:
		s.Layout = LayoutEmbedded
	case !d.Structured:
		s.Event.Form, s.Event.Data = JSONData, d.Detail
	}
	if d.Source != s.Event.Source {
		s.problem("the bus says source %q, the event says %q", d.Source, s.Event.Source)
	}
	if d.DetailType != s.Event.Type {
		s.problem("the bus says detail-type %q, the event says type %q", d.DetailType, s.Event.Type)
	}
	return s, nil
}

// isDelivery tells an EventBridge event from a CloudEvent.
func isDelivery(doc []byte) (found bool) {
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); r.ReadSpan() {
		switch string(obj.Name) {
		case "specversion":
			return false
		case "detail":
			found = true
		}
	}
	return found
}

// readMaterial reads the DSSE envelope, its signatures and its payload.
func (s *Inspected) readMaterial() error {
	doc, err := jsontext.Base64.AppendDecode(nil, []byte(s.Event.Material))
	if err != nil {
		return errors.New("dssematerial is not strict base64")
	}
	env, err := dsse.Parse(doc)
	if err != nil {
		return fmt.Errorf("dssematerial: %w", err)
	}
	for i := range env.Signatures {
		sig := InspectedSignature{KeyID: env.Signatures[i].KeyID, Bytes: len(env.Signatures[i].Sig)}
		if statement := env.Signatures[i].Delegation; statement != nil {
			sig.Delegation = inspectDelegation(statement)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	if env.PayloadType != PayloadType {
		return fmt.Errorf("payload type %q is not that of the CloudEvents extension", env.PayloadType)
	}
	if s.Payload, err = ParsePayload(env.Payload, s.Event); err != nil {
		return fmt.Errorf("signed payload: %w", err)
	}
	return nil
}

func inspectDelegation(raw []byte) *InspectedDelegation {
	env, err := dsse.Parse(raw)
	if err != nil {
		return &InspectedDelegation{Problem: err.Error()}
	}
	d := &InspectedDelegation{By: env.Signatures[0].KeyID}
	statement, err := ReadStatement(env.Payload)
	if err != nil {
		d.Problem = fmt.Sprintf("statement: %v", err)
	}
	if statement.Session != nil {
		x := base64.RawURLEncoding.EncodeToString(statement.Session)
		thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`)) // RFC 7638
		d.Session = base64.RawURLEncoding.EncodeToString(thumbprint[:])
	}
	if !statement.NotBefore.IsZero() {
		d.NotBefore = statement.NotBefore.Format(time.RFC3339)
	}
	if !statement.NotAfter.IsZero() {
		d.NotAfter = statement.NotAfter.Format(time.RFC3339)
	}
	d.Sources, d.Types = statement.Sources, statement.Types
	return d
}

// fitCore compares the digest of core attributes and data.
func (s *Inspected) fitCore() Fit {
	e := s.Event
	if at, err := ParseTime(e.Time); err == nil && s.Payload.Profile != nil &&
		at.Format(time.RFC3339Nano) != s.Payload.Profile.Time {
		return FitNone
	}
	data := sha256.Sum256(e.Data)
	if CoreDigest(e, &data) == s.Payload.Core {
		return FitExact
	}
	if e.Form != JSONData {
		return FitNone
	}
	data = sha256.Sum256(e.Document.Canonical)
	if e.Document.Err == nil && CoreDigest(e, &data) == s.Payload.Core {
		return FitCanonical
	}
	return FitNone
}

// fitWithoutIgnored is fitCore without the members that a hop may have added to the data.
func (s *Inspected) fitWithoutIgnored() {
	without, whole := *s.Event, s.Event
	if without.SetJSON(s.Outer.Data(false)) != nil {
		return
	}
	s.Event = &without
	if s.Core = s.fitCore(); s.Core == FitNone {
		s.Event = whole
		return
	}
	s.Ignored = append(s.Ignored, s.Outer.Ignored...)
}

// fitExtensions compares the digest of the signed extensions, whose types only a payload of ours states.
func (s *Inspected) fitExtensions() Fit {
	p := s.Payload
	if !p.HasExt || p.Profile == nil {
		return FitUnknown
	}
	var digests []byte
	for i, name := range p.Names {
		text := s.value(name)
		if text == "" {
			digests = AppendSum(digests, nil)
			continue
		}
		hashed, err := AppendHashed(nil, p.Profile.Types[i], text)
		if err != nil {
			return FitNone
		}
		digests = AppendSum(digests, hashed)
	}
	if sha256.Sum256(digests) == p.Ext {
		return FitExact
	}
	return FitNone
}

func (s *Inspected) value(name string) string {
	for _, a := range s.Event.Extensions {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// readEncryption reads what the payload says is encrypted.
func (s *Inspected) readEncryption() {
	p := s.Payload.Profile
	if p == nil || !p.Enc.Whole && len(p.Enc.Fields) == 0 {
		return
	}
	e := &InspectedEncryption{Fields: p.Enc.Fields}
	s.Encryption = e
	var err error
	if e.Fields == nil {
		var m *jwe.Message
		if m, err = jwe.Parse(s.Event.Data); err == nil {
			e.ContentType, e.Committed, e.Recipients = m.ContentType, m.Commitment != nil, m.Keys
		} else {
			err = fmt.Errorf("the encrypted data: %w", err)
		}
	} else {
		e.Committed = true
		if e.Recipients, err = jwe.ParseRecipients([]byte(s.value(AttrRecipients))); err != nil {
			err = fmt.Errorf("%s: %w", AttrRecipients, err)
		}
	}
	if err != nil {
		e.Problem = err.Error()
		s.problem("%v", err)
	}
}

// SignedNames are the attributes that the payload claims to cover and that are there: core, then extensions.
func (s *Inspected) SignedNames() []string {
	names := s.Event.CoreNames(nil)
	for _, a := range s.Event.Extensions {
		if s.covers(a.Name) {
			names = append(names, a.Name)
		}
	}
	return names
}

// UnsignedNames are the extension attributes that are there and not covered.
func (s *Inspected) UnsignedNames() []string {
	names := []string{}
	for _, a := range s.Event.Extensions {
		if !s.covers(a.Name) {
			names = append(names, a.Name)
		}
	}
	return names
}

func (s *Inspected) covers(extension string) bool {
	return s.Payload != nil && slices.Contains(s.Payload.Names, extension)
}
