// Package keydoc reads and writes the JSON documents of packages keys and trust: JWKs with members of ours,
// keyrings, bundles, roots and state files. All of them have one canonical form (RFC 8785).
package keydoc

import (
	"slices"
	"strconv"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// TimeFormat is RFC 3339 in UTC and whole seconds: one text per moment.
const TimeFormat = "2006-01-02T15:04:05Z"

// Object collects the members of one JSON object and writes them in canonical order. Their names differ
// and are ASCII that needs no escapes. The zero value has no members. Only Raw takes a secret: the other
// methods copy texts when their common memory grows.
type Object struct {
	members []member // in canonical order
	texts   []byte   // the values that are not Raw, one after the other
}

type member struct {
	name  string
	value []byte // canonical JSON
}

// Room for what most objects have, such as a key of a bundle.
const (
	roomMembers = 20
	roomTexts   = 512
)

// Reset removes all members and keeps their memory.
func (o *Object) Reset() { o.members, o.texts = o.members[:0], o.texts[:0] }

// Raw adds a member whose value is canonical JSON. It keeps value.
func (o *Object) Raw(name string, value []byte) {
	if o.members == nil {
		o.members = make([]member, 0, roomMembers)
	}
	o.members = append(o.members, member{name, value})
	list := o.members // few members, that come nearly in order
	for i := len(list) - 1; i > 0 && list[i-1].name > list[i].name; i-- {
		list[i-1], list[i] = list[i], list[i-1]
	}
}

// text adds a member whose value was appended to o.texts from start on.
func (o *Object) text(name string, texts []byte) {
	o.Raw(name, texts[len(o.texts):len(texts):len(texts)])
	o.texts = texts
}

// room is the memory behind the texts so far.
func (o *Object) room() []byte {
	if o.texts == nil {
		o.texts = make([]byte, 0, roomTexts)
	}
	return o.texts
}

// String adds a text.
func (o *Object) String(name, value string) { o.text(name, jsontext.AppendQuote(o.room(), value)) }

// Strings adds an array of texts.
func (o *Object) Strings(name string, list []string) {
	o.text(name, jsontext.AppendStrings(o.room(), list))
}

// Int adds a whole number, of at most 53 bits.
func (o *Object) Int(name string, n int64) { o.text(name, strconv.AppendInt(o.room(), n, 10)) }

// Time adds a moment in whole seconds. The zero time adds nothing.
func (o *Object) Time(name string, t time.Time) {
	if !t.IsZero() {
		// In UTC this is TimeFormat, and package time writes it without reading a format.
		o.text(name, append(t.UTC().AppendFormat(append(o.room(), '"'), time.RFC3339), '"'))
	}
}

// Members adds the members of a canonical JSON object, which it keeps.
func (o *Object) Members(object []byte) {
	r, names := jsontext.NewDecoder(object), string(object)
	for obj := r.Object(); r.Member(&obj); {
		start := obj.Start + len(`"`)
		o.Raw(names[start:start+len(obj.Name)], r.ReadSpan())
	}
}

// Append writes the object.
func (o *Object) Append(dst []byte) []byte {
	size := len("{}")
	for _, m := range o.members {
		size += len(m.name) + len(m.value) + len(`"":,`)
	}
	dst = append(slices.Grow(dst, size), '{')
	for i, m := range o.members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.name...), `":`...)
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

// Clear overwrites the values, of which one is secret.
func (o *Object) Clear() {
	for _, m := range o.members {
		clear(m.value)
	}
}

// AppendArray writes a JSON array of values that write themselves.
func AppendArray[T any](dst []byte, list []T, appendValue func([]byte, T) []byte) []byte {
	dst = append(dst, '[')
	for i, v := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, v)
	}
	return append(dst, ']')
}
