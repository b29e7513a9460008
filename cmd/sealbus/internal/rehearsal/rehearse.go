package rehearsal

import (
	"context"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// Findings are what a rehearsal found.
type Findings struct {
	Plan    Plan      // with the usual limits filled in
	Usual   *Record   // a course without a failure, for the chart; nil = there was none
	Stories []*Record // the shortest course for each kind of failure
	Courses int       // that were played
	Days    float64   // of virtual time
	Counts  map[Outcome]int
	Faults  []*policy.Fault // for which trust build refuses the schedules

	Emergencies []*Emergency // one for each revocation of the plan
}

// Rehearse plays the worst courses of the plan, and some by chance.
func Rehearse(ctx context.Context, plan *Plan) (*Findings, error) {
	p, err := plan.filledIn()
	if err != nil {
		return nil, err
	}
	f := &Findings{Plan: p, Counts: map[Outcome]int{}}
	if f.Faults, err = p.Judge(ctx); err != nil {
		return nil, err
	}
	courses := p.Worst()
	for n := range p.Courses {
		courses = append(courses, p.byChance(n))
	}
	told := map[string]bool{}
	for _, s := range courses {
		r, err := Run(ctx, s)
		if err != nil {
			return nil, err
		}
		f.add(r)
		failures := r.Failures()
		if len(failures) == 0 {
			if f.Usual == nil || r.Count(Accepted) > f.Usual.Count(Accepted) {
				f.Usual = r
			}
			continue
		}
		kind := string(failures[0].Outcome) + " " + string(failures[0].Reason)
		if told[kind] {
			continue // one story of a kind is enough
		}
		told[kind] = true
		short, err := Shrink(ctx, s)
		if err != nil {
			return nil, err
		}
		f.Stories = append(f.Stories, short)
	}
	for _, v := range p.Revocations {
		e, err := p.emergency(ctx, v)
		if err != nil {
			return nil, err
		}
		f.Emergencies = append(f.Emergencies, e)
	}
	return f, nil
}

// Judge is what trust build finds, if each bundle is published as soon as it is built.
func (p *Plan) Judge(ctx context.Context) ([]*policy.Fault, error) {
	c, err := p.filledIn()
	if err != nil {
		return nil, err
	}
	s := c.scenario()
	for i := range s.Publications {
		s.Publications[i].Late = 0
	}
	s.Timestamps, s.End = p.Timestamps, p.Publications[len(p.Publications)-1].Built.Add(time.Second)
	r, err := Run(ctx, s)
	if err != nil {
		return nil, err
	}
	return r.faults, nil
}

// Refusals are the faults as the story calls the keys.
func (f *Findings) Refusals() []string {
	list := []string{}
	for _, fault := range f.Faults {
		list = append(list, f.Plan.Cast.relabel(errtext.Plain(fault)))
	}
	return list
}

// Chart shows the first story and, without one, a usual course.
func (f *Findings) Chart() *Chart {
	if len(f.Stories) > 0 {
		return f.Stories[0].Chart()
	}
	return f.Usual.Chart()
}

func (f *Findings) add(r *Record) {
	f.Courses++
	f.Days += r.Days()
	for _, v := range r.Verdicts {
		f.Counts[v.Outcome]++
	}
}
