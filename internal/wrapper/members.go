package wrapper

import (
	"github.com/sealbus/sealbus/internal/jsontext"
)

// members are the members of one object, as they stand, of which none is there twice.
type members map[string][]byte

// readMembers reads the top level of an object only: what is stepped over is read by whoever takes it. Member
// names match exactly.
func readMembers(doc []byte) (members, bool) {
	m := members{}
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); {
		if len(m) == maxMembers {
			return nil, false
		}
		m[string(obj.Name)] = r.ReadSpan()
	}
	return m, r.End() == nil
}

// has reports whether there is such a member, whose value begins with that byte (0 = any).
func (m members) has(name string, kind byte) bool {
	v, ok := m[name]
	return ok && len(v) > 0 && (kind == 0 || v[0] == kind)
}

// text is the value of a member that is a string of strict JSON.
func (m members) text(name string) ([]byte, bool) {
	text, err := jsontext.AppendUnquote(nil, m[name])
	return text, err == nil
}

// is reports whether a member is that string.
func (m members) is(name, want string) bool {
	text, ok := m.text(name)
	return ok && string(text) == want
}

// object is the value of a member that is an object.
func (m members) object(name string) (members, bool) {
	if !m.has(name, '{') {
		return nil, false
	}
	return readMembers(m[name])
}

// textItem is the message in a member that is a string.
func (m members) textItem(name string) Item {
	text, ok := m.text(name)
	if !ok {
		return Item{Problem: problem("look for what changed it on its way", "its %q is no string of strict JSON", name)}
	}
	return Item{Text: text}
}

// base64Item is the message in a member that is base64: in the one spelling that a value has.
func (m members) base64Item(name string) Item {
	encoded, ok := m.text(name)
	switch {
	case !ok:
		return Item{Problem: problem("look for what changed it on its way", "its %q is no string of strict JSON", name)}
	case len(encoded) > maxText/3*4+4:
		p := problem("send large data by reference (dataref), or split it", "it holds more than %d bytes", maxText)
		p.Large = true
		return Item{Problem: p}
	}
	text, err := jsontext.Base64.AppendDecode(nil, encoded)
	if err != nil {
		return Item{Problem: problem("give the record as AWS delivers it", "its %q is not strict base64", name)}
	}
	return Item{Text: text}
}

// elements are the elements of an array of objects; not ok = it is none.
func elements(array []byte, do func(members) bool) bool {
	r := jsontext.NewDecoder(array)
	for a := r.Array(); r.Element(&a); {
		m, ok := readMembers(r.ReadSpan())
		if !ok {
			return false
		}
		if !do(m) {
			return true
		}
	}
	return r.End() == nil
}
