package localaws

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// pattern is an event pattern, or a part of one: either fields that must all match, or values of which one
// must.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
type pattern struct {
	fields map[string]*pattern
	values []condition
}

// condition judges one value of an event. A field that is absent is nil with present false.
type condition func(value any, present bool) bool

func parsePattern(text string) (*pattern, error) {
	v, err := decode([]byte(text))
	if err != nil {
		return nil, errors.New("it is not valid JSON")
	}
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 {
		return nil, errors.New("Filter is not an object") // in the service's words
	}
	return parseFields(object)
}

// decode reads one JSON value, with numbers as they are spelled.
func decode(doc []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

func parseFields(object map[string]any) (*pattern, error) {
	p := &pattern{fields: map[string]*pattern{}}
	for name, v := range object {
		var err error
		switch v := v.(type) {
		case map[string]any:
			if len(v) == 0 {
				return nil, fmt.Errorf("Empty objects are not allowed: %q", name)
			}
			p.fields[name], err = parseFields(v)
		case []any:
			p.fields[name], err = parseValues(v)
		default:
			err = fmt.Errorf("%q must be an object or an array", name)
		}
		if strings.HasPrefix(name, "$") {
			err = fmt.Errorf("the fake has no operator %q", name)
		}
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func parseValues(list []any) (*pattern, error) {
	if len(list) == 0 {
		return nil, errors.New("Empty arrays are not allowed")
	}
	p := &pattern{}
	for _, v := range list {
		c, err := parseCondition(v)
		if err != nil {
			return nil, err
		}
		p.values = append(p.values, c)
	}
	return p, nil
}

func parseCondition(v any) (condition, error) {
	object, isObject := v.(map[string]any)
	if _, isArray := v.([]any); isArray {
		return nil, errors.New("Match value must be String, number, true, false, or null")
	}
	if !isObject {
		return equals(v), nil
	}
	if len(object) != 1 {
		return nil, errors.New("Only one key allowed in match expression")
	}
	for name, arg := range object {
		return parseOperator(name, arg)
	}
	panic("unreachable: the object has one member")
}

// parseOperator knows some of the operators that the service has.
func parseOperator(name string, arg any) (condition, error) {
	switch name {
	case "prefix":
		return parsePrefix(arg)
	case "anything-but":
		return parseAnythingBut(arg)
	case "exists":
		return parseExists(arg)
	case "numeric":
		return parseNumeric(arg)
	}
	return nil, fmt.Errorf("Unrecognized match type %s", name)
}

// equals compares as the service does: numbers by their spelling.
func equals(want any) condition {
	return func(v any, present bool) bool { return present && v == want }
}

func parsePrefix(arg any) (condition, error) {
	prefix, ok := arg.(string)
	if !ok {
		return nil, errors.New("prefix match pattern must be a string")
	}
	return func(v any, _ bool) bool {
		s, ok := v.(string)
		return ok && strings.HasPrefix(s, prefix)
	}, nil
}

// parseAnythingBut takes a value, a list of them, or a prefix.
func parseAnythingBut(arg any) (condition, error) {
	var not []condition
	switch arg := arg.(type) {
	case map[string]any:
		prefix, err := parseCondition(arg)
		if arg["prefix"] == nil || err != nil {
			return nil, errors.New("Unsupported anything-but pattern")
		}
		not = []condition{prefix}
	case []any:
		for _, v := range arg {
			if !isTextOrNumber(v) {
				return nil, errors.New("Inside anything but list, start|null|boolean is not supported.")
			}
			not = append(not, equals(v))
		}
	default:
		if !isTextOrNumber(arg) {
			return nil, errors.New("Value of anything-but must be an array or single string/number value.")
		}
		not = []condition{equals(arg)}
	}
	if len(not) == 0 {
		return nil, errors.New("Empty arrays are not allowed")
	}
	return func(v any, present bool) bool {
		return present && !slices.ContainsFunc(not, func(c condition) bool { return c(v, true) })
	}, nil
}

func isTextOrNumber(v any) bool {
	switch v.(type) {
	case string, json.Number:
		return true
	}
	return false
}

func parseExists(arg any) (condition, error) {
	want, ok := arg.(bool)
	if !ok {
		return nil, errors.New("exists match pattern must be either true or false.")
	}
	return func(_ any, present bool) bool { return present == want }, nil
}

// parseNumeric takes comparisons that must all hold: [">", 0, "<=", 5].
func parseNumeric(arg any) (condition, error) {
	list, ok := arg.([]any)
	if !ok || len(list) == 0 || len(list)%2 != 0 {
		return nil, errors.New("Invalid numeric match: it must be a list of operators and numbers")
	}
	var all []func(float64) bool
	for i := 0; i < len(list); i += 2 {
		op, _ := list[i].(string)
		n, ok := list[i+1].(json.Number)
		bound, err := n.Float64()
		compare := comparisons[op]
		if !ok || err != nil || compare == nil {
			return nil, fmt.Errorf("Invalid numeric match: %v %v", list[i], list[i+1])
		}
		all = append(all, func(f float64) bool { return compare(f, bound) })
	}
	return func(v any, _ bool) bool {
		n, ok := v.(json.Number)
		f, err := n.Float64()
		return ok && err == nil && !slices.ContainsFunc(all, func(c func(float64) bool) bool { return !c(f) })
	}, nil
}

var comparisons = map[string]func(a, b float64) bool{
	"<": func(a, b float64) bool { return a < b }, "<=": func(a, b float64) bool { return a <= b },
	">": func(a, b float64) bool { return a > b }, ">=": func(a, b float64) bool { return a >= b },
	"=": func(a, b float64) bool { return a == b },
}

// matches holds an event, or a part of one, against the pattern. Of an array one element must match.
func (p *pattern) matches(v any) bool { return p.match(v, true) }

func (p *pattern) match(v any, present bool) bool {
	if list, ok := v.([]any); ok && len(list) > 0 {
		return slices.ContainsFunc(list, func(e any) bool { return p.match(e, true) })
	}
	if p.fields == nil {
		return p.matchValue(v, present)
	}
	object, _ := v.(map[string]any)
	for name, sub := range p.fields {
		value, present := object[name]
		if !sub.match(value, present) {
			return false
		}
	}
	return true
}

// matchValue judges a leaf: for the service, an object or an empty array is not one, and does not exist.
func (p *pattern) matchValue(v any, present bool) bool {
	switch v.(type) {
	case map[string]any, []any:
		v, present = nil, false
	}
	return slices.ContainsFunc(p.values, func(c condition) bool { return c(v, present) })
}
