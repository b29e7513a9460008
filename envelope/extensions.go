package envelope

import (
	"errors"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/wire"
)

// checkExtensions compares the digest of the signed extensions and keeps their verified values.
func (o *opening) checkExtensions(p *wire.Payload) *Error {
	if !p.HasExt {
		return nil
	}
	o.exts = make([]wire.Attribute, 0, len(p.Names))
	if p.Profile == nil {
		return o.foreignExtensions(p)
	}
	o.hash.Reset()
	for i, name := range p.Names {
		if err := o.hashExtension(name, AttributeType(p.Profile.Types[i])); err != nil {
			return err
		}
	}
	if sum := o.hash.Sum(); !equalDigest(&sum, &p.Ext) {
		return reject(ReasonModified, "a signed extension attribute is not what was signed")
	}
	return nil
}

// hashExtension reads one attribute under its signed type. Text that the signer cannot have written is
// modified, whatever it hashes to.
func (o *opening) hashExtension(name string, t AttributeType) *Error {
	attr := o.extension(name)
	if t == Binary && o.policy.ExtensionTypes[name] != Binary {
		return reject(ReasonUnsupported, "extension %s is Binary and not declared in ExtensionTypes", name)
	}
	if attr == nil {
		o.hash.Text("")
		return nil
	}
	hashed, err := wire.AppendHashed(o.hash.Scratch[:0], wire.Type(t), attr.Value)
	if err != nil {
		return reject(ReasonModified, "extension %s: %v", name, err)
	}
	o.hash.Bytes(hashed)
	o.keep(name, t, attr.Value, hashed)
	return nil
}

// keep notes a value, which is verified once the digest of all is.
func (o *opening) keep(name string, t AttributeType, received string, hashed []byte) {
	value := received
	if t == Timestamp && string(hashed) != received {
		value = string(hashed)
	}
	o.exts = append(o.exts, wire.Attribute{Name: name, Type: wire.Type(t), Value: value})
}

func (o *opening) extension(name string) *wire.Attribute {
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
func (o *opening) foreignExtensions(p *wire.Payload) *Error {
	readable := true
	o.hash.Reset()
	for _, name := range p.Names {
		attr := o.extension(name)
		if attr == nil {
			o.hash.Text("")
			continue
		}
		t := o.foreignType(name)
		hashed, err := wire.AppendHashed(o.hash.Scratch[:0], wire.Type(t), attr.Value)
		if err != nil && !errors.Is(err, wire.ErrFraction) {
			readable = false
			hashed = append(o.hash.Scratch[:0], attr.Value...)
		}
		o.hash.Bytes(hashed)
		o.keep(name, t, attr.Value, hashed)
	}
	sum := o.hash.Sum()
	switch {
	case equalDigest(&sum, &p.Ext) && readable:
		return nil
	case equalDigest(&sum, &p.Ext), o.guess(p, false), o.guess(p, true):
		return reject(ReasonUnsupported, "the types of the signed extensions are not the documented or declared ones: see ExtensionTypes")
	}
	return reject(ReasonModified, "a signed extension attribute is not what was signed")
}

func (o *opening) foreignType(name string) AttributeType {
	if t, ok := wire.DocumentedType(name); ok {
		return AttributeType(t)
	}
	if t := o.policy.ExtensionTypes[name]; isType(t) {
		return t
	}
	return String
}

// guess reports whether the digest comes out when every undeclared, undocumented value that reads as a
// timestamp is one and, with binary, every other one that reads as base64 is Binary.
func (o *opening) guess(p *wire.Payload, binary bool) bool {
	o.hash.Reset()
	for _, name := range p.Names {
		attr := o.extension(name)
		if attr == nil {
			o.hash.Text("")
			continue
		}
		o.hash.Bytes(o.guessed(name, attr.Value, binary))
	}
	sum := o.hash.Sum()
	return equalDigest(&sum, &p.Ext)
}

func (o *opening) guessed(name, text string, binary bool) []byte {
	buf := o.hash.Scratch[:0]
	t := o.foreignType(name)
	if t == String {
		if _, err := wire.ParseTime(text); err == nil {
			t = Timestamp
		} else if _, err := jsontext.Base64.AppendDecode(nil, []byte(text)); err == nil && binary {
			t = Binary
		}
	}
	hashed, err := wire.AppendHashed(buf, wire.Type(t), text)
	if err != nil && !errors.Is(err, wire.ErrFraction) {
		return append(buf, text...)
	}
	return hashed
}
