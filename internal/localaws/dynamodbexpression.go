package localaws

import (
	"strings"
)

// A condition is made of comparisons (= <> < <= > >=) of an attribute with a value, attribute_exists,
// attribute_not_exists, AND, OR and parentheses. An update is SET with values, REMOVE, or both in this order.
// DynamoDB has more, which the local one refuses.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html
const grammar = "The local DynamoDB takes = <> < <= > >= of an attribute and a value, attribute_exists, " +
	"attribute_not_exists, AND, OR and parentheses in a condition, and SET a = :b, ... REMOVE c, ... in an " +
	"update."

// Limits of expressions.
const (
	maxExpression = 4096 // bytes; that of DynamoDB
	maxNesting    = 32   // parentheses: enough for any condition that a person writes
)

// test is a condition on an item; nil = there is no item.
type test func(item attributes) bool

// expressions are those of a request, read.
type expressions struct {
	condition test // nil = none
	set       attributes
	remove    []string
}

func (e *expressions) holds(item attributes) bool { return e.condition == nil || e.condition(item) }

func (e *expressions) changes(name string) bool {
	if _, is := e.set[name]; is {
		return true
	}
	for _, removed := range e.remove {
		if removed == name {
			return true
		}
	}
	return false
}

// expressions reads the expressions. Like DynamoDB, it refuses names and values that none of them uses.
func (in *itemInput) expressions() (*expressions, error) {
	e := &expressions{}
	used := map[string]bool{}
	if in.ConditionExpression != nil {
		p, err := in.parse("ConditionExpression", *in.ConditionExpression, used)
		if err != nil {
			return nil, err
		}
		if e.condition, err = p.either(); err != nil {
			return nil, err
		}
		if !p.atEnd() {
			return nil, p.unexpected()
		}
	}
	if in.UpdateExpression != nil {
		p, err := in.parse("UpdateExpression", *in.UpdateExpression, used)
		if err != nil {
			return nil, err
		}
		if err := p.update(e); err != nil {
			return nil, err
		}
	}
	for _, name := range sortedKeys(in.ExpressionAttributeNames) {
		if !used[name] {
			return nil, unusedInExpressions("ExpressionAttributeNames", name)
		}
	}
	for _, name := range sortedKeys(in.ExpressionAttributeValues) {
		if !used[name] {
			return nil, unusedInExpressions("ExpressionAttributeValues", name)
		}
	}
	return e, nil
}

func unusedInExpressions(parameter, name string) error {
	return invalid("Value provided in %s unused in expressions: keys: {%s}", parameter, name)
}

// parser reads one expression from left to right.
type parser struct {
	in     *itemInput
	kind   string // which expression it is
	tokens []string
	used   map[string]bool
	depth  int
}

var expressionToken = expression(`^\s*([#:]?[A-Za-z0-9_]+|<=|>=|<>|[=<>(),])`)

func (in *itemInput) parse(kind, text string, used map[string]bool) (*parser, error) {
	p := &parser{in: in, kind: kind, used: used}
	if len(text) > maxExpression {
		return nil, invalid("Invalid %s: Expression size has exceeded the maximum allowed size", kind)
	}
	for rest := text; strings.TrimSpace(rest) != ""; {
		token := expressionToken().FindStringSubmatch(rest)
		if token == nil {
			return nil, invalid("Invalid %s: %.80q is not understood. %s", kind, rest, grammar)
		}
		p.tokens, rest = append(p.tokens, token[1]), rest[len(token[0]):]
	}
	return p, nil
}

func (p *parser) atEnd() bool { return len(p.tokens) == 0 }

// peek is the next token; "" = the end.
func (p *parser) peek() string {
	if p.atEnd() {
		return ""
	}
	return p.tokens[0]
}

// next takes the next token; "" = the end.
func (p *parser) next() (token string) {
	if token = p.peek(); token != "" {
		p.tokens = p.tokens[1:]
	}
	return token
}

// take takes the next token if it is this one.
func (p *parser) take(token string) bool {
	if p.peek() != token {
		return false
	}
	p.next()
	return true
}

func (p *parser) unexpected() error {
	at := p.peek()
	if at == "" {
		return invalid("Invalid %s: it ends too early. %s", p.kind, grammar)
	}
	return invalid("Invalid %s: %q is not expected there. %s", p.kind, at, grammar)
}

// either reads tests with OR between them.
func (p *parser) either() (test, error) {
	left, err := p.both()
	for err == nil && p.take("OR") {
		var right test
		first := left
		right, err = p.both()
		left = func(item attributes) bool { return first(item) || right(item) }
	}
	return left, err
}

