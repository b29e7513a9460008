// Package reviewed reads YAML files that a person reviews before a program acts by them. It refuses what a
// reviewer could misread: characters that are not seen, texts that are not in the file as they are read,
// anchors, aliases, merge keys, tags, and fields that stand twice or are not known.
package reviewed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Error is a fault in a file, with its place.
type Error struct {
	Line   int // from 1; 0 = the whole file
	Column int // in characters, from 1; 0 = the whole line
	Err    error
}

// Error is "line 3, column 5: cause".
func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.Err.Error()
	case e.Column == 0:
		return fmt.Sprintf("line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("line %d, column %d: %v", e.Line, e.Column, e.Err)
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Document reads the one YAML document of a file. The caller has bounded its size. Each error is an *Error.
func Document(doc []byte) (*yaml.Node, error) {
	if err := visible(doc); err != nil {
		return nil, err
	}
	d := yaml.NewDecoder(bytes.NewReader(doc))
	var root, more yaml.Node
	if err := d.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, &Error{Err: err}
	}
	switch err := d.Decode(&more); {
	case err == nil:
		return nil, &Error{Line: more.Line, Err: errors.New("a second YAML document: only one is allowed")}
	case !errors.Is(err, io.EOF):
		return nil, &Error{Err: err}
	}
	if err := newText(doc).plain(&root); err != nil {
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
			return &Error{Line: line, Err: errors.New("not UTF-8")}
		case !lineEnd && !unicode.IsPrint(r):
			return &Error{Line: line,
				Err: fmt.Errorf("the character %U, which a reviewer does not see for what it is, "+
					"is not allowed anywhere", r)}
		case spaces > mostSpaces:
			return &Error{Line: line, Err: fmt.Errorf(
				"more than %d spaces in a row, behind which a reviewer does not look", mostSpaces)}
		case start && r == '%':
			return &Error{Line: line, Err: errors.New("YAML directives (%) are not allowed")}
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
	return &Error{Line: n.Line, Column: n.Column, Err: fmt.Errorf(format, args...)}
}

// Reader walks the nodes; its first error sticks.
type Reader struct{ Err error }

// Fail keeps the error, with the place of n, if it is the first.
func (r *Reader) Fail(n *yaml.Node, format string, args ...any) {
	if r.Err == nil {
		r.Err = failAt(n, format, args...)
	}
}

// Check fails if there is an error.
func (r *Reader) Check(n *yaml.Node, err error) {
	if err != nil {
		r.Fail(n, "%w", err)
	}
}

// Fields calls read for each entry of a mapping; read reports whether it knows the field.
func (r *Reader) Fields(n *yaml.Node, what string, read func(key, value *yaml.Node) bool) {
	if IsNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.Fail(n, "%s must be a mapping", what)
		return
	}
	for i := 0; i < len(n.Content) && r.Err == nil; i += 2 {
		if !read(n.Content[i], n.Content[i+1]) {
			r.Fail(n.Content[i], "unknown field %q in %s", n.Content[i].Value, what)
		}
	}
}

// IsNull reports whether n is empty.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// Strings reads a list. It is never nil, because an empty list is not an absent one.
func (r *Reader) Strings(n *yaml.Node, tags ...string) []string {
	list := []string{}
	if n.Kind != yaml.SequenceNode {
		r.Fail(n, "a list must stand here, [] if it is empty")
		return list
	}
	for _, item := range n.Content {
		list = append(list, r.Scalar(item, tags...))
	}
	return list
}

// Scalar reads a single value with one of the tags, such as "!!str".
func (r *Reader) Scalar(n *yaml.Node, tags ...string) string {
	for _, tag := range tags {
		if n.Kind == yaml.ScalarNode && n.Tag == tag {
			return n.Value
		}
	}
	r.Fail(n, "a text must stand here: put it in quotes")
	return ""
}
