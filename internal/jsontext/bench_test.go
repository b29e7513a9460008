package jsontext

import (
	"fmt"
	"strings"
	"testing"
)

// order is an event's data of about n bytes, canonical: short names, some numbers, mostly strings.
func order(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"currency":"EUR","id":"ord_01HZX3T7Q9M2","lines":[`)
	for i := 0; b.Len() < n-150; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b,
			`{"description":"A line of text, as long as such lines are, number %d","price":%d.25,"quantity":%d,"sku":"SKU-%08d","taxable":true}`, i, i, i+1, i)
	}
	b.WriteString(`],"placed":"2026-03-01T12:00:00Z","total":1234.5}`)
	return []byte(b.String())
}

// prose is canonical data of about n bytes that is one long string.
func prose(n int, of string) []byte {
	return []byte(`{"text":"` + strings.Repeat(of, n/len(of)) + `"}`)
}

var benchmarks = []struct {
	name string
	text []byte
}{
	{"order/1KiB", order(1 << 10)},
	{"order/16KiB", order(16 << 10)},
	{"ascii/16KiB", prose(16<<10, "The quick brown fox jumps over the lazy dog. ")},
	{"french/16KiB", prose(16<<10, "Portez ce vieux whisky au juge blond qui fume, élève à Noël. ")},
	{"escapes/16KiB", prose(16<<10, `{\"embedded\":\"json\",\"n\":1}\n`)},
}

func BenchmarkScan(b *testing.B) {
	for _, bm := range benchmarks {
		b.Run(bm.name, func(b *testing.B) {
			b.SetBytes(int64(len(bm.text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := scan(bm.text, 0); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, bm := range benchmarks[:2] {
		b.Run("canonical/"+bm.name, func(b *testing.B) { benchmarkAppend(b, bm.text) })
		spaced := []byte(strings.ReplaceAll(string(bm.text), `,"`, `, "`))
		b.Run("spaced/"+bm.name, func(b *testing.B) { benchmarkAppend(b, spaced) })
		unordered := []byte(strings.ReplaceAll(string(bm.text), `"description"`, `"title"`))
		b.Run("unordered/"+bm.name, func(b *testing.B) { benchmarkAppend(b, unordered) })
	}
}

func benchmarkAppend(b *testing.B, text []byte) {
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var dst []byte
	for b.Loop() {
		var err error
		if dst, err = AppendCanonical(dst[:0], text); err != nil {
			b.Fatal(err)
		}
	}
}
