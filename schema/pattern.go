package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of regular expressions: x{1000} is short, and its program is not.
const (
	maxPattern         = 1 << 10 // bytes
	maxInstructions    = 4_000   // of one program
	maxAllInstructions = 100_000 // of all programs of a document
)

// pattern is a regular expression that knows what a match costs.
type pattern struct {
	*regexp.Regexp
	instructions int
}

// compilePattern is the regular expression engine of the library. It bounds a program before it is compiled.
func compilePattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern {
		return nil, fmt.Errorf("a pattern of %d bytes: at most %d are read", len(text), maxPattern)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	size := instructions(tree)
	if size > maxInstructions {
		return nil, fmt.Errorf("a pattern with a program of more than %d instructions: repeat less",
			maxInstructions)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, size + 4}, nil
}

// instructions are at least as many as the program of a parsed expression has, but for the 4 that each
// program has. A large class of characters counts as several. It stops to count beyond maxInstructions.
func instructions(re *syntax.Regexp) int {
	size := 1
	switch re.Op {
	case syntax.OpLiteral:
		size = max(1, len(re.Rune))
	case syntax.OpCharClass:
		size = 1 + len(re.Rune)/64
	case syntax.OpCapture:
		size = 2
	case syntax.OpConcat:
		size = 0
	case syntax.OpAlternate:
		size = len(re.Sub)
	}
	for _, sub := range re.Sub {
		size += instructions(sub)
	}
	if re.Op == syntax.OpRepeat {
		size *= max(re.Max, re.Min+1)
	}
	return min(size, maxInstructions+1)
}

// checkPatterns takes the programs of all patterns of a document from what is left; false = it is not enough.
// A pattern that cannot be compiled is left to the library, which says where it is.
func checkPatterns(v any, left *int) bool {
	take := func(text string) bool {
		if len(text) > maxPattern {
			return true
		}
		if tree, err := syntax.Parse(text, syntax.Perl); err == nil {
			*left -= instructions(tree)
		}
		return *left >= 0
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if !checkPatterns(e, left) {
				return false
			}
		}
	case map[string]any:
		if text, ok := v["pattern"].(string); ok && !take(text) {
			return false
		}
		if named, ok := v["patternProperties"].(map[string]any); ok {
			for text := range named {
				if !take(text) {
					return false
				}
			}
		}
		for _, e := range v {
			if !checkPatterns(e, left) {
				return false
			}
		}
	}
	return true
}