// both reads tests with AND between them.
func (p *parser) both() (test, error) {
	left, err := p.single()
	for err == nil && p.take("AND") {
		var right test
		first := left
		right, err = p.single()
		left = func(item attributes) bool { return first(item) && right(item) }
	}
	return left, err
}

func (p *parser) single() (test, error) {
	if p.take("(") {
		if p.depth++; p.depth > maxNesting {
			return nil, invalid("Invalid %s: it is nested too deeply", p.kind)
		}
		inner, err := p.either()
		p.depth--
		if err == nil && !p.take(")") {
			err = p.unexpected()
		}
		return inner, err
	}
	for function, there := range map[string]bool{"attribute_exists": true, "attribute_not_exists": false} {
		if p.take(function) {
			return p.exists(there)
		}
	}
	return p.comparison()
}

func (p *parser) exists(want bool) (test, error) {
	if !p.take("(") {
		return nil, p.unexpected()
	}
	name, err := p.name()
	if err == nil && !p.take(")") {
		err = p.unexpected()
	}
	return func(item attributes) bool {
		_, is := item[name]
		return is == want
	}, err
}

// operators say what an order of two values means.
var operators = map[string]func(order int) bool{
	"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
	">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
}

// comparison reads one. An attribute that is missing, or of another type, is unequal to every value and has
// no order.
func (p *parser) comparison() (test, error) {
	name, err := p.name()
	if err != nil {
		return nil, err
	}
	operator, isOrder := p.peek(), false
	var holds func(int) bool
	if holds, isOrder = operators[operator]; !isOrder && operator != "=" && operator != "<>" {
		return nil, p.unexpected()
	}
	p.next()
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	return func(item attributes) bool {
		have, there := item[name]
		if !isOrder {
			return (there && have.equal(&value)) == (operator == "=")
		}
		order, ok := have.compare(&value)
		return there && ok && holds(order)
	}, nil
}

// name reads the name of an attribute: as it is, or #x for one that is given beside the expression.
func (p *parser) name() (string, error) {
	token := p.peek()
	if token == "" || !strings.HasPrefix(token, "#") && !isWord(token) {
		return "", p.unexpected()
	}
	p.next()
	if !strings.HasPrefix(token, "#") {
		return token, nil
	}
	name, is := p.in.ExpressionAttributeNames[token]
	if !is || name == "" {
		return "", invalid("Invalid %s: An expression attribute name used in the document path is not defined; "+
			"attribute name: %s", p.kind, token)
	}
	p.used[token] = true
	return name, nil
}

// isWord reports whether the token is a name that stands for itself.
func isWord(token string) bool {
	letter := token[0] | 0x20
	return letter >= 'a' && letter <= 'z'
}

func (p *parser) value() (attributeValue, error) {
	token := p.peek()
	if !strings.HasPrefix(token, ":") {
		return attributeValue{}, p.unexpected()
	}
	p.next()
	value, is := p.in.ExpressionAttributeValues[token]
	if !is {
		return attributeValue{}, invalid("Invalid %s: An expression attribute value used in expression is not "+
			"defined; attribute value: %s", p.kind, token)
	}
	p.used[token] = true
	return value, nil
}

// update reads an UpdateExpression.
func (p *parser) update(e *expressions) error {
	e.set = attributes{}
	if p.peek() != "SET" && p.peek() != "REMOVE" {
		return p.unexpected()
	}
	if p.take("SET") {
		if err := p.list(e, func(name string) error {
			if !p.take("=") {
				return p.unexpected()
			}
			value, err := p.value()
			e.set[name] = value
			return err
		}); err != nil {
			return err
		}
	}
	if p.take("REMOVE") {
		if err := p.list(e, func(name string) error {
			e.remove = append(e.remove, name)
			return nil
		}); err != nil {
			return err
		}
	}
	if !p.atEnd() {
		return p.unexpected()
	}
	return nil
}

// list reads clauses with commas between them. Each begins with the name of an attribute, which no other
// clause changes.
func (p *parser) list(e *expressions, clause func(name string) error) error {
	for {
		name, err := p.name()
		if err != nil {
			return err
		}
		if e.changes(name) {
			return invalid("Invalid UpdateExpression: Two document paths overlap with each other; path: [%s]", name)
		}
		if err := clause(name); err != nil {
			return err
		}
		if !p.take(",") {
			return nil
		}
	}
}
