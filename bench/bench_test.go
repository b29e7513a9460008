package main

import (
	"testing"

	"github.com/sealbus/sealbus/keys"
)

func Benchmark(b *testing.B) {
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		for _, size := range []int{1 << 10, 16 << 10} {
			f, err := newFixture(alg, size)
			if err != nil {
				b.Fatal(err)
			}
			for _, c := range f.benches() {
				b.Run(c.name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						c.run()
					}
				})
				b.Run(c.name+", primitive", func(b *testing.B) {
					for b.Loop() {
						c.raw()
					}
				})
			}
		}
	}
}

func BenchmarkAdditions(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10} {
		s, err := newSecrets(size)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range s.additions() {
			b.Run(a.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					a.run()
				}
			})
		}
	}
}
