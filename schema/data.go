package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
// that many values are read; 0 = no limit, as for data. Its errors quote nothing of data, but do of a schema.
func parse(text []byte, values int) (any, error) {
	p := parser{Decoder: jsontext.NewDecoder(text), left: values, limited: values > 0}
	v := p.value()
	if err := p.End(); err != nil {
		switch {
		case errors.Is(err, errNumber):
			return nil, errNumber
		case errors.Is(err, errValues):
			return nil, errValues
		case values > 0:
			return nil, fmt.Errorf("it is not strict JSON: %w", err)
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

// asDoubles is the value with each fraction as the double that encoding/json makes of it, or nil if that
// changes none: 0.99999999999999999999 is 1, and 1e-400 is 0. An integer without an exponent stays: handlers
// read it as one. A number beyond all doubles stays, too: encoding/json refuses it. It takes steps from what
// is left, and ends when none is.
func asDoubles(v any, left *int) any {
	switch v := v.(type) {
	case json.Number:
		return asDouble(string(v), left)
	case []any:
		var out []any
		for i, e := range v {
			if d := asDoubles(e, left); d != nil {
				if out == nil {
					out = slices.Clone(v)
				}
				out[i] = d
			}
		}
		if out != nil {
			return out
		}
	case map[string]any:
		var out map[string]any
		for name, e := range v {
			if d := asDoubles(e, left); d != nil {
				if out == nil {
					out = maps.Clone(v)
				}
				out[name] = d
			}
		}
		if out != nil {
			return out
		}
	}
	return nil
}

func asDouble(text string, left *int) any {
	const (
		exact     = 15   // digits: each number of so many has a double of its own
		subnormal = -307 // the exponent of 10 below which strconv takes 25 us
		steps     = 100
	)
	if *left < 0 || !strings.ContainsAny(text, ".eE") || len(text) <= exact && magnitude(text) < 280 {
		return nil
	}
	wasDigits, wasExponent := decimal(text)
	if wasDigits != "" && wasExponent+len(wasDigits) <= subnormal {
		if *left -= steps; *left < 0 {
			return nil
		}
	}
	double, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	rounded := strconv.FormatFloat(double, 'e', -1, 64)
	if digits, exponent := decimal(rounded); digits == wasDigits && exponent == wasExponent {
		return nil
	}
	return json.Number(rounded)
}

// decimal is a JSON number without its sign, as digits without zeros around them, and their exponent.
func decimal(text string) (digits string, exponent int) {
	mantissa, e := strings.TrimPrefix(text, "-"), 0
	if i := strings.IndexAny(mantissa, "eE"); i >= 0 {
		e, _ = strconv.Atoi(mantissa[i+1:])
		mantissa = mantissa[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	digits = strings.TrimRight(all, "0")
	if digits == "" {
		return "", 0
	}
	return digits, e - len(fraction) + len(all) - len(digits)
}
