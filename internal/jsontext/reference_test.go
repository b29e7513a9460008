package jsontext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
)

// reference is the canonical form by the letter of the profile: trees, maps, UTF-16 and rationals. It
// takes valid JSON without duplicate members, and says false for a number that the profile refuses.
func reference(text []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	var b strings.Builder
	ok := referenceValue(&b, v)
	return b.String(), ok
}

func referenceValue(b *strings.Builder, v any) bool {
	ok := true
	switch v := v.(type) {
	case json.Number:
		var form string
		form, ok = referenceNumber(string(v))
		b.WriteString(form)
	case string:
		b.WriteString(referenceString(v))
	case []any:
		for i, e := range v {
			b.WriteByte("[,"[min(i, 1)])
			ok = referenceValue(b, e) && ok
		}
		b.WriteString("[]"[b2i(len(v) > 0):])
	case map[string]any:
		for i, name := range sortedNames(v) {
			b.WriteByte("{,"[min(i, 1)])
			b.WriteString(referenceString(name) + ":")
			ok = referenceValue(b, v[name]) && ok
		}
		b.WriteString("{}"[b2i(len(v) > 0):])
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
	return ok
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sortedNames(m map[string]any) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
	})
	return names
}

func referenceString(s string) string {
	short := strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t",
		`\t`)
	var b strings.Builder
	for _, r := range short.Replace(s) {
		if r < ' ' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}

// referenceNumber compares exact values; numbers that a rational is too large for are refused anyway, but
// for zero and for those that have both a huge exponent and as many digits (see reasonable).
func referenceNumber(text string) (string, bool) {
	exact, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("not a number: " + text)
	}
	if exact.IsInt() && len(strings.TrimPrefix(exact.Num().String(), "-")) <= 21 {
		return exact.Num().String(), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", false
	}
	form, err := jcs.NumberToJSON(f)
	if err != nil {
		return "", false
	}
	shortest, _ := new(big.Rat).SetString(form)
	return form, shortest.Cmp(exact) == 0
}

// reasonable says whether reference can take the numbers in text: no exponent has more than three digits.
func reasonable(text []byte) bool {
	digits := 0
	exponent := false
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			digits++
		case c == '+' || c == '-':
		default:
			digits, exponent = 0, c|0x20 == 'e'
		}
		if exponent && digits > 3 {
			return false
		}
	}
	return true
}
