package envelope

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

type digest = wire.Digest

// checkDigests reads the payload, whose signature verified, and holds the event against it.
func (o *opening) checkDigests() *Error {
	if o.payload != nil {
		return nil // done under an earlier bundle; it does not depend on keys
	}
	p := &o.payloadRoom
	err := p.Read(o.env.Payload, o.in)
	switch {
	case errors.Is(err, wire.ErrVersion):
		return reject(ReasonUnsupported, "%v", err)
	case errors.Is(err, wire.ErrLimit):
		return reject(ReasonTooLarge, "signed payload: %v", err)
	case err != nil:
		return reject(ReasonMalformed, "signed payload: %v", err)
	}
	for _, name := range p.Names {
		if twin := o.in.CaseTwin(name); twin != "" {
			return reject(ReasonMalformed,
				"%.80q is the signed attribute %s but for the case of its letters, "+
					"and some readers ignore case", twin, name)
		}
	}
	if e := o.checkCore(p); e != nil {
		return e
	}
	if e := o.checkExtensions(p); e != nil {
		return e
	}
	o.payload = p
	sealed := o.time
	for i := range o.exts {
		switch o.exts[i].Name {
		case wire.AttrRecordedTime:
			sealed = o.exts[i].Value
		case wire.AttrExpiryTime:
			o.expiry, _ = wire.ParseTime(o.exts[i].Value)
		}
	}
	if sealed != "" {
		o.sealed, _ = wire.ParseTime(sealed)
	}
	return nil
}

// checkCore compares the digest of core attributes and data, and settles the exact text of time.
func (o *opening) checkCore(p *wire.Payload) *Error {
	if !o.matchCore(p) {
		return o.modified(p)
	}
	at, _ := wire.ParseTime(o.in.Time) // zero: it has none; a wrong one was refused when it was read
	if p.Profile == nil {
		if !at.IsZero() { // the standard hashes whole seconds
			o.time = at.Format(time.RFC3339)
		}
		return nil
	}
	o.time = p.Profile.Time
	if signed, _ := wire.ParseTime(o.time); !signed.Equal(at) { // zero: it was signed without one
		return reject(ReasonModified, "time was signed as %q and came as %q", o.time, o.in.Time)
	}
	return nil
}

// matchCore finds the bytes of data under which the core digest is the signed one: those received, or their
// canonical form if the data is JSON that was re-serialised on its way. Of a detail, there is one more
// attempt: without the members that hops are known to add to it. The bytes are in o.data then.
func (o *opening) matchCore(p *wire.Payload) bool {
	match := func(data []byte, sum digest) bool {
		o.data, o.dataSum = data, sum
		core := wire.CoreDigest(o.in, &o.dataSum)
		return subtle.ConstantTimeCompare(core[:], p.Core[:]) == 1
	}
	switch {
	case o.in.Form == wire.NoData:
		return match(nil, wire.Absent)
	case (o.in.Canonical || o.detail == nil) && match(o.in.Data, sha256.Sum256(o.in.Data)):
		return true
	}
	if o.in.Form == wire.JSONData && !o.in.Canonical {
		if doc := &o.in.Document; doc.Err == nil && match(doc.Canonical, sha256.Sum256(doc.Canonical)) {
			return true
		}
	}
	if o.detail == nil || len(o.detail.Ignored) == 0 {
		return false
	}
	r := jsontext.NewDecoder(o.detail.Data(false))
	doc := r.ReadDocument()
	o.leftOut = doc.Err == nil && match(doc.Canonical, sha256.Sum256(doc.Canonical))
	return o.leftOut
}

// checkExtensions compares the digest of the signed extensions and keeps their verified values.
func (o *opening) checkExtensions(p *wire.Payload) *Error {
	if !p.HasExt {
		return nil
	}
	o.exts = make([]wire.Attribute, 0, len(p.Names))
	fits, isReadable, verdict := o.hashExtensions(p, asDeclared)
	if verdict != nil || fits && isReadable {
		return verdict
	}
	if p.Profile != nil {
		return reject(ReasonModified, "a signed extension attribute is not what was signed")
	}
	for _, guess := range [...]typeGuess{timestamps, timestampsAndBinaries} {
		if !fits {
			fits, _, _ = o.hashExtensions(p, guess)
		}
	}
	if !fits {
		return reject(ReasonModified, "a signed extension attribute is not what was signed")
	}
	return reject(ReasonUnsupported,
		"the types of the signed extensions are not the documented or declared ones: see ExtensionTypes")
}

// typeGuess says which type an extension has that another implementation signed, if it is neither documented
// nor declared. If the digest fits under a guess only, the event is genuine but not readable: unsupported,
// not modified.
type typeGuess int

const (
	asDeclared            typeGuess = iota // String
	timestamps                             // Timestamp, if the text is one
	timestampsAndBinaries                  // Timestamp, or Binary if the text is base64
)

