package schema

import (
	"cmp"
	"encoding/json"
	"hash/maphash"
	"maps"
	"math/big"
	"slices"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// MaxSteps is how many steps one validation may take. A step is one subschema that judges one value, about
// 300 ns; what costs more counts as several.
const MaxSteps = 2_000_000

// counter counts the steps of a validation before it is run. It follows all subschemas that may judge a
// value, also those that the library may skip: it never counts fewer than the library takes.
type counter struct {
	*graph
	left  int
	cause string // why it ended early, if not for the steps
}

// Why data is refused before it is judged.
const (
	tooManySteps = "judging it would take too many steps"
	otherCase    = "a member has a name of the schema in another case"
)

// refusal is why v is not given to the library; "" = it is.
func (g *graph) refusal(root *jsonschema.Schema, v any) string {
	c := counter{graph: g, left: MaxSteps}
	if c.judge(root, v, 0) {
		return ""
	}
	return cmp.Or(c.cause, tooManySteps)
}

// pay takes steps from what is left; false = there are not as many.
func (c *counter) pay(steps int) bool {
	c.left -= steps
	return steps >= 0 && c.left >= 0
}

// payCost takes the steps of one subschema on a value, depth levels below the top. A fault keeps its
// location, so that it costs memory by its depth.
func (c *counter) payCost(w cost, depth int) bool {
	return c.pay(w.steps + w.faults*(faultSteps+depth/3))
}

// judge counts the steps of one subschema on one value.
func (c *counter) judge(s *jsonschema.Schema, v any, depth int) bool {
	n := c.nodes[s]
	if n == nil { // the graph has all subschemas
		return false
	}
	if !c.payCost(n.any, depth) {
		return false
	}
	if d := s.DynamicRef; d != nil && d.Anchor != "" { // all that are under way are asked for the anchor
		if !c.pay(8 * (depth + 1)) {
			return false
		}
	}
	for _, next := range n.here {
		if !c.judge(next, v, depth) {
			return false
		}
	}
	switch v := v.(type) {
	case map[string]any:
		return c.pay(n.enum.all) && c.payCost(n.object, depth) && c.object(s, v, depth)
	case []any:
		return c.pay(n.enum.all) && c.payCost(n.array, depth) && c.array(s, v, depth)
	case string:
		return c.pay(n.enum.others/8) && c.payCost(n.text, depth) && c.text(s, v)
	case json.Number:
		return c.pay(n.enum.numbers) && c.payCost(n.number, depth) &&
			c.pay((n.digits+n.enum.digits)*digitSteps(v))
	}
	return c.pay(n.enum.others / 8)
}

func (c *counter) object(s *jsonschema.Schema, v map[string]any, depth int) bool {
	walks := 1
	if c.evaluates {
		walks += 2 // the names that are not evaluated yet are copied and merged
	}
	if s.AdditionalProperties == false {
		walks++ // the names are collected
	}
	if !c.pay(walks * len(v)) {
		return false
	}
	for name, value := range v {
		matched := false
		if p, ok := s.Properties[name]; ok {
			matched = true
			if !c.judge(p, value, depth+1) {
				return false
			}
		}
		for re, p := range s.PatternProperties {
			if !c.pay(costOf(re, name)) {
				return false
			}
			if re.MatchString(name) {
				matched = true
				if !c.judge(p, value, depth+1) {
					return false
				}
			}
		}
		if !c.sameCase(c.nodes[s], name) {
			return false
		}
		if p, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && !matched {
			if !c.judge(p, value, depth+1) {
				return false
			}
		}
		if p := s.UnevaluatedProperties; p != nil && !c.judge(p, value, depth+1) {
			return false
		}
		if p := s.PropertyNames; p != nil && !(c.payCost(cost{judgeSteps, 1}, depth) && c.judge(p, name, depth+1)) {
			return false
		}
	}
	return true
}

// sameCase refuses a member that has a name of the schema in another case.
func (c *counter) sameCase(n *node, name string) bool {
	if n.names[name] || len(n.folded) == 0 {
		return true
	}
	if !c.pay(1 + len(name)/32) {
		return false
	}
	if n.folded[fold(name)] {
		c.cause = otherCase
		return false
	}
	return true
}

// fold is a name as encoding/json compares it with the names of struct fields: without case. A handler that
// reads {"count":1,"COUNT":-5} with it gets -5, and a schema for count never sees that. So such a member is
// refused.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for { // to the smallest of all runes that differ in case only
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

func (c *counter) array(s *jsonschema.Schema, v []any, depth int) bool {
	if (c.evaluates || s.Contains != nil) && !c.pay(len(v)) { // indexes are collected
		return false
	}
	if s.UniqueItems && !c.unique(v) {
		return false
	}
	each := func(p *jsonschema.Schema, from int) bool {
		if p == nil || from >= len(v) {
			return true
		}
		for _, e := range v[from:] {
			if !c.judge(p, e, depth+1) {
				return false
			}
		}
		return true
	}
	tuple := s.PrefixItems
	switch items := s.Items.(type) {
	case *jsonschema.Schema:
		if !each(items, 0) {
			return false
		}
	case []*jsonschema.Schema:
		tuple = items
	}
	for i, p := range tuple[:min(len(tuple), len(v))] {
		if !c.judge(p, v[i], depth+1) {
			return false
		}
	}
	rest, _ := s.AdditionalItems.(*jsonschema.Schema)
	return each(rest, len(tuple)) && each(s.Items2020, len(tuple)) && each(s.Contains, 0) &&
		each(s.UnevaluatedItems, 0)
}

func (c *counter) text(s *jsonschema.Schema, v string) bool {
	steps := 0
	if s.MinLength != nil || s.MaxLength != nil {
		steps += 1 + len(v)/64 // the text is copied, and its characters are counted
	}
	if f := s.Format; f != nil {
		if steps += len(v)/8 + 1; f.Name == "regex" {
			steps += regexSteps
		}
	}
	return c.pay(steps) && (s.Pattern == nil || c.pay(costOf(s.Pattern, v)))
}

// costOf is the cost of matching: linear in the text and in the program, as RE2 is.
func costOf(re jsonschema.Regexp, text string) int {
	instructions := maxInstructions
	if p, ok := re.(*pattern); ok {
		instructions = p.instructions
	}
	return 1 + (len(text)+1)*instructions/32
}

// unique counts what uniqueItems takes. The library compares all pairs of up to 20 elements. Of more, it
// compares those with the same hash, and the hash has no separators: an author of data can make many elements
// that share one.
func (c *counter) unique(v []any) bool {
	if len(v) <= 20 {
		for _, e := range v {
			if !c.pay(len(v) * sizeOf(e)) {
				return false
			}
		}
		return true
	}
	same := map[uint64]int{}
	var h maphash.Hash
	for _, e := range v {
		h.Reset()
		hashLikeLibrary(e, &h)
		sum := h.Sum64()
		size := sizeOf(e)
		if !c.pay(2*size + same[sum]*size) {
			return false
		}
		same[sum]++
	}
	return true
}

// hashLikeLibrary gives two values one hash whenever the library does.
func hashLikeLibrary(v any, h *maphash.Hash) {
	switch v := v.(type) {
	case map[string]any:
		_ = h.WriteByte(0)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			hashLikeLibrary(name, h)
			hashLikeLibrary(v[name], h)
		}
	case []any:
		_ = h.WriteByte(1)
		for _, e := range v {
			hashLikeLibrary(e, h)
		}
	case nil:
		_ = h.WriteByte(2)
	case bool:
		_ = h.WriteByte(3)
		if v {
			_ = h.WriteByte(1)
		} else {
			_ = h.WriteByte(0)
		}
	case string:
		_ = h.WriteByte(4)
		_, _ = h.WriteString(v)
	case json.Number:
		_ = h.WriteByte(5)
		if r, ok := new(big.Rat).SetString(string(v)); ok {
			_, _ = h.Write(r.Num().Bytes())
			_, _ = h.Write(r.Denom().Bytes())
		}
	}
}
