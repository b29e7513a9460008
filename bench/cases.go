package main

import (
	"fmt"

	"github.com/sealbus/sealbus/keys"
)

// sizes are those of the data of an event, in bytes.
var sizes = []int{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, largest}

// batchSizes are how many messages one invocation of a Lambda function has.
var batchSizes = []int{1, 2, 5, 10, 20, 50, 100}

// plan is all that is measured.
type plan struct {
	whole     map[keys.Algorithm]map[int]group // whole events, by the size of the data
	parts     map[int]parts                    // of Ed25519, by the size of the data
	batches   map[int]group                    // by the size of the data
	programs  group                            // Handle and Publish
	encrypted group
	webhooks  map[int]group // by the size of the body
	keys      group         // the last one: its many keys take the tables of the others
}

func newPlan() (*plan, error) {
	p := &plan{whole: map[keys.Algorithm]map[int]group{}, parts: map[int]parts{}, batches: map[int]group{},
		webhooks: map[int]group{}}
	for alg, sizes := range map[keys.Algorithm][]int{keys.Ed25519: sizes, keys.ES256: {1 << 10, 16 << 10}} {
		p.whole[alg] = map[int]group{}
		for _, size := range sizes {
			f, err := newFixture(alg, size)
			if err != nil {
				return nil, err
			}
			p.whole[alg][size] = f.whole()
			if alg == keys.Ed25519 {
				p.parts[size] = f.parts
			}
		}
	}
	for _, size := range []int{1 << 10, 16 << 10} {
		f, err := newFixture(keys.Ed25519, size)
		if err != nil {
			return nil, err
		}
		p.batches[size] = f.batches()
		s, err := newSecrets(size)
		if err != nil {
			return nil, err
		}
		p.encrypted.title = "encryption"
		p.encrypted.rows = append(p.encrypted.rows, s.rows()...)
		if p.webhooks[size], err = webhooks(size); err != nil {
			return nil, err
		}
	}
	f, err := newFixture(keys.Ed25519, 1<<10)
	if err != nil {
		return nil, err
	}
	if p.programs, err = f.programs(); err != nil {
		return nil, err
	}
	p.keys, err = manyKeys()
	return p, err
}

// groups are in the order in which they are measured.
func (p *plan) groups() []group {
	var list []group
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		for _, size := range sizes {
			if g, ok := p.whole[alg][size]; ok {
				list = append(list, g)
			}
		}
	}
	return append(list, p.batches[1<<10], p.batches[16<<10], p.programs, p.encrypted, p.webhooks[1<<10],
		p.webhooks[16<<10], p.keys)
}

// whole is sealing and opening of whole events, by sealbus and by hand.
func (f *fixture) whole() group {
	g := group{title: f.label("whole events")}
	wanted := map[string]float64{}
	if f.alg == keys.Ed25519 {
		wanted = map[string]float64{"Seal 1 KiB": 1.30, "Seal 16 KiB": 1.65, "Open 1 KiB": 0.65,
			"Open 16 KiB": 1.0}
	}
	add := func(verb string, run func(), beside *operation) {
		r := row{operation: &operation{name: f.label(verb), run: run}, beside: beside,
			target: wanted[verb+" "+sizeName(f.size)]}
		if r.target > 0 {
			r.wanted = fmt.Sprintf("%s, x raw", f.label(verb))
		}
		g.rows = append(g.rows, r)
	}
	add("Seal", f.sealEvent, f.sign)
	add("Open", f.openEvent, f.verify)
	g.rows = append(g.rows, row{operation: f.parts.sign, beside: f.sign},
		row{operation: f.parts.verify, beside: f.verify},
		row{operation: f.parts.hash, beside: f.verify, peer: true})
	for _, w := range f.ways() {
		g.rows = append(g.rows, w.rows(f)...)
	}
	return g
}
