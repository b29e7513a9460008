package policy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Parse reads a policy file and checks all of it. Its error names the line and the column.
func Parse(doc []byte) (*Policy, error) {
	root, err := document(doc)
	if err != nil {
		return nil, err
	}
	p := &parser{listed: map[string]int{}}
	p.file(root)
	if p.err != nil {
		return nil, p.err
	}
	return &p.policy, nil
}

// document reads the one YAML document and refuses everything that a reviewer could misread.
func document(doc []byte) (*yaml.Node, error) {
	if len(doc) > keydoc.MaxPolicy {
		return nil, &fileError{err: fmt.Errorf("more than %d bytes", keydoc.MaxPolicy)}
	}
	if damage := filekind.Damage(doc); damage != nil {
		return nil, &fileError{line: 1, err: damage}
	}
	if is := filekind.Of(doc); is != "" && is != filekind.Policy {
		return nil, &fileError{err: fmt.Errorf("this is %s, not a policy file", is)}
	}
	if err := visible(doc); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(doc))
	var root, more yaml.Node
	if err := d.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, &fileError{err: err}
	}
	switch err := d.Decode(&more); {
	case err == nil:
		return nil,
			&fileError{line: more.Line, err: errors.New("a second YAML document: only one is allowed")}
	case !errors.Is(err, io.EOF):
		return nil, &fileError{err: err}
	}
	t := newText(doc)
	if err := t.plain(&root); err != nil {
		return nil, err
	}
	return root.Content[0], nil
}

// mostSpaces is how many spaces may stand in a row: enough to align comments.
const mostSpaces = 100

// visible refuses what a reviewer does not see, or sees in another place than YAML does: YAML also ends a
// line at a lone carriage return, U+0085, U+2028 and U+2029, so that what a diff shows as the rest of a
// comment would be live. A tab, a byte order mark and directives are refused with them: nothing needs them.
// So are more spaces in a row than a screen is wide: what stands behind them is not on it.
func visible(doc []byte) error {
	line, start, spaces := 1, true, 0
	for i := 0; i < len(doc); {
		r, size := utf8.DecodeRune(doc[i:])
		if spaces++; r != ' ' {
			spaces = 0
		}
		lineEnd := r == '\n' || r == '\r' && bytes.HasPrefix(doc[i+size:], []byte("\n"))
		switch {
		case r == utf8.RuneError && size == 1:
			return &fileError{line: line, err: errors.New("not UTF-8")}
		case !lineEnd && !unicode.IsPrint(r):
			return &fileError{line: line,
				err: fmt.Errorf("the character %U, which a reviewer does not see for what it is, is not allowed anywhere", r)}
		case spaces > mostSpaces:
			return &fileError{line: line, err: fmt.Errorf(
				"more than %d spaces in a row, behind which a reviewer does not look", mostSpaces)}
		case start && r == '%':
			return &fileError{line: line, err: errors.New("YAML directives (%) are not allowed")}
		}
		if start = r == '\n'; start {
			line++
		}
		i += size
	}
	return nil
}

// fileText is the file as the parser counts it: in characters of lines.
type fileText struct {
	runes []rune
	lines []int // where each begins
}

