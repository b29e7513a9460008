// Package cfntest reads CloudFormation and SAM templates as the tests of the examples look at them, and holds
// them against the rules that every template of this project keeps: see Findings.
package cfntest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a template with its short tags written out: `!GetAtt A.Arn` is {"Fn::GetAtt": ["A", "Arn"]}.
type Template struct {
	Name      string         // of the file
	Document  map[string]any // the whole of it
	Resources map[string]Resource
}

// Resource is one of a template's.
type Resource struct {
	Type       string
	Properties map[string]any
	All        map[string]any // with DeletionPolicy and the like
}

// Read reads a template's file.
func Read(path string) (*Template, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(filepath.Base(path), doc)
}

// Parse reads a template.
func Parse(name string, doc []byte) (*Template, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(doc, &node); err != nil {
		return nil, err
	}
	if len(node.Content) != 1 {
		return nil, fmt.Errorf("%s: not one document", name)
	}
	v, err := value(node.Content[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t := &Template{Name: name, Document: object(v), Resources: make(map[string]Resource)}
	for id, r := range object(t.Document["Resources"]) {
		all := object(r)
		typ, _ := all["Type"].(string)
		t.Resources[id] = Resource{Type: typ, Properties: object(all["Properties"]), All: all}
	}
	if len(t.Resources) == 0 {
		return nil, fmt.Errorf("%s: no resources", name)
	}
	return t, nil
}

func value(n *yaml.Node) (any, error) {
	v, err := untagged(n)
	if err != nil || !strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!") {
		return v, err
	}
	switch function := n.Tag[1:]; function {
	case "Ref", "Condition":
		return map[string]any{function: v}, nil
	case "GetAtt":
		id, attribute, _ := strings.Cut(fmt.Sprint(v), ".")
		return map[string]any{"Fn::GetAtt": []any{id, attribute}}, nil
	default:
		return map[string]any{"Fn::" + function: v}, nil
	}
}

func untagged(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		return mapping(n)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			var err error
			if list[i], err = value(c); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.ScalarNode:
		return scalar(n)
	}
	return nil, fmt.Errorf("line %d: neither mapping, sequence nor scalar", n.Line)
}

func mapping(n *yaml.Node) (any, error) {
	m := make(map[string]any)
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if _, twice := m[name]; twice {
			return nil, fmt.Errorf("line %d: %s is there twice", n.Content[i].Line, name)
		}
		v, err := value(n.Content[i+1])
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

func scalar(n *yaml.Node) (any, error) {
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") {
		return n.Value, nil
	}
	var v any
	err := n.Decode(&v)
	return v, err
}

// Plain is v with each reference as text, as Fn::Sub would have it: {"Ref": "A"} is "${A}", {"Fn::GetAtt":
// ["A", "Arn"]} is "${A.Arn}".
func Plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if text, ok := reference(v); ok {
			return text
		}
		m := make(map[string]any, len(v))
		for name, member := range v {
			m[name] = Plain(member)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = Plain(v[i])
		}
		return list
	}
	return v
}

func reference(m map[string]any) (string, bool) {
	if len(m) != 1 {
		return "", false
	}
	if id, ok := m["Ref"].(string); ok {
		return "${" + id + "}", true
	}
	if parts, ok := m["Fn::GetAtt"].([]any); ok {
		return fmt.Sprintf("${%v.%v}", parts[0], parts[1]), true
	}
	text, ok := m["Fn::Sub"].(string)
	return text, ok
}

// OfType are the resources of a type, by their IDs in order.
func (t *Template) OfType(typ string) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(t.Resources)) {
		if t.Resources[id].Type == typ {
			ids = append(ids, id)
		}
	}
	return ids
}

// Get is what is at a path below v, nil if there is nothing.
func Get(v any, path ...string) any {
	for _, name := range path {
		v = object(v)[name]
	}
	return v
}

// List is v as a list: one thing is a list of one, nothing is none.
func List(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// walk calls visit with every value below v, and v.
func walk(v any, visit func(any)) {
	visit(v)
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			walk(v[name], visit)
		}
	case []any:
		for _, member := range v {
			walk(member, visit)
		}
	}
}
