package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// longNumbers are the numbers of 15 bytes or more that encoding/json reads.
func longNumbers(t *testing.T, doc []byte) (list []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		if n, ok := token.(json.Number); ok && len(n) >= shortNumber {
			list = append(list, string(n))
		}
	}
}

// TestAnyNumberSeesEveryLongNumber: none is missed beside a string with any escape sequences, and no digits
// in a string are a number.
func TestAnyNumberSeesEveryLongNumber(t *testing.T) {
	texts := []string{`"`, `\`, `\"`, `\\`, "\n", "\x00", "é", ",12345678901234567,", "1234567890123456",
		"word of text", "", "/", `"a":-1234567890123456`}
	numbers := []string{"0", "-1.5", "12345678901234", "123456789012345", "-12345678901234",
		"-9223372036854775809", "0.1234567890123", "1.2345678901234e+21", "1E-300", "2.225073858507201e-308",
		"true", "null", "[]", "{}"}
	r := rand.New(rand.NewPCG(10, 26))
	for range cases.Of(50_000) {
		doc := []byte(`[`)
		for range r.IntN(6) {
			text, number := randomPieces(r, texts, 6), numbers[r.IntN(len(numbers))]
			switch r.IntN(3) {
			case 0:
				doc = append(append(AppendQuote(append(doc, '{'), text), ':'), number+"},"...)
			case 1:
				doc = append(append(AppendQuote(doc, text), ',', ' '), number+" , "...)
			case 2:
				doc = append(append(append(doc, number...), ','), append(AppendQuote(nil, text), ',')...)
			}
		}
		doc = append(doc, "7]"...)
		want := longNumbers(t, doc)
		var got []string
		found := AnyNumber(doc, func(n string) bool { got = append(got, n); return false })
		if found || !slices.Equal(got, want) {
			t.Fatalf("%s has %q, want %q", doc, got, want)
		}
		if len(want) > 0 && !AnyNumber(doc, func(n string) bool { return n == want[len(want)-1] }) {
			t.Fatalf("%s: %s was not found", doc, want[len(want)-1])
		}
	}
}