func newText(doc []byte) *fileText {
	t := &fileText{runes: []rune(string(doc)), lines: []int{0}}
	for i, r := range t.runes {
		if r == '\n' {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// tagged reports whether n begins with "!". The parser drops the tag that is nothing else, which would
// otherwise make a text of whatever follows.
func (t *fileText) tagged(n *yaml.Node) bool {
	if n.Style&yaml.TaggedStyle != 0 {
		return true
	}
	if n.Line < 1 || n.Line > len(t.lines) {
		return false
	}
	at := t.lines[n.Line-1] + n.Column - 1
	return at >= 0 && at < len(t.runes) && t.runes[at] == '!'
}

// plain refuses anchors, aliases, merge keys, tags and duplicate keys anywhere below n.
func (t *fileText) plain(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode:
		return failAt(n, "YAML aliases (*%s) are not allowed: write it out", n.Value)
	case n.Anchor != "":
		return failAt(n, "YAML anchors (&%s) are not allowed", n.Anchor)
	case t.tagged(n):
		return failAt(n, "YAML tags (!) are not allowed")
	case n.Kind == yaml.ScalarNode:
		return t.readable(n)
	}
	for _, child := range n.Content {
		if err := t.plain(child); err != nil {
			return err
		}
	}
	if n.Kind == yaml.MappingNode {
		return plainKeys(n)
	}
	return nil
}

// readable refuses a text that is not in the file as it is read: letter by letter, in one line. In "\x2a" a
// reviewer does not see the "*", and a text of several lines is joined by rules that few know by heart.
func (t *fileText) readable(n *yaml.Node) error {
	for _, r := range n.Value {
		switch {
		case unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
			r == braille:
			return failAt(n, "the character %U, which a reviewer does not see, is not allowed in a text", r)
		case r > '\uffff': // the next edit would escape it
			return failAt(n, "the character %U is not allowed in a text: YAML writers escape it", r)
		}
	}
	var want string
	switch n.Style &^ yaml.FlowStyle {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		return failAt(n, "a text of several lines (| or >) is not allowed: write it in one line, in quotes")
	case yaml.DoubleQuotedStyle:
		want = `"` + n.Value + `"`
	case yaml.SingleQuotedStyle:
		want = "'" + strings.ReplaceAll(n.Value, "'", "''") + "'"
	default:
		want = n.Value
	}
	if strings.HasPrefix(t.from(n, utf8.RuneCountInString(want)), want) {
		return nil
	}
	line, _, _ := strings.Cut(t.from(n, len(t.runes)), "\n")
	if n.Style&yaml.DoubleQuotedStyle != 0 && strings.Contains(line, `\`) {
		return failAt(n,
			`escapes (\) are not allowed in a text, since a reviewer does not see what they stand for: `+
				`write the character itself, or use single quotes`)
	}
	return failAt(n, "a text of several lines is not allowed: write it in one line")
}

// braille is the pattern of no dots, which looks like a space.
const braille = '\u2800'

// from is the file from where n begins, at most so many characters.
func (t *fileText) from(n *yaml.Node, most int) string {
	if n.Line < 1 || n.Line > len(t.lines) {
		return ""
	}
	at := t.lines[n.Line-1] + n.Column - 1
	if at < 0 || at > len(t.runes) {
		return ""
	}
	return string(t.runes[at:min(at+most, len(t.runes))])
}

func plainKeys(n *yaml.Node) error {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			return failAt(key, "a key that is not a name")
		case key.Tag == "!!merge" || key.Value == "<<":
			return failAt(key, "YAML merge keys (<<) are not allowed: write it out")
		case seen[key.Value] != 0:
			return failAt(key, "%q stands twice, first in line %d", key.Value, seen[key.Value])
		}
		seen[key.Value] = key.Line
	}
	return nil
}

func failAt(n *yaml.Node, format string, args ...any) error {
	return &fileError{line: n.Line, column: n.Column, err: fmt.Errorf(format, args...)}
}

// parser walks the nodes; its first error sticks.
type parser struct {
	policy Policy
	listed map[string]int // line by key ID: an ID is listed once in the whole file
	err    error
}

func (p *parser) fail(n *yaml.Node, format string, args ...any) {
	if p.err == nil {
		p.err = failAt(n, format, args...)
	}
}

// fields calls read for each entry of a mapping; read reports whether it knows the field.
func (p *parser) fields(n *yaml.Node, what string, read func(key, value *yaml.Node) bool) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping", what)
		return
	}
	for i := 0; i < len(n.Content) && p.err == nil; i += 2 {
		if !read(n.Content[i], n.Content[i+1]) {
			p.fail(n.Content[i], "unknown field %q in %s", n.Content[i].Value, what)
		}
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (p *parser) file(root *yaml.Node) {
	version := ""
	p.fields(root, "the policy", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "version":
			version = value.Value
		case "refresh_hint":
			p.policy.RefreshHint = p.duration(value, keydoc.MaxRefreshHint)
		case "cache":
			p.policy.Cache = p.duration(value, keydoc.MaxCache)
		case "in_flight":
			p.policy.InFlight = p.duration(value, maxInFlight)
		case "producers":
			p.fields(value, "producers", p.producer)
		case "consumers":
			p.fields(value, "consumers", p.consumer)
		default:
			return false
		}
		return true
	})
	if version != "1" {
		p.fail(root, `"version: 1" is missing: this program reads no other version`)
	}
}

func (p *parser) producer(name, n *yaml.Node) bool {
	out := Producer{Name: p.name(name)}
	p.fields(n, "producer "+name.Value, func(key, value *yaml.Node) bool {
		switch key.Value {
		case "sources":
			out.Sources = p.strings(value, "!!str")
			p.check(value, keys.CheckScope(out.Sources, nil))
		case "types":
			out.Types = p.strings(value, "!!str")
			p.check(value, keys.CheckScope(nil, out.Types))
		case "accounts":
			out.Accounts = p.strings(value, "!!str", "!!int", "!!float") // the digits as written
			p.check(value, keydoc.CheckAccounts(out.Accounts))
		case "keys":
			out.Keys = p.keys(value)
		default:
			return false
		}
		return true
	})
	p.policy.Producers = append(p.policy.Producers, out)
	return true
}

func (p *parser) consumer(name, n *yaml.Node) bool {
	out := Consumer{Name: p.name(name)}
	p.fields(n, "consumer "+name.Value, func(key, value *yaml.Node) bool {
		if key.Value != "keys" {
			return false
		}
		out.Keys = p.keys(value)
		return true
	})
	p.policy.Consumers = append(p.policy.Consumers, out)
	return true
}

func (p *parser) name(n *yaml.Node) string {
	p.check(n, keys.CheckProducer(n.Value))
	return n.Value
}

func (p *parser) check(n *yaml.Node, err error) {
	if err != nil {
		p.fail(n, "%w", err)
	}
}

// strings reads a list. It is never nil, because an empty list is not an absent one.
func (p *parser) strings(n *yaml.Node, tags ...string) []string {
	list := []string{}
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "a list must stand here, [] if it is empty")
		return list
	}
	for _, item := range n.Content {
		list = append(list, p.scalar(item, tags...))
	}
	return list
}

func (p *parser) scalar(n *yaml.Node, tags ...string) string {
	for _, tag := range tags {
		if n.Kind == yaml.ScalarNode && n.Tag == tag {
			return n.Value
		}
	}
	p.fail(n, "a text must stand here: put it in quotes")
	return ""
}

func (p *parser) keys(n *yaml.Node) []Key {
	var list []Key
	p.fields(n, "keys", func(id, value *yaml.Node) bool {
		list = append(list, p.key(id, value))
		return true
	})
	return list
}

func (p *parser) key(id, n *yaml.Node) Key {
	k := Key{ID: id.Value, line: id.Line}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(k.ID); err != nil || len(sum) != 32 ||
		len(k.ID) != 43 {
		p.fail(id, "%q is not a key ID (43 characters): take it from the public key", k.ID)
	}
	if line := p.listed[k.ID]; line != 0 {
		p.fail(id, "key %s is listed twice, first in line %d: a key belongs to one name", k.ID, line)
	}
	p.listed[k.ID] = id.Line
	p.fields(n, "key "+k.ID, func(key, value *yaml.Node) bool { return p.keyField(&k, key.Value, value) })
	p.check(id, k.Schedule.Check())
	return k
}

func (p *parser) keyField(k *Key, name string, value *yaml.Node) bool {
	switch name {
	case "published":
		k.Schedule.Published = p.time(value)
	case "active":
		k.Schedule.Active = p.time(value)
	case "retired":
		k.Schedule.Retired = p.time(value)
	case "expired":
		k.Schedule.Expired = p.time(value)
	case "revoked":
		k.Revoked = p.revocation(value)
	case "tainted":
		k.Tainted, k.TaintReason = true, p.taint(value)
	default:
		return false
	}
	return true
}

func (p *parser) revocation(n *yaml.Node) *trust.Revocation {
	r := &trust.Revocation{}
	p.fields(n, "revoked", func(key, value *yaml.Node) bool {
		switch key.Value {
		case "at":
			r.At = p.time(value)
		case "reason":
			r.Reason = p.scalar(value, "!!str")
		default:
			return false
		}
		return true
	})
	p.check(n, keydoc.CheckRevocation(r.At, r.Reason))
	return r
}

// taint is the reason of a taint: tainted is true, or {reason: TEXT}.
func (p *parser) taint(n *yaml.Node) (reason string) {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		p.fields(n, "tainted", func(key, value *yaml.Node) bool {
			reason = p.scalar(value, "!!str")
			return key.Value == "reason"
		})
		p.check(n, checkTaint(reason))
	case n.Kind != yaml.ScalarNode || n.Value != "true" || n.Tag != "!!bool":
		p.fail(n, "tainted is neither true nor {reason: TEXT}: a key that is not tainted lacks it")
	}
	return reason
}

// checkTaint refuses what is no reason of a revocation either.
func checkTaint(reason string) error {
	if reason == "" || len(reason) > keydoc.MaxReason || !keydoc.Printable(reason) {
		return fmt.Errorf("the reason of a taint is not 1 to %d printable bytes", keydoc.MaxReason)
	}
	return nil
}

// maxInFlight bounds the time for which an event may be in flight. SQS keeps one for 14 days in each queue.
const maxInFlight = 400 * 24 * time.Hour

func (p *parser) duration(n *yaml.Node, most time.Duration) time.Duration {
	text := p.scalar(n, "!!str")
	d, err := howlong.Parse(text)
	if err != nil || d < time.Second || d > most || d%time.Second != 0 {
		p.fail(n, "%q is not a duration like 5m, 36h or 14d, in whole seconds up to %s", text,
			howlong.Short(most))
	}
	return d
}

func (p *parser) time(n *yaml.Node) time.Time {
	text := p.scalar(n, "!!timestamp", "!!str")
	t, err := time.Parse(timeFormat, text)
	if err != nil || t.Format(timeFormat) != text || t.IsZero() {
		p.fail(n, "%q is not a time in UTC like 2026-01-31T00:00:00Z", text)
	}
	return t
}
