package mint

import (
	"encoding/json"
	"slices"
	"strings"
)

// Member is one member of a JSON object: its name, and its value as JSON text.
type Member struct{ Name, Raw string }

// Object is a JSON object with its members in their order. Nothing is checked: a name may stand twice, and a
// value may be no JSON at all.
type Object []Member

// Get is the text of the first member of that name, "" if there is none.
func (o Object) Get(name string) string {
	if i := o.index(name); i >= 0 {
		return o[i].Raw
	}
	return ""
}

func (o Object) index(name string) int {
	return slices.IndexFunc(o, func(m Member) bool { return m.Name == name })
}

// Set returns o with that member, in its old place or as the last.
func (o Object) Set(name, raw string) Object {
	if i := o.index(name); i >= 0 {
		o = slices.Clone(o)
		o[i].Raw = raw
		return o
	}
	return o.Add(name, raw)
}

// Add returns o with a last member of that name, whether it has one or not.
func (o Object) Add(name, raw string) Object {
	return append(slices.Clip(o), Member{name, raw})
}

// Del returns o without the members of these names.
func (o Object) Del(names ...string) Object {
	return slices.DeleteFunc(slices.Clone(o), func(m Member) bool { return slices.Contains(names, m.Name) })
}

// Rename returns o with the first member of that name under another one.
func (o Object) Rename(name, to string) Object {
	o = slices.Clone(o)
	o[o.index(name)].Name = to
	return o
}

// String is the object as JSON text without white space.
func (o Object) String() string {
	var b strings.Builder
	for i, m := range o {
		b.WriteString([]string{",", "{"}[btoi(i == 0)])
		b.WriteString(Quote(m.Name) + ":" + m.Raw)
	}
	if len(o) == 0 {
		b.WriteByte('{')
	}
	return b.String() + "}"
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Quote is s as a JSON string, with nothing escaped but what must be.
func Quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always has JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Array is a JSON array of strings.
func Array(list ...string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = Quote(s)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

// Unquote is the text of a JSON string; any other value is its own text.
func Unquote(raw string) string {
	var s string
	if json.Unmarshal([]byte(raw), &s) != nil {
		return raw
	}
	return s
}
