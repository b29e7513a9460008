package rehearsal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
)

// The limits of a plan file.
const (
	MaxPlan  = 64 << 10 // bytes
	maxSteps = 100
	maxCast  = 50     // processes of one kind
	maxPlay  = 10_000 // courses
)

// Values reads the values of a plan file as the command reads those of flags.
type Values struct {
	Duration func(text string) (time.Duration, error)
	Moment   func(text string, base time.Time) (time.Time, error)
}

// Read adds what a plan file says: a line for each limit, and a line for each step.
//
//	# how bad the world may be
//	cache 10m
//	skew 2m
//	# what happens
//	at +1h rotate orders
//	at 2026-03-02T09:00:00Z revoke orders
//
// Now is the moment from which steps with a distance count.
func (p *Plan) Read(doc []byte, now time.Time, v Values) error {
	if len(doc) > MaxPlan {
		return fmt.Errorf("more than %d bytes", MaxPlan)
	}
	steps := 0
	for i, line := range strings.Split(string(doc), "\n") {
		text, _, _ := strings.Cut(line, "#")
		words := strings.Fields(text)
		if len(words) == 0 {
			continue
		}
		err := errors.New("a limit is a word and a value: cache 10m")
		switch {
		case words[0] == "at":
			if steps++; steps > maxSteps {
				return fmt.Errorf("line %d: more than %d steps", i+1, maxSteps)
			}
			err = p.readStep(words[1:], now, v)
		case len(words) == 2:
			err = p.readLimit(words[0], words[1], v)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *Plan) readLimit(name, value string, v Values) error {
	durations := map[string]*time.Duration{"refresh": &p.Refresh, "cache": &p.Cache, "in-flight": &p.InFlight,
		"skew": &p.Skew, "late": &p.Late}
	numbers := map[string]*int{"consumers": &p.Consumers, "producers": &p.Producers, "courses": &p.Courses}
	if to := durations[name]; to != nil {
		d, err := v.Duration(value)
		switch {
		case err != nil:
			return err
		case d > 30*24*time.Hour:
			return fmt.Errorf("%s %s is more than 30 days", name, value)
		case d == 0 && (to == &p.Skew || to == &p.Late):
			d = -1 // 0 stands for the usual one
		case d == 0 && to == &p.Refresh, d%time.Second != 0:
			return fmt.Errorf("%s %s: give whole seconds, and at least one", name, value)
		}
		*to = d
		return nil
	}
	if to := numbers[name]; to != nil {
		n, err := strconv.Atoi(value)
		most := maxCast
		if to == &p.Courses {
			most = maxPlay
		}
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("%s %s is not within 1 to %d", name, value, most)
		}
		*to = n
		return nil
	}
	switch name {
	case "seed":
		n, err := strconv.ParseInt(value, 10, 64)
		p.Seed = n
		return err
	case "timestamps":
		p.Timestamps = value == "yes"
		if value != "yes" && value != "no" {
			return errors.New("timestamps is yes or no")
		}
		return nil
	}
	return fmt.Errorf("no limit is called %q: refresh, cache, in-flight, skew, late, timestamps, consumers, "+
		"producers, courses or seed", name)
}

// readStep reads what stands behind "at".
func (p *Plan) readStep(words []string, now time.Time, v Values) error {
	if len(words) < 2 {
		return errors.New("a step is a moment and what happens: at +1h revoke orders")
	}
	at, err := v.Moment(words[0], now)
	if err != nil {
		return err
	}
	at = at.Truncate(time.Second)
	if at.Before(p.Start) || at.Sub(now) > 400*24*time.Hour {
		return errors.New("a step is not before the rehearsal begins, and within 400 days")
	}
	what, rest := words[1], words[2:]
	switch {
	case what == "outage" && len(rest) == 1:
		d, err := v.Duration(rest[0])
		p.Outages = append(p.Outages, Outage{at, d})
		return err
	case what == "withhold" && len(rest) == 0:
		p.Withheld = at
		return nil
	case what == "revoke" && len(rest) == 1:
		return p.revokeStep(at, rest[0])
	case what == "rotate" && len(rest)%2 == 1:
		return p.rotateStep(at, rest[0], rest[1:], v)
	case what == "widen" && len(rest) == 2:
		return p.widenStep(at, rest[0], rest[1], false)
	case what == "rival" && len(rest) == 2:
		return p.widenStep(at, rest[0], rest[1], true)
	}
	return errors.New("a step is one of: outage DURATION, withhold, revoke PRODUCER, widen PRODUCER TYPE, " +
		"rival PRODUCER TYPE, rotate PRODUCER [active +D] [retired +D] [expired +D]")
}

// newest is a copy of the newest policy, and the producer in it.
func (p *Plan) newest(name string) (*policy.Policy, *policy.Producer, error) {
	last := p.Publications[len(p.Publications)-1]
	is := cmpOr(last.Merged, last.Policy)
	c := &policy.Policy{Producers: slices.Clone(is.Producers)}
	for i := range c.Producers {
		if o := &c.Producers[i]; o.Name == name {
			o.Keys, o.Types = slices.Clone(o.Keys), slices.Clone(o.Types)
			return c, o, nil
		}
	}
	return nil, nil, fmt.Errorf("the policy has no producer %q", name)
}

// publish adds a bundle, which may not be built before the last one.
func (p *Plan) publish(pub Publication) error {
	if last := p.Publications[len(p.Publications)-1]; pub.Built.Before(last.Built) {
		return fmt.Errorf("the bundle before is built at %s: put the steps in the order of time",
			last.Built.Format(keydoc.TimeFormat))
	}
	p.Publications = append(p.Publications, pub)
	return nil
}

func (p *Plan) revokeStep(at time.Time, name string) error {
	_, o, err := p.newest(name)
	if err != nil {
		return err
	}
	if i := newestKey(o, at); i >= 0 {
		p.Revocations = append(p.Revocations, Revocation{at, o.Keys[i].ID})
		return nil
	}
	return fmt.Errorf("no key of %q signs at that time", name)
}

// newestKey is the key that signs at that time and became active last; -1 = there is none.
func newestKey(o *policy.Producer, at time.Time) int {
	found := -1
	for i, k := range o.Keys {
		if k.Schedule.SignsAt(at) && (found < 0 || !k.Schedule.Active.Before(o.Keys[found].Schedule.Active)) {
			found = i
		}
	}
	return found
}

// rotateStep publishes a new key of the producer, and gives the one that signs its ends. Without moments,
// they are the earliest that the rules allow.
func (p *Plan) rotateStep(at time.Time, name string, words []string, v Values) error {
	c, o, err := p.newest(name)
	if err != nil {
		return err
	}
	var given keys.Schedule
	for i := 0; i < len(words); i += 2 {
		to := map[string]*time.Time{"active": &given.Active, "retired": &given.Retired,
			"expired": &given.Expired}[words[i]]
		if to == nil {
			return fmt.Errorf("%q is none of active, retired and expired", words[i])
		}
		if *to, err = v.Moment(words[i+1], at); err != nil {
			return err
		}
	}
	usual, err := p.filledIn()
	if err != nil {
		return err
	}
	old := newestKey(o, at)
	if old < 0 {
		return fmt.Errorf("no key of %q signs at that time", name)
	}
	fresh := keys.Schedule{Published: at, Active: at.Add(keydoc.KnownAfter(usual.Refresh, usual.Cache))}
	if !given.Active.IsZero() {
		fresh.Active = given.Active
	}
	ends := &o.Keys[old].Schedule
	ends.Retired = cmp.Or(given.Retired, fresh.Active.Add(time.Hour))
	ends.Expired = cmp.Or(given.Expired, ends.Retired.Add(usual.InFlight+keydoc.TimestampSkew))
	id, err := p.Cast.Key(name, fmt.Sprintf("%s %d", name, len(o.Keys)+1))
	if err != nil {
		return err
	}
	o.Keys = append(o.Keys, policy.Key{ID: id, Schedule: fresh})
	if err := errors.Join(fresh.Check(), ends.Check()); err != nil {
		return err
	}
	return p.publish(Publication{Built: at, Policy: c})
}

// widenStep publishes a bundle by which the producer may send one more type. A rival does it from the bundle
// that the publisher before began with, at the same time.
func (p *Plan) widenStep(at time.Time, name, typ string, rival bool) error {
	if err := keys.CheckTypePattern(typ); err != nil {
		return err
	}
	merged, o, err := p.newest(name)
	if err != nil {
		return err
	}
	o.Types = append(o.Types, typ)
	pub := Publication{Built: at, Policy: merged}
	if rival {
		if len(p.Publications) < 2 {
			return errors.New("a rival needs a bundle before its own")
		}
		own := Plan{Publications: p.Publications[:len(p.Publications)-1]}
		alone, o, err := own.newest(name)
		if err != nil {
			return err
		}
		o.Types = append(o.Types, typ)
		pub = Publication{Built: at, Policy: alone, Rival: true, Merged: merged}
	}
	return p.publish(pub)
}
