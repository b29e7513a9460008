package peek

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// maxDocument bounds what is looked at: the largest event and what EventBridge adds around it.
const maxDocument = wire.MaxEvent + 64<<10

// unwrap finds the CloudEvent in the document.
func unwrap(doc []byte, ignore []string) (*Sealed, error) {
	if len(doc) > maxDocument {
		return nil, fmt.Errorf("more than %d bytes", maxDocument)
	}
	outer, detail, err := readOuter(doc)
	if err != nil {
		return nil, err
	}
	if detail == nil {
		ev, err := wire.ParseSealed(doc)
		return &Sealed{Layout: Plain, Event: ev}, err
	}
	s := &Sealed{Outer: outer, ignore: ignore}
	if err := s.readDetail(detail); err != nil {
		return nil, fmt.Errorf("detail: %w", err)
	}
	s.compareOuter()
	return s, nil
}

// readOuter reads the members of an EventBridge event; detail is nil if the document is none.
func readOuter(doc []byte) (outer *Outer, detail []byte, err error) {
	outer = &Outer{}
	var structured bool
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		name := string(obj.Name)
		text := r.PeekKind() == '"'
		switch {
		case name == "specversion":
			structured = true
			r.SkipValue()
		case name == "detail":
			detail = r.ReadSpan()
		case name == "source" && text:
			outer.Source = r.String()
		case name == "detail-type" && text:
			outer.DetailType = r.String()
		case name == "account" && text:
			outer.Account = r.String()
		case name == "replay-name" && text:
			outer.Replay = r.String()
		default:
			r.ReadSpan()
		}
	}
	if structured {
		return nil, nil, nil // wire says what is wrong with it, if anything is
	}
	return outer, detail, r.End()
}

// readDetail finds the layout of the detail, and the event in it.
func (s *Sealed) readDetail(detail []byte) error {
	var structured bool
	var attributes []byte
	var data, kept []byte
	r := jsontext.NewDecoder(detail)
	for obj := r.Object(); r.Member(&obj); {
		name, kind := string(obj.Name), r.PeekKind()
		span := r.ReadSpan()
		structured = structured || name == "specversion"
		if name == "cloudevent" && kind == '{' {
			attributes = span
			continue
		}
		data = append(append(data, ','), r.Since(&obj)...)
		if slices.Contains(s.ignore, name) {
			s.listed = append(s.listed, name)
			continue
		}
		kept = append(append(kept, ','), r.Since(&obj)...)
	}
	if err := r.End(); err != nil {
		return err
	}
	var err error
	switch {
	case structured && attributes != nil:
		return errors.New(`has both "specversion" and an object "cloudevent"`)
	case attributes != nil:
		s.Layout = Embedded
		s.kept = object(kept)
		s.Event, err = embedded(attributes, object(data))
	case structured:
		s.Layout = Structured
		s.Event, err = wire.ParseSealed(detail)
	default:
		s.Layout = Structured
		s.Event = &wire.Event{Source: s.Outer.Source, Type: s.Outer.DetailType, Form: wire.JSONData, Data: detail}
	}
	return err
}

// object is an object of members, each with a comma before it.
func object(members []byte) []byte {
	return append(append([]byte{'{'}, bytes.TrimPrefix(members, []byte{','})...), '}')
}

func embedded(attributes, data []byte) (*wire.Event, error) {
	e, err := wire.ParseSealed(attributes)
	if err != nil {
		return nil, err
	}
	if e.Form != wire.NoData {
		return nil, errors.New(`"cloudevent" carries data`)
	}
	isCanonical, err := wire.ScanJSON(data)
	e.Form, e.Data, e.Canonical = wire.JSONData, data, isCanonical
	return e, err
}

func (s *Sealed) compareOuter() {
	if s.Outer.Source != s.Event.Source {
		s.problem("the bus says source %q, the event says %q", s.Outer.Source, s.Event.Source)
	}
	if s.Outer.DetailType != s.Event.Type {
		s.problem("the bus says detail-type %q, the event says type %q", s.Outer.DetailType, s.Event.Type)
	}
}
