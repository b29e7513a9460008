package rehearsal

import (
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// instant is how long before its last moment a key signs at last.
const instant = time.Millisecond

// fitting is a text that a pattern of a source or a type allows.
func fitting(pattern string) string { return strings.Replace(pattern, "*", "made", 1) }

// Worst are the courses of events that are the worst for each moment of the plan, one for each danger.
func (p *Plan) Worst() (list []*Scenario) {
	lives := p.lives()
	for _, l := range lives {
		list = append(list, p.firstUse(l)...)
		list = append(list, p.lastUse(lives, l)...)
		list = append(list, p.underWay(l)...)
		list = append(list, p.gap(lives, l)...)
		list = append(list, p.stale(l)...)
		list = append(list, p.firstType(l)...)
	}
	for _, s := range list {
		last := s.Sends[len(s.Sends)-1]
		s.End = last.At.Add(last.Delay + time.Duration(s.Receives)*s.Visibility + time.Second)
	}
	return list
}

// firstUse: the bundle comes as late as it may, a cache serves the old one for as long as it may, and a
// producer with a fast clock that cannot reach the host signs as early as its keyring says.
func (p *Plan) firstUse(l life) (list []*Scenario) {
	fast := p.Skew // of the clock that built the bundle
	at := l.schedule.Active.Add(-fast)
	if l.built.Equal(p.Publications[0].Built) { // consumers begin with it
		return nil
	}
	if at.Before(l.built) {
		at = l.built
	}
	s := p.scenario()
	s.Producers = []Producer{{Name: l.producer, Skew: fast, CutOff: !l.first}}
	s.Consumers = []Consumer{{Name: "billing", Lag: p.Cache, Polls: []time.Time{l.built}}}
	s.Sends = []Send{{At: at, Type: l.usual()}}
	list = append(list, s)
	s = s.clone() // its clock is as fast, and it asked a while ago
	s.Consumers[0].Skew, s.Consumers[0].Polls = fast, []time.Time{at.Add(-45 * time.Second)}
	return append(list, s)
}

// lastUse: a producer with a slow clock signs with the key at the last moment, the event stays under way for
// as long as it may, and the consumer's clock is fast. The process may not have heard of a key that takes
// over, but for the bundle. A bundle that moves the end, or lacks the key, comes as early as it may.
func (p *Plan) lastUse(lives []life, l life) (list []*Scenario) {
	course := func(end time.Time, slow time.Duration, o Producer) {
		at := end.Add(-instant + slow)
		if at.Before(p.Start) {
			return
		}
		s := p.scenario()
		for i := range s.Publications {
			s.Publications[i].Late = 0
		}
		o.Name, o.Skew = l.producer, -slow
		s.Producers = []Producer{o}
		s.Consumers = []Consumer{{Name: "billing", Skew: p.Skew - slow}}
		s.Sends = []Send{{At: at, Type: l.usual(), Delay: p.InFlight}}
		list = append(list, s)
	}
	for _, end := range p.endsOf(l) {
		for _, slow := range []time.Duration{p.Skew, p.Skew / 2} { // the first is to the clock that built a bundle
			course(end, slow, Producer{CutOff: true})
			for behind := 1; behind < len(p.Publications); behind++ {
				old := scheduleIn(p.Publications[len(p.Publications)-behind-1], l.id)
				if old != nil && old.SignsAt(end.Add(-instant)) {
					course(end, slow, Producer{Behind: behind})
				}
			}
		}
	}
	for _, next := range lives {
		if next.producer == l.producer && next.schedule.Active.After(l.schedule.Active) {
			course(next.schedule.Active, p.Skew/2, Producer{CutOff: true})
		}
	}
	return list
}

// underWay: a key that signs is to begin later, or goes. An event that it signed just before stays under way
// for as long as it may, and the bundle comes as early.
func (p *Plan) underWay(l life) (list []*Scenario) {
	for i := 1; i < len(p.Publications); i++ {
		was, is := scheduleIn(p.Publications[i-1], l.id), scheduleIn(p.Publications[i], l.id)
		if was == nil || is != nil && !was.Active.Before(is.Active) {
			continue
		}
		at := p.Publications[i].Built
		if is != nil {
			at = earliest(at, is.Active)
		}
		at = at.Add(-instant)
		slow := p.Skew
		if !was.SignsAt(at.Add(-slow)) {
			slow = 0
		}
		for older := range i { // than the change
			has := scheduleIn(p.Publications[older], l.id)
			if has == nil || !has.SignsAt(at.Add(-slow)) || !was.SignsAt(at.Add(-slow)) || at.Before(p.Start) {
				continue
			}
			s := p.scenario()
			for j := range s.Publications {
				s.Publications[j].Late = 0
			}
			s.Producers = []Producer{{Name: l.producer, Skew: -slow, Behind: len(p.Publications) - 1 - older}}
			s.Consumers = []Consumer{{Name: "billing"}}
			s.Sends = []Send{{At: at, Type: l.usual(), Delay: p.InFlight}}
			list = append(list, s)
		}
	}
	return list
}

// endsOf are the moments at which the key ends, by any of the bundles.
func (p *Plan) endsOf(l life) (list []time.Time) {
	for _, pub := range p.Publications {
		if s := scheduleIn(pub, l.id); s != nil {
			l.schedule = *s
		}
		if end := l.end(); !end.IsZero() && !slices.ContainsFunc(list, end.Equal) {
			list = append(list, end)
		}
	}
	return list
}

// stale: the schedule of a key changes. A process whose keyring is behind, by one bundle or more, and whose
// clock is fast, signs on by the old one until its bundle says otherwise. It asked just before that came.
func (p *Plan) stale(l life) (list []*Scenario) {
	for i := 1; i < len(p.Publications); i++ {
		now := p.Publications[i].Built
		was, is := scheduleIn(p.Publications[i-1], l.id), scheduleIn(p.Publications[i], l.id)
		if was == nil || is == nil || *was == *is {
			continue
		}
		late := min(p.Late, p.Outage())
		asked := now.Add(late + p.Cache - time.Second)
		for _, at := range []time.Time{was.Active, is.Retired, is.Expired} {
			at = at.Add(-p.Skew)
			if at.Before(now) || !was.SignsAt(at.Add(p.Skew)) {
				continue
			}
			for older := range i { // than the change
				has := scheduleIn(p.Publications[older], l.id)
				if has == nil || !has.SignsAt(at.Add(p.Skew)) {
					continue
				}
				s := p.scenario()
				for j := range s.Publications[1:] {
					s.Publications[j+1].Late = late
				}
				s.Producers = []Producer{{Name: l.producer, Skew: p.Skew, Lag: p.Cache,
					Behind: len(p.Publications) - 1 - older}}
				s.Consumers = []Consumer{{Name: "billing"}}
				if has.SignsAt(asked.Add(p.Skew)) && asked.Before(at) {
					s.Sends = append(s.Sends, Send{At: asked, Type: l.usual()})
				}
				s.Sends = append(s.Sends, Send{At: at, Type: l.usual()})
				list = append(list, s)
			}
		}
	}
	return list
}

// hearsWithin is how many refresh intervals a publication, and an outage of the host after it, may take where
// a producer hears of a change only from its bundle, since its keyring is old. It asks once in a refresh
// interval, and consumers ask when they have to.
const hearsWithin = 2

// Outage is how long the host may fail after it has a bundle, if processes with an old keyring are to lose no
// event. The time until the bundle comes counts as well.
func (p *Plan) Outage() time.Duration { return hearsWithin * p.Refresh }

func scheduleIn(p Publication, id string) *keys.Schedule {
	for _, o := range cmpOr(p.Merged, p.Policy).Producers {
		for _, k := range o.Keys {
			if k.ID == id {
				return &k.Schedule
			}
		}
	}
	return nil
}

// gap: the producer has something to say when a key ends and the next one does not sign yet.
func (p *Plan) gap(lives []life, l life) []*Scenario {
	end := l.end()
	follows := slices.ContainsFunc(lives, func(next life) bool {
		return next.producer == l.producer && next.schedule.Active.After(end)
	})
	if end.IsZero() || end.Before(p.Start) || !follows {
		return nil
	}
	s := p.scenario()
	s.Producers = []Producer{{Name: l.producer}}
	s.Consumers = []Consumer{{Name: "billing"}}
	s.Sends = []Send{{At: end, Type: l.usual()}}
	return []*Scenario{s}
}

// firstType: a producer sends a new type as soon as it is told to. One process asks the host. Another cannot,
// and is told by its operators, whose clock is fast.
func (p *Plan) firstType(l life) (list []*Scenario) {
	for _, g := range l.types {
		if g.built.Equal(l.built) {
			continue
		}
		known := g.built.Add(keydoc.KnownAfter(p.Refresh, p.Cache) - p.Skew)
		s := p.scenario()
		s.Producers = []Producer{{Name: l.producer, Skew: p.Skew}, {Name: l.producer, Skew: p.Skew, CutOff: true}}
		s.Consumers = []Consumer{{Name: "billing", Lag: p.Cache, Polls: []time.Time{g.built}}}
		for at := g.built; at.Before(known); at = at.Add(max(p.Refresh, known.Sub(g.built)/5)) {
			s.Sends = append(s.Sends, Send{At: at, Type: fitting(g.pattern)})
		}
		if key := p.signing(s.Producers[1], known); key != nil {
			s.Sends = append(s.Sends, Send{At: known, By: 0, Type: fitting(g.pattern)},
				Send{At: known, By: 1, Type: fitting(g.pattern)})
		}
		list = append(list, s)
	}
	return list
}
