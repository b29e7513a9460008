package rehearsal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

const (
	manyConsumers = 200
	// looks is how often in a refresh interval the traffic of a consumer has it look at its bundle.
	looks = 40
)

// Emergency is how long a revocation takes to reach the consumers, which have traffic all the time.
type Emergency struct {
	Label          string        // of the key
	Most           time.Duration // until 99 of 100 consumers refuse its events
	Last           time.Duration // until the last one does that no mirror deceives
	Withheld       time.Duration // until those do from which a mirror withholds it; 0 = there is none
	MostInRefreshs float64       // Most, in refresh intervals
}

// heard is when a consumer refused the key first.
type heard struct {
	consumer int
	after    time.Duration
}

// emergency plays a revocation with many consumers, each of which asks at its own times.
func (p *Plan) emergency(ctx context.Context, v Revocation) (*Emergency, error) {
	chance := rand.New(rand.NewPCG(uint64(p.Seed), 99))
	last := trust.MaxBundleLifetime // until a mirror can withhold it
	if p.Timestamps {
		last = 25 * time.Hour
	}
	s := p.scenario()
	s.Revocations, s.Outages = []Revocation{v}, nil
	for i := range manyConsumers {
		lag := time.Duration(chance.Int64N(int64(p.Cache) + 1))
		c := Consumer{Name: fmt.Sprintf("consumer %d", i+1), Lag: lag}
		from := v.At.Add(-2*p.Refresh + time.Duration(chance.Int64N(int64(p.Refresh))))
		step, until := p.Refresh/looks, v.At.Add(p.Cache+2*p.Refresh)
		if !p.Withheld.IsZero() && i%50 == 0 {
			c.Withheld = earliest(p.Withheld, v.At.Add(-1))
			step, until = time.Minute, v.At.Add(last)
		}
		for at := from; at.Before(until); at = at.Add(step) {
			c.Polls = append(c.Polls, at)
		}
		s.Consumers = append(s.Consumers, c)
		s.End = latest(s.End, until)
	}
	r, err := Run(ctx, s)
	if err != nil {
		return nil, err
	}
	e := &Emergency{Label: p.Cast.Label(v.KeyID)}
	var honest []time.Duration
	for _, h := range r.heard {
		if s.Consumers[h.consumer].Withheld.IsZero() {
			honest = append(honest, h.after)
		} else {
			e.Withheld = max(e.Withheld, h.after)
		}
	}
	if len(r.heard) != manyConsumers {
		return nil, fmt.Errorf("rehearsal: %d of %d consumers heard of a revocation", len(r.heard), manyConsumers)
	}
	slices.Sort(honest)
	e.Most, e.Last = honest[(len(honest)*99+99)/100-1], honest[len(honest)-1]
	e.MostInRefreshs = float64(e.Most) / float64(p.Refresh)
	return e, nil
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// listen notes when the consumer first refuses a revoked key, or has no trust any more.
func (c *reader) listen(b *trust.Bundle, err error) {
	for _, v := range c.run.Revocations {
		if c.run.clock.now.Before(v.At) || c.heard {
			continue
		}
		if err == nil {
			if k := b.Key(v.KeyID); k != nil && k.Revoked == nil {
				continue
			}
		}
		c.heard = true
		c.run.rec.heard = append(c.run.rec.heard, heard{c.index, c.run.clock.now.Sub(v.At)})
	}
}
