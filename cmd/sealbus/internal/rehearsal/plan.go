package rehearsal

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/keys"
)

// Plan is a schedule, and how bad the world may be. The zero value of each limit is the usual one.
type Plan struct {
	Start time.Time // the first bundle is on the host
	Cast  *Cast

	Refresh    time.Duration // the bundle's refresh hint; 0 = 1 minute
	Cache      time.Duration // how old a file may be that a cache serves; 0 = no cache
	InFlight   time.Duration // from sealing an event to its last delivery; 0 = 1 day
	Skew       time.Duration // how far two clocks may differ; 0 = envelope.DefaultSkew, negative = not at all
	Late       time.Duration // from building a bundle until it is on the host; 0 = 3 x Refresh, negative = none
	Timestamps bool          // the roots name a timestamp key

	Publications []Publication // without Late
	Revocations  []Revocation
	Outages      []Outage
	Withheld     time.Time // a mirror serves a part of the consumers nothing newer; zero = none does

	Consumers int   // in each course by chance; 0 = 3
	Producers int   // processes of each producer in each course by chance; 0 = 2
	Courses   int   // how many courses by chance are played beside the worst ones; 0 = 20
	Seed      int64 // of chance
}

// defaultRefresh is how often sources look for a newer bundle that has no hint.
const defaultRefresh = time.Minute

func (p *Plan) filledIn() (Plan, error) {
	c := *p
	c.Refresh = cmp.Or(c.Refresh, defaultRefresh)
	c.InFlight = cmp.Or(c.InFlight, 24*time.Hour)
	c.Skew = max(0, cmp.Or(c.Skew, envelope.DefaultSkew))
	c.Late = max(0, cmp.Or(c.Late, 3*c.Refresh))
	c.Consumers, c.Producers = cmp.Or(c.Consumers, 3), cmp.Or(c.Producers, 2)
	c.Courses = cmp.Or(c.Courses, 20)
	switch {
	case len(c.Publications) == 0 || c.Cast == nil:
		return c, errors.New("rehearsal: a plan needs a cast and a bundle that is published")
	}
	return c, nil
}

// scenario has all of the plan that is the same in each course.
func (p *Plan) scenario() *Scenario {
	s := &Scenario{
		Start: p.Start, Cast: p.Cast, Refresh: p.Refresh, Cache: p.Cache, InFlight: p.InFlight,
		Timestamps: p.Timestamps,
		MaxAge:     max(envelope.DefaultMaxAge, p.InFlight+2*p.Skew),
		Visibility: time.Minute, Receives: 10,
		Publications: slices.Clone(p.Publications), Revocations: slices.Clone(p.Revocations),
		Outages: slices.Clone(p.Outages),
	}
	for i := range s.Publications[1:] {
		s.Publications[i+1].Late = p.Late
	}
	return s
}

// life is a key of a producer, as the newest publication that lists it has it.
type life struct {
	producer string
	first    bool // no other key of its producer is published before
	id       string
	schedule keys.Schedule
	built    time.Time // when the first bundle was built that lists it
	types    []grant
}

// grant is a pattern of types, and when the first bundle was built that allows it.
type grant struct {
	pattern string
	built   time.Time
}

// lives are the keys of the plan, in the order in which they are published.
func (p *Plan) lives() (list []life) {
	for _, pub := range p.Publications {
		for _, o := range cmpOr(pub.Merged, pub.Policy).Producers {
			for _, k := range o.Keys {
				i := slices.IndexFunc(list, func(l life) bool { return l.id == k.ID })
				if i < 0 {
					list = append(list, life{producer: o.Name, id: k.ID, built: pub.Built,
						first: len(ofProducer(list, o.Name)) == 0})
					i = len(list) - 1
				}
				list[i].schedule = k.Schedule
				list[i].allow(o.Types, pub.Built)
			}
		}
	}
	return list
}

func (l *life) allow(types []string, built time.Time) {
	for _, pattern := range types {
		if !slices.ContainsFunc(l.types, func(g grant) bool { return g.pattern == pattern }) {
			l.types = append(l.types, grant{pattern, built})
		}
	}
}

// usual is an event type that the key may sign since it is known.
func (l *life) usual() string {
	if len(l.types) == 0 {
		return "com.example.event"
	}
	return fitting(l.types[0].pattern)
}

// end is when the key stops signing; zero = never.
func (l *life) end() time.Time {
	s := l.schedule
	if s.Retired.IsZero() || !s.Expired.IsZero() && s.Expired.Before(s.Retired) {
		return s.Expired
	}
	return s.Retired
}
