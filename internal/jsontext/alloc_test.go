//go:build !race

// The race detector adds allocations, so the tests of this file run without it.

package jsontext

import (
	"strings"
	"testing"
)

// A string with escapes takes one allocation: unquote asks for its own room, so that any room that a caller
// makes for the exact text would be thrown away.
func TestEscapedStringAllocatesOnce(t *testing.T) {
	doc := []byte(`"` + strings.Repeat(`a line\n`, 100) + `"`)
	if n := testing.AllocsPerRun(100, func() {
		r := NewDecoder(doc)
		_ = r.Bytes()
	}); n != 1 {
		t.Errorf("%v allocations", n)
	}
}
