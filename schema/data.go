package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxData is the most bytes of data that are judged: that of an event on EventBridge.
const MaxData = 1 << 20

// Limits of a number. The library computes exactly, so that a few bytes (1e999999999) could take all memory.
// They leave room for every double and for integers of 128 digits.
const (
	maxNumber   = 128 // bytes
	maxExponent = 400 // either sign
)

var errNumber = errors.New("a number is longer than 128 bytes, or its exponent is beyond 400")

// parse reads JSON text, strictly, into nil, bool, string, json.Number, []any and map[string]any. At most
// that many values are read; 0 = no limit. Its errors quote nothing of the text.
func parse(text []byte, values int) (any, error) {
	p := parser{Decoder: jsontext.NewDecoder(text), left: values, limited: values > 0}
	v := p.value()
	if err := p.End(); err != nil {
		switch {
		case errors.Is(err, errNumber):
			return nil, errNumber
		case errors.Is(err, errValues):
			return nil, errValues
		}
		return nil, fmt.Errorf("it is not strict JSON, at byte %d", p.Offset())
	}
	return v, nil
}

var errValues = errors.New("it has too many values")

type parser struct {
	jsontext.Decoder
	left    int
	limited bool
}

func (p *parser) value() any {
	if p.left--; p.limited && p.left < 0 {
		p.Fail(errValues)
		return nil
	}
	switch p.PeekKind() {
	case '{':
		members := map[string]any{}
		for o := p.Object(); p.Member(&o); {
			name := string(o.Name)
			members[name] = p.value()
		}
		return members
	case '[':
		elements := []any{}
		for a := p.Array(); p.Element(&a); {
			elements = append(elements, p.value())
		}
		return elements
	case '"':
		return p.String()
	}
	switch text := string(p.ReadValue()); text {
	case "", "null":
		return nil
	case "true", "false":
		return text == "true"
	default:
		if !smallNumber(text) {
			p.Fail(errNumber)
			return nil
		}
		return json.Number(text)
	}
}

// smallNumber reports whether a JSON number is within the limits.
func smallNumber(text string) bool {
	if len(text) > maxNumber {
		return false
	}
	return magnitude(text) <= maxExponent
}

// magnitude is the absolute value of the exponent that a JSON number is written with, or a large number.
func magnitude(text string) int {
	i := strings.IndexAny(text, "eE")
	if i < 0 {
		return 0
	}
	e, err := strconv.Atoi(text[i+1:])
	if err != nil {
		return 1 << 30
	}
	return max(e, -e)
}
