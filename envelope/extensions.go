package envelope

import (
	"errors"

	"github.com/sealbus/sealbus/internal/b64"
	"github.com/sealbus/sealbus/internal/cejson"
)

// checkExtensions compares the digest of the signed extensions and keeps their verified values.
func (o *opening) checkExtensions(p *payload) *Error {
	if !p.hasExt {
		return nil
	}
	o.exts = make([]cejson.Attribute, 0, len(p.names))
	if p.profile == nil {
		return o.foreignExtensions(p)
	}
	o.hash.reset()
	for i, name := range p.names {
		if err := o.hashExtension(name, p.profile.types[i]); err != nil {
			return err
		}
	}
	if sum := o.hash.sum(); !equalDigest(&sum, &p.ext) {
		return reject(ReasonModified, "a signed extension attribute is not what was signed")
	}
	return nil
}

// hashExtension reads one attribute under its signed type. Text that the signer cannot have written is
// modified, whatever it hashes to.
func (o *opening) hashExtension(name string, t AttributeType) *Error {
	wire := o.extension(name)
	if t == Binary && o.policy.ExtensionTypes[name] != Binary {
		return reject(ReasonUnsupported, "extension %s is Binary and not declared in ExtensionTypes", name)
	}
	if wire == nil {
		o.hash.text("")
		return nil
	}
	hashed, err := appendHashed(o.hash.scratch[:0], t, wire.Value)
	if err != nil {
		return reject(ReasonModified, "extension %s: %v", name, err)
	}
	o.hash.bytes(hashed)
	o.keep(name, t, wire.Value, hashed)
	return nil
}

// keep notes a value, which is verified once the digest of all is.
func (o *opening) keep(name string, t AttributeType, wire string, hashed []byte) {
	value := wire
	if t == Timestamp && string(hashed) != wire {
		value = string(hashed)
	}
	o.exts = append(o.exts, cejson.Attribute{Name: name, Type: cejson.Type(t), Value: value})
}

func (o *opening) extension(name string) *cejson.Attribute {
	for i := range o.in.Extensions {
		if o.in.Extensions[i].Name == name {
			return &o.in.Extensions[i]
		}
	}
	return nil
}

// foreignExtensions verifies the extensions of an event that another implementation sealed. It signs no
// types: a documented name has its documented type, others the declared one or String. If the digest comes
// out under other types only, the event is genuine but not readable: unsupported, not modified.
func (o *opening) foreignExtensions(p *payload) *Error {
	readable := true
	o.hash.reset()
	for _, name := range p.names {
		wire := o.extension(name)
		if wire == nil {
			o.hash.text("")
			continue
		}
		t := o.foreignType(name)
		hashed, err := appendHashed(o.hash.scratch[:0], t, wire.Value)
		if err != nil && !errors.Is(err, errFraction) {
			readable = false
			hashed = append(o.hash.scratch[:0], wire.Value...)
		}
		o.hash.bytes(hashed)
		o.keep(name, t, wire.Value, hashed)
	}
	sum := o.hash.sum()
	switch {
	case equalDigest(&sum, &p.ext) && readable:
		return nil
	case equalDigest(&sum, &p.ext), o.guess(p, false), o.guess(p, true):
		return reject(ReasonUnsupported, "the types of the signed extensions are not the documented or declared ones: see ExtensionTypes")
	}
	return reject(ReasonModified, "a signed extension attribute is not what was signed")
}

func (o *opening) foreignType(name string) AttributeType {
	if t, ok := documentedType(name); ok {
		return t
	}
	if t := o.policy.ExtensionTypes[name]; isType(t) {
		return t
	}
	return String
}

// guess reports whether the digest comes out when every undeclared, undocumented value that reads as a
// timestamp is one and, with binary, every other one that reads as base64 is Binary.
func (o *opening) guess(p *payload, binary bool) bool {
	o.hash.reset()
	for _, name := range p.names {
		wire := o.extension(name)
		if wire == nil {
			o.hash.text("")
			continue
		}
		o.hash.bytes(o.guessed(name, wire.Value, binary))
	}
	sum := o.hash.sum()
	return equalDigest(&sum, &p.ext)
}

func (o *opening) guessed(name, text string, binary bool) []byte {
	buf := o.hash.scratch[:0]
	t := o.foreignType(name)
	if t == String {
		if _, err := cejson.ParseTime(text); err == nil {
			t = Timestamp
		} else if _, err := b64.AppendStd(nil, []byte(text)); err == nil && binary {
			t = Binary
		}
	}
	hashed, err := appendHashed(buf, t, text)
	if err != nil && !errors.Is(err, errFraction) {
		return append(buf, text...)
	}
	return hashed
}
