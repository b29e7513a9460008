package schema

import (
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// maxChain is how deep subschemas that judge one value may nest. The library walks this chain at each step.
const maxChain = 64

// graph is a compiled schema as its bounds are judged by: each subschema once, with what it applies. It is
// read from the compiled schema, so that references are resolved by one rule, that of the library.
type graph struct {
	roots     []*jsonschema.Schema // the schema, and all subschemas with a $dynamicAnchor
	nodes     map[*jsonschema.Schema]*node
	anchors   map[string][]*jsonschema.Schema // by $dynamicAnchor
	names     map[string]bool                 // of members, for faults
	evaluates bool                            // some subschema has an unevaluated keyword
}

// node is one subschema.
type node struct {
	here []*jsonschema.Schema // judge the same value
	weights
	// folded are the names of its properties as readers that ignore case compare them.
	folded map[string]bool

	state        int // of the walk for width: 0 = new, 1 = under way, 2 = done
	width, chain int // how many subschemas judge one value, and how deep they nest
}

func newGraph() *graph {
	return &graph{nodes: map[*jsonschema.Schema]*node{}, anchors: map[string][]*jsonschema.Schema{},
		names: map[string]bool{}}
}

// build finds all subschemas, and refuses a schema that exceeds a bound.
func (g *graph) build() error {
	queue := slices.Clone(g.roots)
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s == nil || g.nodes[s] != nil {
			continue
		}
		if len(g.nodes) == MaxNodes {
			return fmt.Errorf("it has more than %d subschemas", MaxNodes)
		}
		n := &node{weights: weigh(s), folded: map[string]bool{}}
		for name := range s.Properties {
			n.folded[fold(name)] = true
		}
		g.nodes[s] = n
		n.here = inPlace(s)
		if s.DynamicAnchor != "" {
			g.anchors[s.DynamicAnchor] = append(g.anchors[s.DynamicAnchor], s)
		}
		if s.UnevaluatedItems != nil || s.UnevaluatedProperties != nil {
			g.evaluates = true
		}
		g.learnNames(s)
		queue = append(append(queue, n.here...), below(s)...)
		if s.DynamicRef != nil {
			queue = append(queue, s.DynamicRef.Ref)
		}
	}
	for s, n := range g.nodes { // all anchors are known only now
		if d := s.DynamicRef; d != nil && d.Anchor != "" {
			n.here = append(n.here, g.anchors[d.Anchor]...)
		}
		if s.RecursiveRef != nil {
			return fmt.Errorf("%s: $recursiveRef is not read", s.Location)
		}
	}
	for s := range g.nodes {
		if err := g.measure(s); err != nil {
			return err
		}
	}
	return nil
}

// measure computes width and chain of a subschema, and refuses a cycle: a subschema that judges the value
// that it is judging already would never end, and its result is undefined (2020-12 core, section 9.4.1).
func (g *graph) measure(s *jsonschema.Schema) error {
	n := g.nodes[s]
	switch n.state {
	case 1:
		return fmt.Errorf("%s: it leads back to itself without descending into the value", s.Location)
	case 2:
		return nil
	}
	n.state, n.width, n.chain = 1, 1, 1
	for _, next := range n.here {
		if err := g.measure(next); err != nil {
			return err
		}
		to := g.nodes[next]
		n.width += to.width
		n.chain = max(n.chain, to.chain+1)
		if n.width > MaxNodes {
			return fmt.Errorf("%s: more than %d subschemas judge one value", s.Location, MaxNodes)
		}
		if n.chain > maxChain {
			return fmt.Errorf("%s: subschemas nest deeper than %d without descending into the value",
				s.Location, maxChain)
		}
	}
	n.state = 2
	return nil
}

// inPlace are the subschemas that judge the same value, but for the other targets of a $dynamicRef. An if, a
// then and an else all count, and so does what depends on a member that may be absent.
func inPlace(s *jsonschema.Schema) (list []*jsonschema.Schema) {
	for _, one := range []*jsonschema.Schema{s.Ref, s.Not, s.If, s.Then, s.Else} {
		if one != nil {
			list = append(list, one)
		}
	}
	if s.DynamicRef != nil && s.DynamicRef.Ref != nil && s.DynamicRef.Anchor == "" {
		list = append(list, s.DynamicRef.Ref)
	}
	if d := s.DynamicRef; d != nil && d.Anchor != "" && d.Ref != nil && d.Ref.DynamicAnchor != d.Anchor {
		list = append(list, d.Ref) // a plain anchor: it is no dynamic reference
	}
	list = append(append(append(list, s.AllOf...), s.AnyOf...), s.OneOf...)
	for _, dep := range s.Dependencies {
		if one, ok := dep.(*jsonschema.Schema); ok {
			list = append(list, one)
		}
	}
	return slices.AppendSeq(list, maps.Values(s.DependentSchemas))
}

// below are the subschemas that judge members, names or elements of the value.
func below(s *jsonschema.Schema) (list []*jsonschema.Schema) {
	for _, one := range []*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020,
		s.UnevaluatedItems, s.ContentSchema} {
		if one != nil {
			list = append(list, one)
		}
	}
	list = slices.AppendSeq(list, maps.Values(s.Properties))
	list = slices.AppendSeq(list, maps.Values(s.PatternProperties))
	list = append(list, s.PrefixItems...)
	for _, v := range []any{s.AdditionalProperties, s.Items, s.AdditionalItems} {
		switch v := v.(type) {
		case *jsonschema.Schema:
			list = append(list, v)
		case []*jsonschema.Schema:
			list = append(list, v...)
		}
	}
	return list
}

// learnNames collects the names of members that the schema itself has.
func (g *graph) learnNames(s *jsonschema.Schema) {
	add := func(names ...string) {
		for _, n := range names {
			g.names[n] = true
		}
	}
	add(s.Required...)
	for n := range s.Properties {
		add(n)
	}
	for n, dep := range s.Dependencies {
		add(n)
		if names, ok := dep.([]string); ok {
			add(names...)
		}
	}
	for n, names := range s.DependentRequired {
		add(n)
		add(names...)
	}
	for n := range s.DependentSchemas {
		add(n)
	}
}
