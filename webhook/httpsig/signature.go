package httpsig

import (
	"errors"
	"slices"
	"time"

	"github.com/dunglas/httpsfv"

	"github.com/sealbus/sealbus/envelope"
)

// signature is the signature of one label, as a message has it. Nothing of it is verified.
type signature struct {
	covered []component
	params  string // the list and the parameters, as they stand in the base
	bytes   []byte

	created         time.Time
	expires         time.Time // zero = none
	keyID, alg, tag string
	has             map[string]bool // the parameters
}

// read finds the signature with the label of the profile, and refuses one that is not as the profile says.
func (r *rules) read(m *message) (*signature, error) {
	inputs, err := m.dictionary("Signature-Input")
	if err != nil {
		return nil, err
	}
	signatures, err := m.dictionary("Signature")
	if err != nil {
		return nil, err
	}
	hasInput, hasSignature := hasLabel(inputs, r.Label), hasLabel(signatures, r.Label)
	switch {
	case !hasInput && !hasSignature:
		return nil, refuse(envelope.ReasonUnsigned, "there is no signature with the label %s", r.Label)
	case !hasInput || !hasSignature:
		return nil, refuse(envelope.ReasonMalformed,
			"the label %s is in one of Signature and Signature-Input only", r.Label)
	}
	s := new(signature)
	if s.bytes, err = bytesOf(signatures, r.Label); err != nil {
		return nil, refuse(envelope.ReasonMalformed, "the field Signature: %w", err)
	}
	member, _ := inputs.Get(r.Label)
	list, ok := member.(httpsfv.InnerList)
	if !ok {
		return nil, refuse(envelope.ReasonMalformed, "the label %s of Signature-Input is no list", r.Label)
	}
	if s.params, err = httpsfv.Marshal(httpsfv.List{list}); err != nil {
		return nil, refuse(envelope.ReasonMalformed, "the field Signature-Input: %w", err)
	}
	if err := s.readParams(list.Params); err != nil {
		return nil, err
	}
	return s, s.readCovered(list.Items, r.response)
}

func hasLabel(d *httpsfv.Dictionary, label string) bool {
	if d == nil {
		return false
	}
	_, ok := d.Get(label)
	return ok
}

// readParams reads the signature parameters (RFC 9421, section 2.3).
func (s *signature) readParams(params *httpsfv.Params) error {
	s.has = make(map[string]bool, len(params.Names()))
	for _, name := range params.Names() {
		s.has[name] = true
		value, _ := params.Get(name)
		ok := false
		switch name {
		case "created":
			s.created, ok = timeOf(value)
		case "expires":
			s.expires, ok = timeOf(value)
		case "keyid":
			s.keyID, ok = value.(string)
		case "alg":
			s.alg, ok = value.(string)
		case "tag":
			s.tag, ok = value.(string)
		case "nonce":
			_, ok = value.(string)
		default:
			return refuse(envelope.ReasonUnsupported, "the parameter %.80q", name)
		}
		if !ok {
			return refuse(envelope.ReasonMalformed, "the parameter %s is not of its type", name)
		}
	}
	return nil
}

// timeOf is a moment in whole seconds since 1970.
func timeOf(value any) (time.Time, bool) {
	seconds, ok := value.(int64)
	return time.Unix(seconds, 0), ok && seconds >= 0
}

// readCovered reads the list of the covered components.
func (s *signature) readCovered(items []httpsfv.Item, response bool) error {
	if len(items) > maxComponents {
		return refuse(envelope.ReasonTooLarge, "more than %d components are covered", maxComponents)
	}
	s.covered = make([]component, 0, len(items))
	for _, item := range items {
		name, ok := item.Value.(string)
		if !ok {
			return refuse(envelope.ReasonMalformed, "a component is no string")
		}
		req := false
		for _, param := range item.Params.Names() {
			if value, _ := item.Params.Get(param); param != "req" || value != true {
				return refuse(envelope.ReasonUnsupported, "the parameter %.80q of the component %.80q", param,
					name)
			}
			req = true
		}
		c, err := newComponent(name, req, response)
		switch {
		case errors.Is(err, errUnsupported):
			return refuse(envelope.ReasonUnsupported, "%w", err)
		case err != nil:
			return refuse(envelope.ReasonMalformed, "%w", err)
		case slices.Contains(s.covered, c):
			return refuse(envelope.ReasonMalformed, "the component %.80q is covered twice", name)
		}
		s.covered = append(s.covered, c)
	}
	return nil
}

// permits refuses a signature that covers or says less or more than the profile wants. A body must be
// covered by its digest.
func (r *rules) permits(s *signature, body []byte) error {
	for _, c := range r.must {
		if !slices.Contains(s.covered, c) {
			return refuse(envelope.ReasonUnsigned, "the signature does not cover %s", c.append(nil))
		}
	}
	for _, c := range s.covered {
		if !slices.Contains(r.may, c) {
			return refuse(envelope.ReasonUnsupported,
				"the signature covers %s, which is not one of Components and Optional", c.append(nil))
		}
	}
	for _, name := range r.Parameters {
		if !s.has[name] {
			return refuse(envelope.ReasonUnsigned, "the signature has no parameter %s", name)
		}
	}
	switch {
	case len(body) > 0 && !r.UnsafePartial && !slices.Contains(s.covered, digest):
		return refuse(envelope.ReasonUnsigned, "there is a body, and the signature does not cover its digest")
	case s.has["tag"] != (r.Tag != "") || s.tag != r.Tag:
		return refuse(envelope.ReasonAudienceMismatch, "the tag of the signature is %.80q, not %.80q", s.tag,
			r.Tag)
	case !s.has["created"]:
		return refuse(envelope.ReasonUndated, "the signature has no parameter created")
	case !s.has["keyid"]:
		return refuse(envelope.ReasonUnknownKey, "the signature has no parameter keyid")
	}
	return nil
}
