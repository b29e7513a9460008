package peek

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// Fit says whether the event has the digest that the payload states. It proves nothing: whoever changes an
// event can compute a payload to fit it, and only a signature tells.
type Fit string

// The values of Fit.
const (
	FitUnknown   Fit = "unknown"             // not compared: types unknown, or nothing to compare
	FitExact     Fit = "fits"                // as received
	FitCanonical Fit = "fits when canonical" // the data was re-formatted on its way, its value is the same
	FitNone      Fit = "does not fit"
)

// sums is the concatenation of digests that the standard hashes once more.
type sums []byte

func (s *sums) add(b []byte) {
	sum := sha256.Sum256(b)
	*s = append(*s, sum[:]...)
}

func (s sums) equal(digest []byte) bool {
	sum := sha256.Sum256(s)
	return bytes.Equal(sum[:], digest)
}

// fitCoreWithout compares the digest of core attributes and data, the latter once more without what a hop may
// have added.
func (s *Sealed) fitCoreWithout() {
	if s.Core = s.fitCore(); s.Core != FitNone || len(s.listed) == 0 {
		return
	}
	without := *s.Event
	without.Data = s.kept
	without.Canonical = jsontext.Value(s.kept).IsCanonical() // it was read as part of the whole
	whole := s.Event
	s.Event = &without
	if s.Core = s.fitCore(); s.Core == FitNone {
		s.Event = whole
		return
	}
	s.Ignored = append(s.Ignored, s.listed...)
}

// fitCore compares the digest of core attributes and data.
func (s *Sealed) fitCore() Fit {
	e := s.Event
	seconds := e.Time
	if at, err := wire.ParseTime(e.Time); err == nil {
		seconds = wire.FormatSeconds(at)
		if s.Payload.Profile != 0 && wire.FormatTime(at) != s.Payload.Time {
			return FitNone
		}
	}
	var head sums
	for _, text := range [...]string{e.ID, e.Source, e.SpecVersion, e.Type, e.DataContentType, e.DataSchema, e.Subject, seconds} {
		head.add([]byte(text))
	}
	asReceived := slices.Clone(head)
	asReceived.add(e.Data)
	if asReceived.equal(s.Payload.Core) {
		return FitExact
	}
	if e.Form != wire.JSONData {
		return FitNone
	}
	form, err := jsontext.AppendCanonical(nil, e.Data)
	head.add(form)
	if err == nil && head.equal(s.Payload.Core) {
		return FitCanonical
	}
	return FitNone
}

// fitExtensions compares the digest of the signed extensions, whose types only a payload of ours states.
func (s *Sealed) fitExtensions() Fit {
	if s.Payload.Ext == nil || s.Payload.Profile != 1 {
		return FitUnknown
	}
	var all sums
	for i, name := range s.Payload.Names {
		hashed, ok := hashedText(s.Payload.Types[i], s.value(name))
		if !ok {
			return FitNone
		}
		all.add(hashed)
	}
	if all.equal(s.Payload.Ext) {
		return FitExact
	}
	return FitNone
}

func (s *Sealed) value(name string) string {
	for _, a := range s.Event.Extensions {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// hashedText is what the standard hashes for a value of that type.
func hashedText(typ, text string) ([]byte, bool) {
	if text == "" {
		return nil, true
	}
	t, known := wire.ParseType(typ)
	switch t {
	case wire.Boolean:
		return []byte(text), text == "true" || text == "false"
	case wire.Integer:
		n, err := strconv.ParseInt(text, 10, 32)
		return []byte(text), err == nil && strconv.FormatInt(n, 10) == text
	case wire.Binary:
		raw, err := jsontext.DecodeBase64(nil, []byte(text))
		return raw, err == nil
	case wire.Timestamp:
		at, err := wire.ParseTime(text)
		return []byte(wire.FormatSeconds(at)), err == nil && at.Nanosecond() == 0
	}
	return []byte(text), known
}
