// Package peek reads a sealed event without verifying anything, for `sealbus inspect` and for nothing else:
// to see why an event is refused, somebody must be able to look at it before any key is trusted.
//
// Package envelope never gives unverified values out, so the reading is done here a second time, and more
// leniently: what cannot be read is noted in Problems, and the rest is still shown. What comes out may be
// anything that an attacker wrote. Whoever prints it escapes it.
package peek

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/b64"
	"github.com/sealbus/sealbus/internal/cejson"
	"github.com/sealbus/sealbus/internal/dsse"
)

// Layout is how the event lay in the document.
type Layout string

// The layouts.
const (
	Plain      Layout = "cloudevent"             // the document is the CloudEvent
	Structured Layout = "eventbridge structured" // an EventBridge event whose detail is the CloudEvent
	Embedded   Layout = "eventbridge embedded"   // an EventBridge event whose detail is the data, with the attributes in it
)

// Sealed is what a document claims to be.
type Sealed struct {
	Layout  Layout
	Outer   *Outer // what EventBridge says; nil for Plain
	Event   *cejson.Event
	Payload *Payload // nil: unsigned, or unreadable

	PayloadType string      // of the DSSE envelope
	Signatures  []Signature // none: unsigned, or unreadable
	Encryption  *Encryption // nil: the payload names nothing that is encrypted
	Core        Fit         // the digest of core attributes and data
	Extensions  Fit         // the digest of the signed extensions
	Problems    []string    // what a consumer would stumble over, in the order in which it would

	// Ignored are the names of members that are no part of the event: they were added on its way, or look so.
	Ignored []string

	ignore []string // names that hops add to a detail
	listed []string // those that are in this one, beside the data of the embedded layout
	kept   []byte   // that data without them
}

// Outer is what the EventBridge event says around its detail.
type Outer struct {
	Source, DetailType, Account, Replay string
}

// Signature is one signature, as it stands.
type Signature struct {
	KeyID      string
	Bytes      int // 0: not strict base64
	Delegation *Delegation
}

// Signed reports whether the event carries anything that looks like a signature.
func (s *Sealed) Signed() bool { return s.Event.Material != "" }

// Unverified reads one CloudEvent or EventBridge event. It fails only if there is no event to show. The names
// in ignore are those of envelope.Policy.IgnoreMembers.
func Unverified(doc []byte, ignore ...string) (*Sealed, error) {
	s, err := unwrap(doc, ignore)
	if err != nil {
		return nil, err
	}
	s.Ignored = s.Event.Ignored
	if !s.Signed() {
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
	s.fitCoreWithout()
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

func (s *Sealed) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// readMaterial reads the DSSE envelope, its signatures and its payload.
func (s *Sealed) readMaterial() error {
	doc, err := b64.AppendStd(nil, []byte(s.Event.Material))
	if err != nil {
		return errors.New("dssematerial is not strict base64")
	}
	env, err := dsse.Parse(doc)
	if err != nil {
		return fmt.Errorf("dssematerial: %w", err)
	}
	s.PayloadType = env.PayloadType
	for i := range env.Signatures {
		s.Signatures = append(s.Signatures, readSignature(&env.Signatures[i]))
	}
	if env.PayloadType != PayloadType {
		return fmt.Errorf("payload type %q is not that of the CloudEvents extension", env.PayloadType)
	}
	if s.Payload, err = readPayload(env.Payload); err != nil {
		return fmt.Errorf("signed payload: %w", err)
	}
	return nil
}

// SignedNames are the attributes that the payload claims to cover and that are there: core, then extensions.
func (s *Sealed) SignedNames() []string {
	e := s.Event
	names := []string{"id", "source", "specversion", "type"}
	for _, a := range [...]struct{ name, value string }{
		{"datacontenttype", e.DataContentType}, {"dataschema", e.DataSchema}, {"subject", e.Subject}, {"time", e.Time},
	} {
		if a.value != "" {
			names = append(names, a.name)
		}
	}
	if e.Form != cejson.NoData {
		names = append(names, "data")
	}
	for _, a := range e.Extensions {
		if s.covers(a.Name) {
			names = append(names, a.Name)
		}
	}
	return names
}

// UnsignedNames are the extension attributes that are there and not covered.
func (s *Sealed) UnsignedNames() []string {
	names := []string{}
	for _, a := range s.Event.Extensions {
		if !s.covers(a.Name) {
			names = append(names, a.Name)
		}
	}
	return names
}

func (s *Sealed) covers(extension string) bool {
	return s.Payload != nil && slices.Contains(s.Payload.Names, extension)
}
