package rehearsal

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/sealbus/sealbus/envelope"
)

// maxShrinks bounds the courses that are played to make one story shorter.
const maxShrinks = 300

// Shrink makes a scenario with a failure shorter, as long as it fails for the same reason.
func Shrink(ctx context.Context, s *Scenario) (*Record, error) {
	best, err := Run(ctx, s)
	if err != nil || len(best.Failures()) == 0 {
		return best, err
	}
	first := best.Failures()[0]
	played := 0
	for again := true; again; {
		again = false
		for _, try := range best.Scenario.shorter(best.Failures()[0]) {
			if played++; played > maxShrinks {
				return best, nil
			}
			r, err := Run(ctx, try)
			if err != nil || !r.failsFor(first.Outcome, first.Reason) {
				continue // what is left out was needed
			}
			best, again = r, true
			break
		}
	}
	return best, nil
}

func (r *Record) failsFor(o Outcome, reason envelope.Reason) bool {
	return slices.ContainsFunc(r.Failures(), func(v Verdict) bool {
		return v.Outcome == o && v.Reason == reason
	})
}

// shorter are scenarios with one thing less, the greatest first.
func (s *Scenario) shorter(failed Verdict) (list []*Scenario) {
	add := func(change func(c *Scenario)) {
		c := s.clone()
		if change(c); !reflect.DeepEqual(c, s) {
			list = append(list, c)
		}
	}
	add(func(c *Scenario) { c.Sends = c.Sends[failed.Send : failed.Send+1] })
	if failed.Consumer >= 0 {
		add(func(c *Scenario) { c.Consumers = c.Consumers[failed.Consumer : failed.Consumer+1] })
	} else {
		add(func(c *Scenario) { c.Consumers = c.Consumers[:1] })
	}
	add(func(c *Scenario) {
		by := s.Sends[failed.Send].By
		c.Producers, c.Sends = c.Producers[by:by+1], c.Sends[failed.Send:failed.Send+1]
		c.Sends[0].By = 0
	})
	add(func(c *Scenario) { c.End = failed.At.Add(time.Second) })
	add(func(c *Scenario) { c.Outages = nil })
	add(func(c *Scenario) { c.Revocations = nil })
	for i := len(s.Publications) - 2; i > 0; i-- { // the last one has all that honest programs use
		add(func(c *Scenario) {
			c.Publications = slices.Delete(c.Publications, i, i+1)
			for j := range c.Producers {
				c.Producers[j].Behind = min(c.Producers[j].Behind, len(c.Publications)-1)
			}
		})
	}
	add(func(c *Scenario) { c.Timestamps = false })
	for i := range s.Publications {
		add(func(c *Scenario) { c.Publications[i].Late = 0 })
		add(func(c *Scenario) { c.Publications[i].Rival = false })
	}
	for i := range s.Producers {
		add(func(c *Scenario) { c.Producers[i].Skew = 0 })
		add(func(c *Scenario) { c.Producers[i].Behind = 0 })
		add(func(c *Scenario) { c.Producers[i].CutOff = false })
		add(func(c *Scenario) { c.Producers[i].Lag = 0 })
	}
	for i, o := range s.Consumers {
		add(func(c *Scenario) { c.Consumers[i].Skew = 0 })
		add(func(c *Scenario) { c.Consumers[i].Lag = 0 })
		add(func(c *Scenario) { c.Consumers[i].Withheld = time.Time{} })
		add(func(c *Scenario) { c.Consumers[i].Polls = nil })
		for j := range o.Polls {
			add(func(c *Scenario) { c.Consumers[i].Polls = slices.Delete(c.Consumers[i].Polls, j, j+1) })
		}
	}
	for i := range s.Sends {
		add(func(c *Scenario) { c.Sends[i].Delay = 0 })
		add(func(c *Scenario) { c.Sends[i].Delay /= 2 })
	}
	return list
}

func (s *Scenario) clone() *Scenario {
	c := *s
	c.Publications, c.Revocations = slices.Clone(s.Publications), slices.Clone(s.Revocations)
	c.Outages, c.Producers = slices.Clone(s.Outages), slices.Clone(s.Producers)
	c.Consumers, c.Sends = slices.Clone(s.Consumers), slices.Clone(s.Sends)
	for i := range c.Consumers {
		c.Consumers[i].Polls = slices.Clone(c.Consumers[i].Polls)
	}
	return &c
}
