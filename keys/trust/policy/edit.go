package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/reviewed"
	"github.com/sealbus/sealbus/keys"
)

// kind is the heading of the policy that has a name.
type kind string

const (
	kindProducer kind = "producer"
	kindConsumer kind = "consumer"
)

const empty = "version: 1\nproducers: {}\nconsumers: {}\n"

// AddProducerKey lists the ID of a signing key under a producer, which it creates if absent. It sets the
// moments of the schedule that are not zero, also for a key that is listed there already. An empty doc stands
// for a new policy file. It returns the new file and the changes, one line each, for people. Comments and
// order are kept, and blank lines and spacing are not. The new file is always a valid policy.
func AddProducerKey(doc []byte, producer, keyID string,
	schedule keys.Schedule) (edited []byte, changes []string, err error) {
	return addKey(doc, kindProducer, producer, keyID, schedule)
}

// AddConsumerKey is AddProducerKey for an encryption key of a consumer.
func AddConsumerKey(doc []byte, consumer, keyID string,
	schedule keys.Schedule) (edited []byte, changes []string, err error) {
	return addKey(doc, kindConsumer, consumer, keyID, schedule)
}

func addKey(doc []byte, of kind, name, keyID string,
	schedule keys.Schedule) (edited []byte, changes []string, err error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		doc, changes = []byte(empty), []string{"new policy file"}
	}
	p, root, err := parseBoth(doc)
	if err != nil {
		return nil, nil, err
	}
	if owner, line := p.find(keyID); owner != "" && owner != string(of)+" "+name {
		return nil, nil,
			&fileError{line: line,
				err: fmt.Errorf("key %s is listed under %s already: a key belongs to one name", keyID, owner)}
	}
	e := editor{changes: changes}
	e.setMoments(e.key(root, of, name, keyID), keyID, schedule)
	return e.finish(doc, root)
}

// SetScope fills the empty lists of sources and types of a listed producer; nil leaves a list as it is. It
// never widens a scope: a list with other entries is an error, and a list with the same entries is no change.
// It returns the same as AddProducerKey.
func SetScope(doc []byte, producer string, sources,
	types []string) (edited []byte, changes []string, err error) {
	p, root, err := parseBoth(doc)
	if err != nil {
		return nil, nil, err
	}
	i := slices.IndexFunc(p.Producers, func(o Producer) bool { return o.Name == producer })
	if i < 0 {
		return nil, nil, &fileError{err: fmt.Errorf("producer %s is not listed", producer)}
	}
	owner := child(get(root.Content[0], "producers"), producer)
	e := editor{}
	if err := errors.Join(
		e.fill(owner, producer, "sources", p.Producers[i].Sources, sources),
		e.fill(owner, producer, "types", p.Producers[i].Types, types)); err != nil {
		return nil, nil, err
	}
	return e.finish(doc, root)
}

// fill sets a list that is empty or absent.
func (e *editor) fill(owner *yaml.Node, producer, field string, is, want []string) error {
	switch {
	case want == nil || slices.Equal(is, want):
		return nil
	case len(is) > 0:
		return &fileError{line: get(owner, field).Line,
			err: fmt.Errorf("producer %s has other %s already: change them in the file", producer, field)}
	}
	items := list()
	for _, pattern := range want {
		items.Content = append(items.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: pattern,
			Style: yaml.DoubleQuotedStyle})
	}
	set(owner, field, items)
	e.note("producer %s: %s %s", producer, field, strings.Join(want, " "))
	return nil
}

// Revoke marks a key as revoked. If the key is revoked already, it returns the file unchanged and no changes.
func Revoke(doc []byte, keyID, reason string, at time.Time) (edited []byte, changes []string, err error) {
	p, root, err := parseBoth(doc)
	if err != nil {
		return nil, nil, err
	}
	if p.revoked(keyID) {
		return doc, nil, nil
	}
	key := findKey(root, keyID)
	if key == nil {
		return nil, nil, &fileError{err: fmt.Errorf("key %s is not listed: nothing to revoke", keyID)}
	}
	e := editor{}
	revoked := mapping()
	set(revoked, "at", timeNode(at))
	set(revoked, "reason", text(reason))
	set(key, "revoked", revoked)
	e.note("key %s: revoked at %s: %s", keyID, at.UTC().Format(timeFormat), reason)
	return e.finish(doc, root)
}

