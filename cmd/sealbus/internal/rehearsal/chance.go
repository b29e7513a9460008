package rehearsal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
)

// mostOutage is how long a host may fail by chance: an event that comes ten times, a minute apart, outlasts
// it, with the pause that a source makes between two attempts.
const mostOutage = 7 * time.Minute

// byChance is a course of events within the limits of the plan.
func (p *Plan) byChance(n int) *Scenario {
	c := chance{rand.New(rand.NewPCG(uint64(p.Seed), uint64(n)))}
	s := p.scenario()
	for i := range s.Publications[1:] {
		s.Publications[i+1].Late = c.upTo(p.Late)
	}
	lives := p.lives()
	moments := p.moments(lives)
	for _, name := range names(lives) {
		for range p.Producers {
			o := Producer{Name: name, Skew: c.skew(p.Skew), CutOff: c.IntN(3) == 0, Lag: c.upTo(p.Cache)}
			if !o.CutOff && c.IntN(3) == 0 { // then it hears of the changes from the bundle
				o.Behind = c.IntN(len(p.Publications))
				for i := range s.Publications {
					s.Publications[i].Late = min(s.Publications[i].Late, p.Outage())
				}
			}
			s.Producers = append(s.Producers, o)
		}
	}
	for i := range p.Consumers {
		o := Consumer{Name: fmt.Sprintf("consumer %d", i+1), Skew: c.skew(p.Skew), Lag: c.upTo(p.Cache)}
		for range c.IntN(6) {
			o.Polls = append(o.Polls, c.near(moments, p))
		}
		if !p.Withheld.IsZero() && i%2 == 0 {
			o.Withheld = p.Withheld
		}
		s.Consumers = append(s.Consumers, o)
	}
	if c.IntN(3) == 0 {
		c.outage(p, s, latest(c.near(moments, p), p.Start.Add(time.Second)))
	}
	for by, o := range s.Producers {
		for range 3 + c.IntN(6) {
			at := c.near(moments, p)
			if key := p.signing(o, at); key != nil {
				s.Sends = append(s.Sends, Send{At: at, By: by, Type: c.typeOf(key, &o, at, p),
					Delay: c.upTo(p.InFlight)})
			}
		}
	}
	s.End = p.Start
	for _, send := range s.Sends {
		end := send.At.Add(send.Delay + time.Duration(s.Receives)*s.Visibility + time.Second)
		s.End = latest(s.End, end)
	}
	return s
}

// outage has the host fail. Of three refreshes two may, for a process that hears of a change only from its
// bundle: it asks just before the host fails, and the time until the bundle came counts as well. One that was
// idle, or that hears nothing for longer, signs by what it knew. No date of a bundle protects it: its keyring
// does, if the process is restarted or keys.WatchKeyring renews it.
func (c chance) outage(p *Plan, s *Scenario, from time.Time) {
	most := mostOutage
	for by, o := range s.Producers {
		if o.Behind == 0 {
			continue
		}
		for _, pub := range s.Publications {
			most = min(most, p.Outage()-pub.Late)
		}
		at := from.Add(-instant)
		if key := p.signing(o, at); key != nil {
			s.Sends = append(s.Sends, Send{At: at, By: by, Type: key.usual()})
		}
	}
	s.Outages = append(s.Outages, Outage{from, c.upTo(most)})
}

// chance draws within limits, and the limits themselves often, since that is where rules break.
type chance struct{ *rand.Rand }

func (c chance) upTo(most time.Duration) time.Duration {
	switch c.IntN(4) {
	case 0:
		return 0
	case 1:
		return most
	}
	return time.Duration(c.Int64N(int64(most) + 1))
}

// skew is a clock that differs from any other by that much at most.
func (c chance) skew(most time.Duration) time.Duration {
	d := c.upTo(most / 2)
	if c.IntN(2) == 0 {
		return -d
	}
	return d
}

// near is at or about one of the moments, and not before the plan begins.
func (c chance) near(moments []time.Time, p *Plan) time.Time {
	at := moments[c.IntN(len(moments))]
	switch c.IntN(4) {
	case 0:
		at = at.Add(c.skew(20 * p.Refresh))
	case 1:
		at = at.Add(c.skew(2 * p.Skew))
	case 2:
		at = at.Add(c.skew(p.Cache + 2*time.Second))
	}
	return latest(at, p.Start)
}

// typeOf is a type that the key may sign. A process that does not ask its trust leaves new ones for later.
func (c chance) typeOf(l *life, o *Producer, at time.Time, p *Plan) string {
	if len(l.types) > 0 {
		g := l.types[c.IntN(len(l.types))]
		known := g.built.Add(keydoc.KnownAfter(p.Refresh, p.Cache) - p.Skew)
		if !o.CutOff || !at.Before(known) {
			return fitting(g.pattern)
		}
	}
	return l.usual()
}

// moments are those at which something changes.
func (p *Plan) moments(lives []life) (list []time.Time) {
	for _, pub := range p.Publications {
		list = append(list, pub.Built, pub.Built.Add(p.Late), pub.Built.Add(p.Late+p.Cache))
	}
	for _, l := range lives {
		for _, at := range []time.Time{l.schedule.Active, l.end()} {
			if at.After(p.Start) {
				list = append(list, at, at.Add(-instant))
			}
		}
	}
	for _, v := range p.Revocations {
		list = append(list, v.At)
	}
	return list
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func names(lives []life) (list []string) {
	for _, l := range lives {
		if !slices.Contains(list, l.producer) {
			list = append(list, l.producer)
		}
	}
	return list
}

func ofProducer(lives []life, name string) (list []life) {
	for _, l := range lives {
		if l.producer == name {
			list = append(list, l)
		}
	}
	return list
}

// signing is the key that the process may sign with at that moment; nil = it has none. One that cannot ask
// its trust is told by its operators when it may begin to sign at all.
func (p *Plan) signing(o Producer, at time.Time) *life {
	now := at.Add(o.Skew) // by its clock
	var found *life
	for _, l := range ofProducer(o.known(p.Publications, at).lives(), o.Name) {
		early := o.CutOff && l.first && now.Before(l.built.Add(keydoc.KnownAfter(p.Refresh, p.Cache)))
		if l.schedule.SignsAt(now) && (!early || l.built.Equal(p.Start)) {
			found = &l
		}
	}
	return found
}
