package schema

import (
	"encoding/json"
	"math/big"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Weights, in steps. BenchmarkWorst measures that they are enough.
const (
	judgeSteps  = 2      // a subschema that judges a value
	faultSteps  = 5      // a fault: it keeps 250 bytes until the end of the validation
	numberSteps = 2      // a number that is read exactly
	regexSteps  = 40_000 // the format "regex": each value is compiled
)

// cost is what one subschema takes on one value.
type cost struct {
	steps  int
	faults int // that it can find
}

// weights are the costs of one subschema, without those that it applies.
type weights struct {
	any, object, array, text, number cost // object to number: beside any
	digits                           int  // how often the digits of a number are worked on
	enum                             enumCost
}

// weigh computes the weights of a subschema. A keyword that may fail is a fault, because all are kept.
func weigh(s *jsonschema.Schema) (w weights) {
	if s.Bool != nil {
		return weights{any: cost{judgeSteps, count(!*s.Bool)}}
	}
	w.any = cost{judgeSteps, count(s.Types != nil || s.Const != nil || s.Enum != nil || s.Format != nil,
		s.Ref != nil, s.DynamicRef != nil, s.AllOf != nil, s.AnyOf != nil, s.OneOf != nil, s.Not != nil)}
	w.object.faults = count(s.MinProperties != nil, s.MaxProperties != nil, s.Required != nil,
		s.AdditionalProperties == false) + len(s.Dependencies) + len(s.DependentRequired)
	w.object.steps = len(s.Required) + len(s.DependentSchemas)
	for _, dep := range s.Dependencies {
		if list, ok := dep.([]string); ok {
			w.object.steps += len(list)
		}
	}
	for _, list := range s.DependentRequired {
		w.object.steps += len(list)
	}
	w.array.faults = count(s.MinItems != nil, s.MaxItems != nil, s.UniqueItems, s.Contains != nil,
		s.MaxContains != nil, s.AdditionalItems == false)
	w.text.faults = count(s.MinLength != nil, s.MaxLength != nil, s.Pattern != nil)
	w.weighNumber(s)
	w.enum = costOfEnum(s)
	return w
}

// weighNumber adds what is computed exactly. A quotient is reduced, in quadratic time.
func (w *weights) weighNumber(s *jsonschema.Schema) {
	if s.Types != nil && slices.Contains(s.Types.ToStrings(), "integer") {
		w.number.steps += numberSteps
		w.digits++
	}
	for _, bound := range []*big.Rat{s.Minimum, s.Maximum, s.ExclusiveMinimum, s.ExclusiveMaximum,
		s.MultipleOf} {
		if bound == nil {
			continue
		}
		bits := bound.Num().BitLen() + bound.Denom().BitLen()
		w.number.faults++
		w.number.steps += 1 + bits/128
		w.digits++
		if bound == s.MultipleOf {
			w.number.steps += bits / 32
			w.digits += 4
		}
	}
	if w.number.faults > 0 {
		w.number.steps += numberSteps
	}
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// enumCost is what comparing a value with an enum or a const takes: that of numbers, which are compared
// exactly, of strings and other scalars, and of all, for an object or an array.
type enumCost struct {
	numbers, others, all int
	digits               int // how often the digits of a number are worked on
}

func costOfEnum(s *jsonschema.Schema) (c enumCost) {
	var values []any
	if s.Enum != nil {
		values = append(values, s.Enum.Values...)
	}
	if s.Const != nil {
		values = append(values, *s.Const)
	}
	for _, v := range values {
		switch v := v.(type) {
		case json.Number:
			c.numbers += sizeOf(v)
			c.digits++
		case map[string]any, []any:
		default:
			c.others++
		}
		c.all += worstSize(v)
	}
	return c
}

// sizeOf is how many steps it takes to compare or to hash a value.
func sizeOf(v any) int {
	switch v := v.(type) {
	case json.Number:
		return 2*numberSteps + digitSteps(v)
	case string:
		return 1 + len(v)/1024
	case []any:
		size := 1
		for _, e := range v {
			size += sizeOf(e)
		}
		return size
	case map[string]any:
		size := 1
		for name, e := range v {
			size += 1 + len(name)/1024 + sizeOf(e)
		}
		return size
	}
	return 1
}

// worstSize is sizeOf, where numbers are compared with the longest ones that data may have.
func worstSize(v any) int {
	switch v := v.(type) {
	case json.Number:
		return 2*numberSteps + 2*(maxExponent+maxNumber)/digitsPerStep
	case []any:
		size := 1
		for _, e := range v {
			size += worstSize(e)
		}
		return size
	case map[string]any:
		size := 1
		for name, e := range v {
			size += 1 + len(name)/1024 + worstSize(e)
		}
		return size
	}
	return sizeOf(v)
}

// digitsPerStep is how many decimal digits are worked on in one step.
const digitsPerStep = 32

func digitSteps(n json.Number) int { return (magnitude(string(n)) + len(n)) / digitsPerStep }
