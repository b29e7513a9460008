package main

import "testing"

func Benchmark(b *testing.B) {
	p, err := newPlan()
	if err != nil {
		b.Fatal(err)
	}
	for _, g := range p.groups() {
		for _, o := range g.operations() {
			b.Run(o.name, func(b *testing.B) {
				if o.prepare != nil {
					o.prepare(b.N)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					o.run()
				}
			})
		}
	}
}
