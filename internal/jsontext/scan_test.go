package jsontext

import (
	"runtime"
	"strings"
	"testing"
)

// scan reads the value at b[i] and returns the index after it, and whether it is in canonical form.
func scan(b []byte, i int) (end int, isCanonical bool, err error) {
	d := Decoder{b: b, i: i}
	doc := d.read(0, 0, nil)
	if d.err != nil {
		return i, false, d.err
	}
	return i + len(doc.Value), doc.IsCanonical, nil
}

// Skipping a value takes no memory for its canonical form. An attacker can add members that are skipped.
func TestSkipWritesNothing(t *testing.T) {
	for _, text := range []string{
		`[` + strings.Repeat(`1e20,`, 10_000) + `0]`,
		`[` + strings.Repeat(`"\u0041",`, 10_000) + `0]`,
		`[` + strings.Repeat(`[ ],`, 10_000) + `0]`,
		`{"b":"` + strings.Repeat(`x`, 50_000) + `","a":0}`,
		`[` + strings.Repeat(`{"b":1,"a":2},`, 10_000) + `0]`,
	} {
		b := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d := NewDecoder(b)
		d.SkipValue()
		runtime.ReadMemStats(&after)
		if err := d.End(); err != nil {
			t.Fatal(err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 16<<10 {
			t.Errorf("%.20s: %d bytes of memory for a text of %d", text, n, len(text))
		}
	}
}
