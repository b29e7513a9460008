package rehearsal

import (
	"slices"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// PolicyOf is the policy that the signing keys of a bundle come from.
func PolicyOf(b *trust.Bundle) *policy.Policy {
	p := &policy.Policy{}
	for _, k := range b.SigningKeys() {
		i := slices.IndexFunc(p.Producers, func(o policy.Producer) bool { return o.Name == k.Producer })
		if i < 0 {
			i = len(p.Producers)
			p.Producers = append(p.Producers, policy.Producer{Name: k.Producer, Sources: k.Sources, Types: k.Types,
				Accounts: k.Accounts})
		}
		o := &p.Producers[i]
		o.Keys = append(o.Keys, policy.Key{ID: k.KeyID(), Schedule: k.Schedule, Revoked: k.Revoked})
	}
	return p
}

// Before is the policy without the keys that become active later: the best guess at what consumers have.
func Before(p *policy.Policy, now time.Time) *policy.Policy {
	c := &policy.Policy{Producers: slices.Clone(p.Producers)}
	for i := range c.Producers {
		o := &c.Producers[i]
		o.Keys = slices.DeleteFunc(slices.Clone(o.Keys), func(k policy.Key) bool {
			return k.Schedule.Active.After(now)
		})
	}
	return c
}