// Taint marks a key as tainted: signers and writers prefer another one. The reason is for the reviewers; "" =
// none. If the key is tainted already, it returns the file unchanged and no changes.
func Taint(doc []byte, keyID, reason string) (edited []byte, changes []string, err error) {
	_, root, err := parseBoth(doc)
	if err != nil {
		return nil, nil, err
	}
	key := findKey(root, keyID)
	switch {
	case key == nil:
		return nil, nil, &fileError{err: fmt.Errorf("key %s is not listed: nothing to taint", keyID)}
	case get(key, "tainted") != nil:
		return doc, nil, nil
	}
	e := editor{}
	if reason == "" {
		set(key, "tainted", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
		e.note("key %s: tainted", keyID)
		return e.finish(doc, root)
	}
	tainted := mapping()
	set(tainted, "reason", text(reason))
	set(key, "tainted", tainted)
	e.note("key %s: tainted: %s", keyID, reason)
	return e.finish(doc, root)
}

func parseBoth(doc []byte) (*Policy, *yaml.Node, error) {
	p, err := Parse(doc)
	if err != nil {
		return nil, nil, err
	}
	var file yaml.Node
	if err := yaml.Unmarshal(doc, &file); err != nil {
		return nil, nil, &fileError{err: err}
	}
	return p, &file, nil
}

func (p *Policy) revoked(id string) bool {
	is := func(k Key) bool { return k.ID == id && k.Revoked != nil }
	return slices.ContainsFunc(p.Producers, func(o Producer) bool { return slices.ContainsFunc(o.Keys, is) }) ||
		slices.ContainsFunc(p.Consumers, func(o Consumer) bool { return slices.ContainsFunc(o.Keys, is) })
}

// editor changes the nodes of a file and notes what it changed.
type editor struct{ changes []string }

func (e *editor) note(format string, args ...any) {
	e.changes = append(e.changes, fmt.Sprintf(format, args...))
}

// key is the mapping of the key, made if absent.
func (e *editor) key(file *yaml.Node, of kind, name, keyID string) *yaml.Node {
	names := child(file.Content[0], string(of)+"s")
	owner := get(names, name)
	if owner == nil {
		owner = e.newOwner(of, name)
		set(names, name, owner)
	}
	owner = child(names, name)
	list := child(owner, "keys")
	if get(list, keyID) == nil {
		e.note("%s %s: key %s added", of, name, keyID)
	}
	return child(list, keyID)
}

func (e *editor) newOwner(of kind, name string) *yaml.Node {
	owner := mapping()
	e.note("%s %s added", of, name)
	if of == kindProducer {
		set(owner, "sources", list())
		set(owner, "types", list())
		e.note("producer %s: sources and types are empty, which allows nothing: fill them in", name)
	}
	return owner
}

func (e *editor) setMoments(key *yaml.Node, keyID string, s keys.Schedule) {
	for _, m := range moments(&s) {
		if m.at.IsZero() {
			continue
		}
		is := m.at.UTC().Truncate(time.Second).Format(timeFormat)
		switch old := get(key, m.name); {
		case old == nil:
			e.note("key %s: %s %s", keyID, m.name, is)
		case old.Value != is:
			e.note("key %s: %s %s, was %s", keyID, m.name, is, old.Value)
		default:
			continue
		}
		set(key, m.name, timeNode(m.at))
	}
}

// finish writes the file and parses it again, because an edit must give a valid policy.
func (e *editor) finish(doc []byte, file *yaml.Node) ([]byte, []string, error) {
	if len(e.changes) == 0 {
		return doc, nil, nil
	}
	spellNulls(file, false)
	var out bytes.Buffer
	w := yaml.NewEncoder(&out)
	w.SetIndent(2)
	if err := errors.Join(w.Encode(file), w.Close()); err != nil {
		return nil, nil, &fileError{err: err}
	}
	if _, err := Parse(out.Bytes()); err != nil {
		return nil, nil, fmt.Errorf("policy: the change is refused: %w", err)
	}
	return out.Bytes(), e.changes, nil
}

// spellNulls writes null for empty values in flow style. The encoder would make empty texts of them.
func spellNulls(n *yaml.Node, flow bool) {
	if flow && reviewed.IsNull(n) && n.Value == "" {
		n.Value = "null"
	}
	flow = flow || n.Style&yaml.FlowStyle != 0
	for _, child := range n.Content {
		spellNulls(child, flow)
	}
}

func findKey(file *yaml.Node, keyID string) *yaml.Node {
	for _, heading := range []string{"producers", "consumers"} {
		names := get(file.Content[0], heading)
		if names == nil {
			continue
		}
		for i := 1; i < len(names.Content); i += 2 {
			if list := get(names.Content[i], "keys"); list != nil && get(list, keyID) != nil {
				return child(list, keyID)
			}
		}
	}
	return nil
}

// get is the value of that name in a mapping, nil if absent.
func get(m *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i+1]
		}
	}
	return nil
}

// child is the mapping of that name. It is made if it is absent or null, and gets block style, because the
// caller adds content.
func child(m *yaml.Node, name string) *yaml.Node {
	c := get(m, name)
	if c == nil {
		c = mapping()
		set(m, name, c)
	}
	if c.Kind != yaml.MappingNode { // null, says Parse
		c.Kind, c.Tag, c.Value, c.Style = yaml.MappingNode, "!!map", "", 0
	}
	if len(c.Content) == 0 {
		c.Style &^= yaml.FlowStyle
	}
	return c
}

func set(m *yaml.Node, name string, value *yaml.Node) {
	if old := get(m, name); old != nil {
		value.HeadComment, value.LineComment, value.FootComment = old.HeadComment, old.LineComment,
			old.FootComment
		*old = *value
		return
	}
	m.Content = append(m.Content, text(name), value)
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

func list() *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle}
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func timeNode(t time.Time) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp",
		Value: t.UTC().Truncate(time.Second).Format(timeFormat)}
}