// hashExtensions hashes the values of the signed extensions and collects them in o.exts. A payload of sealbus
// states their types. Text that the signer cannot have written is then modified, whatever it hashes to. Any
// other payload states no types. Text that does not fit its type is then hashed as it is, and the result is
// not readable.
func (o *opening) hashExtensions(p *wire.Payload, guess typeGuess) (fits, isReadable bool, verdict *Error) {
	o.exts, isReadable = o.exts[:0], true
	var room [8 * sha256.Size]byte // the digests of most events fit, and most values fit into scratch
	var scratch [256]byte
	digests := room[:0]
	for i, name := range p.Names {
		at := slices.IndexFunc(o.in.Extensions, func(a wire.Attribute) bool { return a.Name == name })
		t, isDocumented := wire.DocumentedType(name)
		if p.Profile != nil {
			t = p.Profile.Types[i]
			if t == wire.Binary && o.policy.ExtensionTypes[name] != "Binary" {
				return false, false, reject(ReasonUnsupported,
					"extension %s is Binary and not declared in ExtensionTypes", name)
			}
		} else if declared, ok := o.policy.ExtensionTypes[name]; ok && !isDocumented {
			t = wire.TypeNamed(declared)
		} else if !isDocumented {
			t = wire.String
		}
		if at < 0 {
			digests = wire.AppendSum(digests, nil)
			continue
		}
		text := o.in.Extensions[at].Value
		if guess != asDeclared && t == wire.String {
			if _, err := wire.ParseTime(text); err == nil {
				t = wire.Timestamp
			} else if _, err := jsontext.Base64.AppendDecode(nil, []byte(text)); err == nil &&
				guess != timestamps {
				t = wire.Binary
			}
		}
		hashed, err := wire.AppendHashed(scratch[:0], t, text)
		switch {
		case err != nil && p.Profile != nil:
			return false, false, reject(ReasonModified, "extension %s: %v", name, err)
		case err != nil && !errors.Is(err, wire.ErrFraction):
			isReadable = false
			hashed = append(scratch[:0], text...)
		}
		digests = wire.AppendSum(digests, hashed)
		if t == wire.Timestamp && string(hashed) != text {
			text = string(hashed)
		}
		o.exts = append(o.exts, wire.Attribute{Name: name, Type: t, Value: text})
	}
	sum := sha256.Sum256(digests)
	return subtle.ConstantTimeCompare(sum[:], p.Ext[:]) == 1, isReadable, nil
}

// modified is the verdict on data or core attributes that are not what was signed. Its cause says what is
// likely to have changed them, as far as the event shows it.
func (o *opening) modified(p *wire.Payload) *Error {
	e := reject(ReasonModified, "the data or a core attribute is not what was signed")
	if p.Profile != nil && p.Profile.Time != o.in.Time {
		e.Cause += fmt.Sprintf("; time was signed as %q and came as %q", p.Profile.Time, o.in.Time)
	}
	if o.in.Form == wire.JSONData && !o.in.Base64 {
		switch err := o.in.Document.Err; {
		case err != nil && p.Profile != nil: // sealbus signs no such number
			e.Cause += "; digits of a number are what changed: something on the way prints numbers anew"
		case err == nil &&
			jsontext.AnyNumber(o.in.Data, func(text string) bool {
				return jsontext.SignificantDigits(text) >= 15
			}):
			e.Cause += "; digits of a number may be what changed: " +
				"there are numbers of 15 digits and more, and some relays print those anew"
		}
	}
	if o.detail == nil {
		return e
	}
	if names := lookAdded(o.detail.Detail, o.policy.IgnoreMembers); len(names) > 0 {
		e.Cause += "; members that look added on the way: " + strings.Join(wire.ReportedMembers(names), " ")
		e.Advice = "switch off what adds them to the detail, such as a tracer's instrumentation of PutEvents, " +
			"or name them in IgnoreMembers (`open --ignore-member`)"
	}
	return e
}

// lookAdded are the members of the detail that tracers are known to add, or that are named as if a tracer had
// added them. It is a guess, for the text of a verdict only.
func lookAdded(detail []byte, ignore []string) (names []string) {
	tracers := []string{"traceparent", "tracestate", "baggage", "newrelic", "awstraceheader",
		"dtdtracetaginfo"}
	r := jsontext.NewDecoder(detail)
	for obj := r.Object(); r.Member(&obj); r.ReadSpan() {
		name := string(obj.Name)
		lower := strings.ToLower(name)
		looksAdded := slices.Contains(ignore, name) || slices.Contains(tracers, lower) ||
			strings.HasPrefix(lower, "_") || strings.HasPrefix(lower, "x-") || strings.HasPrefix(lower, "x_")
		if looksAdded && len(names) < wire.MaxReported {
			names = append(names, name)
		}
	}
	return names
}
