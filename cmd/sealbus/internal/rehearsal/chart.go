package rehearsal

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/keys"
)

// maxLanes is how many keys a chart shows.
const maxLanes = 8

// Chart is a record as a table: a row for each moment, a lane for each key.
type Chart struct {
	Keys []Lane
	Rows []Row
}

// Lane is a key of a chart.
type Lane struct{ Producer, Label, id string }

// Row is a moment of a chart, and what holds from it until the next.
type Row struct {
	At     time.Time
	Of     Subject
	Text   string
	States []keys.State // of each key, as the bundle on the host has it; "" = it does not list the key
	Bundle int64        // on the host
	Down   bool         // the host does not answer
	// How many events were sealed since this row and before the next, by their ends at the consumers.
	Accepted, Lost, Other int
}

// Chart shows the story of a failure, and without one the life of the keys.
func (r *Record) Chart() *Chart {
	moments := r.Story()
	if len(r.Failures()) == 0 {
		moments = r.milestones()
	}
	c := &Chart{}
	for _, m := range moments {
		c.Rows = append(c.Rows, Row{At: m.At, Of: m.Of, Text: m.Text, Down: r.isDown(m.At)})
	}
	r.lanes(c)
	r.count(c)
	return c
}

// milestones are the moments of bundles and keys.
func (r *Record) milestones() []Moment {
	list := slices.DeleteFunc(slices.Clone(r.Moments), func(m Moment) bool { return m.Of != OfBundles })
	s := r.Scenario
	list = append(list, Moment{s.Start, OfBundles, "the rehearsal begins"},
		Moment{s.End, OfBundles, "the rehearsal ends"})
	plan := Plan{Publications: s.Publications}
	for _, l := range plan.lives() {
		label := s.Cast.Label(l.id)
		for _, is := range []struct {
			at   time.Time
			text string
		}{{l.schedule.Active, "is active: it signs"}, {l.schedule.Retired, "is retired: it signs no longer"},
			{l.schedule.Expired, "is expired: its events are no longer accepted"}} {
			if is.at.After(s.Start) && is.at.Before(s.End) {
				list = append(list, Moment{is.at, OfKeys, fmt.Sprintf("key %s of %s %s", label, l.producer, is.text)})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b Moment) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Of, b.Of))
	})
	return list
}

func (r *Record) isDown(at time.Time) bool {
	h := host{outages: r.Scenario.Outages}
	return h.isDown(at)
}

// lanes fills in the keys and their states. Keys that never change are left out, if there are others.
func (r *Record) lanes(c *Chart) {
	plan := Plan{Publications: r.Scenario.Publications}
	var still []Lane
	for _, l := range plan.lives() {
		lane := Lane{l.producer, r.Scenario.Cast.Label(l.id), l.id}
		changes := false
		for _, row := range c.Rows[min(1, len(c.Rows)):] {
			changes = changes || r.stateAt(l.id, row.At) != r.stateAt(l.id, c.Rows[0].At)
		}
		if changes || slices.ContainsFunc(r.Failures(), func(v Verdict) bool { return v.KeyID == l.id }) {
			c.Keys = append(c.Keys, lane)
		} else {
			still = append(still, lane)
		}
	}
	if len(c.Keys) == 0 {
		c.Keys = still
	}
	c.Keys = c.Keys[:min(len(c.Keys), maxLanes)]
	for i := range c.Rows {
		row := &c.Rows[i]
		for _, lane := range c.Keys {
			row.States = append(row.States, r.stateAt(lane.id, row.At))
		}
		if up := r.onHost(row.At); up != nil {
			row.Bundle = up.bundle.Version()
		}
	}
}

func (r *Record) onHost(at time.Time) (found *upload) {
	for i, u := range r.uploads {
		if !u.at.After(at) {
			found = &r.uploads[i]
		}
	}
	return found
}

func (r *Record) stateAt(id string, at time.Time) keys.State {
	up := r.onHost(at)
	if up == nil {
		return ""
	}
	k := up.bundle.Key(id)
	switch {
	case k == nil:
		return ""
	case slices.ContainsFunc(r.Scenario.Revocations, func(v Revocation) bool {
		return v.KeyID == id && !v.At.After(at)
	}):
		return keys.StateRevoked
	}
	return k.StateAt(at)
}

// count fills in the events.
func (r *Record) count(c *Chart) {
	for _, v := range r.Verdicts {
		i := len(c.Rows) - 1
		for i > 0 && c.Rows[i].At.After(v.Sealed) {
			i--
		}
		switch {
		case i < 0:
		case v.Outcome == Accepted:
			c.Rows[i].Accepted++
		case v.IsFailure():
			c.Rows[i].Lost++
		default:
			c.Rows[i].Other++
		}
	}
}
