package jsontext

import (
	"strings"
	"testing"
)

// Numbers that are slow to convert are rationed, and otherwise as good as others.
func TestTinyNumbers(t *testing.T) {
	list := func(number string, n int) []byte {
		return []byte("[" + strings.TrimSuffix(strings.Repeat(number+",", n), ",") + "]")
	}
	for _, test := range []struct {
		number string
		n      int
		good   bool
	}{{"5e-324", maxTiny, true}, {"5e-324", maxTiny + 1, false},
		{"2.2250738585072014e-308", maxTiny + 1, false}, {"1e-300", 100 * maxTiny, true},
		{"0e-400", 100 * maxTiny, false}} {
		text := list(test.number, test.n)
		end, isCanonical, err := scan(text, 0)
		if err != nil || end != len(text) || isCanonical != test.good {
			t.Errorf("%d of %s: canonical %v, %v", test.n, test.number, isCanonical, err)
		}
		_, err = AppendCanonical(nil, text)
		if e, ok := err.(*Error); test.number != "0e-400" && (err == nil) != test.good || err != nil &&
			(!ok || e.Fault != Number) {
			t.Errorf("%d of %s: %v", test.n, test.number, err)
		}
	}
}
