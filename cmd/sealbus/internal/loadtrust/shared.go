package loadtrust

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// Shared is a source that two producers may speak for, with the same types.
type Shared struct {
	Producers [2]string // in the order of the alphabet
	Source    string    // the narrower of their two patterns
}

// claim is a source pattern of a producer, with the types that it may send from there.
type claim struct {
	source, prefix, producer string // prefix is source up to its "*"
	types                    []string
}

// maxShared bounds the work for a bundle in which all producers share all sources.
const maxShared = 1000

// SharedSources are the sources that two producers of a bundle may speak for, the first of them where there
// are very many. Keys that are revoked speak for nothing.
func SharedSources(b *trust.Bundle) []Shared {
	var found []Shared
	var wider []claim // each one's prefix begins the source of the next
	for _, c := range claims(b) {
		if len(found) >= maxShared {
			break
		}
		for len(wider) > 0 && !strings.HasPrefix(c.source, wider[len(wider)-1].prefix) {
			wider = wider[:len(wider)-1]
		}
		for _, w := range wider {
			if w.producer != c.producer && keys.MatchSource([]string{w.source}, sample(c.source)) &&
				shareTypes(w.types, c.types) {
				pair := [2]string{min(w.producer, c.producer), max(w.producer, c.producer)}
				found = append(found, Shared{pair, c.source})
			}
		}
		wider = append(wider, c)
	}
	slices.SortFunc(found, func(a, b Shared) int {
		return cmp.Or(slices.Compare(a.Producers[:], b.Producers[:]), cmp.Compare(a.Source, b.Source))
	})
	return slices.Compact(found)
}

// claims are those of a bundle, the wider before the narrower.
func claims(b *trust.Bundle) []claim {
	var list []claim
	for _, k := range b.SigningKeys() {
		if k.Revoked != nil {
			continue
		}
		for _, s := range k.Sources {
			prefix, _, _ := strings.Cut(s, "*")
			list = append(list, claim{s, prefix, k.Producer, k.Types})
		}
	}
	slices.SortFunc(list, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.prefix, b.prefix), -cmp.Compare(len(a.source), len(b.source)))
	})
	return list
}

// shareTypes reports whether some type matches a pattern of both lists.
func shareTypes(a, b []string) bool {
	has := func(patterns []string) func(string) bool {
		return func(other string) bool { return keys.MatchType(patterns, sample(other)) }
	}
	return slices.ContainsFunc(a, has(b)) || slices.ContainsFunc(b, has(a))
}

// sample is something that the pattern stands for.
func sample(pattern string) string { return strings.Replace(pattern, "*", "x", 1) }
