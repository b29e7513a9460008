package consumer

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// maxStrangers bounds how many claimed sources without a producer are counted apart, because any sender can
// claim some.
const maxStrangers = 100

// Readiness is an Observer for the time of an UnsafeMigration. It counts for each producer which events
// passed and which would not have passed. So the operator knows which producers have work to do before the
// end date. It is the view of one process: add up those of several. It is safe for concurrent use, and its
// size is bounded by that of the bundle.
//
// An event that would not have passed is counted for the producers whose keys may speak for the source that
// it claims. That claim is not verified: forged events make a producer look less ready than it is, never
// more. A sealed event that is delivered again counts as one that passed. So after Reset, an old event may
// count for a producer that no longer seals.
type Readiness struct {
	trust trust.Source

	mu        sync.Mutex
	bundle    *trust.Bundle // that speakers was made of
	speakers  []speaker
	producers map[string]*ProducerReadiness
	strangers map[string]*ProducerReadiness // by the source that they claim
}

// speaker is what one producer may speak for.
type speaker struct {
	producer string
	sources  []string
	types    []string
}

// ProducerReadiness is what was seen of one producer.
type ProducerReadiness struct {
	Producer string // "" = no key of the bundle may speak for the source
	// UnverifiedSource is what those events claim for which there is no producer; clipped, and "" for all that
	// came after the first hundred such sources.
	UnverifiedSource string

	Verified uint64 // events that passed
	Gaps     []Gap  // the events that would not have passed, in the order of envelope.Reasons
}

// Gap is what would have been refused for one Reason.
type Gap struct {
	Reason envelope.Reason
	Count  uint64
	Last   time.Time
	Cause  string // of the last one
}

// Ready reports whether events of the producer passed, and all of them.
func (p *ProducerReadiness) Ready() bool { return p.Verified > 0 && len(p.Gaps) == 0 }

// String is one line: who, whether ready, and what is missing.
func (p *ProducerReadiness) String() string {
	who := p.Producer
	if who == "" {
		who = fmt.Sprintf("no producer for %q", p.UnverifiedSource)
	}
	var gaps []string
	for _, g := range p.Gaps {
		gaps = append(gaps,
			fmt.Sprintf("%d %s, last at %s", g.Count, g.Reason, g.Last.UTC().Format(time.RFC3339)))
	}
	switch {
	case p.Ready():
		return fmt.Sprintf("%s: ready, %d verified", who, p.Verified)
	case len(gaps) == 0:
		return who + ": not ready, nothing was seen of it"
	}
	return fmt.Sprintf("%s: not ready, %d verified, %s", who, p.Verified, strings.Join(gaps, "; "))
}

// NewReadiness makes a Readiness for the producers of a bundle: give it the trust of the consumer. New
// refuses one without.
func NewReadiness(trust trust.Source) *Readiness {
	if nilcheck.Is(trust) {
		trust = noTrust{}
	}
	return &Readiness{
		trust:     trust,
		producers: map[string]*ProducerReadiness{}, strangers: map[string]*ProducerReadiness{},
	}
}

var _ Observer = (*Readiness)(nil)

// noTrust stands in for a missing source of trust.
type noTrust struct{}

func (noTrust) Bundle(context.Context) (*trust.Bundle, error) { return nil, trust.ErrUnavailable }

// Delivered counts a delivery that passed, or was a duplicate, or was migrating, or went into quarantine, as
// after the end of an UnsafeMigration. An event that is retried counts at its last delivery.
func (r *Readiness) Delivered(ctx context.Context, of Result) {
	switch of.Outcome {
	case Handled, Duplicate:
		r.verified(of.Producer)
	case Migrating, Quarantined:
		if v := of.Verdict; v != nil {
			r.refused(ctx, v, of.At)
		}
	}
}

func (r *Readiness) verified(producer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.producer(producer)
	p.Verified++
}

func (r *Readiness) refused(ctx context.Context, v *envelope.Error, at time.Time) {
	bundle, err := r.trust.Bundle(ctx) // not under the lock: it may ask a server
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learn(bundle, err)
	counted := map[string]bool{}
	for _, s := range r.speakers {
		if !counted[s.producer] && keys.MatchSource(s.sources, v.UnverifiedSource) &&
			keys.MatchType(s.types, v.UnverifiedType) {
			r.producer(s.producer).gap(v, at)
			counted[s.producer] = true
		}
	}
	if len(counted) == 0 {
		r.stranger(clip(v.UnverifiedSource)).gap(v, at)
	}
}

func (r *Readiness) producer(name string) *ProducerReadiness {
	p := r.producers[name]
	if p == nil {
		p = &ProducerReadiness{Producer: name}
		r.producers[name] = p
	}
	return p
}

func (r *Readiness) stranger(source string) *ProducerReadiness {
	p := r.strangers[source]
	if p == nil {
		if len(r.strangers) >= maxStrangers {
			source = ""
		}
		if p = r.strangers[source]; p == nil {
			p = &ProducerReadiness{UnverifiedSource: source}
			r.strangers[source] = p
		}
	}
	return p
}

func (p *ProducerReadiness) gap(v *envelope.Error, at time.Time) {
	i := slices.IndexFunc(p.Gaps, func(g Gap) bool { return g.Reason == v.Reason })
	if i < 0 {
		p.Gaps, i = append(p.Gaps, Gap{Reason: v.Reason}), len(p.Gaps)
	}
	g := &p.Gaps[i]
	g.Count, g.Last, g.Cause = g.Count+1, at, clip(v.Cause)
}

// learn takes note of who may speak for what. Without a bundle, what it knew stands.
func (r *Readiness) learn(bundle *trust.Bundle, err error) {
	if err != nil || bundle == nil || bundle == r.bundle { // a Source of another module may give neither
		return
	}
	r.bundle, r.speakers = bundle, nil
	seen := map[string]bool{} // keys of one producer may all say the same
	for _, k := range bundle.SigningKeys() {
		if text := fmt.Sprintf("%q %q %q", k.Producer, k.Sources, k.Types); !seen[text] {
			seen[text] = true
			r.speakers = append(r.speakers, speaker{producer: k.Producer, sources: k.Sources, types: k.Types})
		}
	}
}

// Producers is what was seen so far: of every producer of the bundle in the order of their names, silent ones
// included, and then of the sources that none of them may speak for.
func (r *Readiness) Producers(ctx context.Context) []ProducerReadiness {
	bundle, err := r.trust.Bundle(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learn(bundle, err)
	for _, s := range r.speakers {
		r.producer(s.producer)
	}
	return append(inOrder(r.producers), inOrder(r.strangers)...)
}

// NotReady is what Producers says of those that are not ready: as long as there is one, the end of a
// migration costs events.
func (r *Readiness) NotReady(ctx context.Context) []ProducerReadiness {
	return slices.DeleteFunc(r.Producers(ctx), func(p ProducerReadiness) bool { return p.Ready() })
}

func inOrder(seen map[string]*ProducerReadiness) []ProducerReadiness {
	list := make([]ProducerReadiness, 0, len(seen))
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		p := *seen[name]
		p.Gaps = slices.Clone(p.Gaps)
		order := envelope.Reasons()
		slices.SortFunc(p.Gaps, func(a, b Gap) int {
			return slices.Index(order, a.Reason) - slices.Index(order, b.Reason)
		})
		list = append(list, p)
	}
	return list
}

// Reset forgets what was seen, so that a new period is counted: "nothing but verified events for a week" is
// one.
func (r *Readiness) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.producers)
	clear(r.strangers)
}
