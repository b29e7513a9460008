package trust

import (
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// fillScope writes --source and --type into the empty lists of a producer. Lists that are filled are left to
// their editor: what a producer may say is never widened on the way of adding a key.
func (f *addFlags) fillScope(doc []byte, changes []string) ([]byte, []string, error) {
	if f.sources == nil && f.types == nil {
		return doc, changes, nil
	}
	filled, more, err := policy.SetScope(doc, f.producer, f.sources, f.types)
	return filled, append(changes, more...), err
}

// scopeOf is the list of that field, nil if there is no such producer.
func scopeOf(p *policy.Policy, name, field string) *[]string {
	for i := range p.Producers {
		switch {
		case p.Producers[i].Name != name:
		case field == "sources":
			return &p.Producers[i].Sources
		default:
			return &p.Producers[i].Types
		}
	}
	return nil
}
