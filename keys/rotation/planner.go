package rotation

import (
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// planner plans for the keys of one kind.
type planner struct {
	Options
	now  time.Time
	keys []Key // in the order in which they were added
}

func (p *planner) plan() ([]Step, error) {
	newest := p.newest()
	if newest == nil || newest.Trust.revoked() {
		return p.begin(newest, p.now)
	}
	if p.now.Before(newest.Schedule.Active) && !p.At.IsZero() && !p.At.Equal(newest.Schedule.Active) {
		return p.move(newest)
	}
	if due, ok := p.nextIsDue(newest); ok {
		return p.begin(newest, due)
	}
	return p.follow(newest), nil
}

func (l *Listed) revoked() bool { return l != nil && l.Revoked }
func (l *Listed) tainted() bool { return l != nil && l.Tainted }

// listed reports whether the bundle lists the key.
func (l *Listed) listed() bool { return l != nil && !l.KnownAt.IsZero() }

// newest is the key that signs in the end, as keys.Keyring.Signers chooses: that with the latest Active of
// all that have not ended.
func (p *planner) newest() (best *Key) {
	for i := range p.keys {
		k := &p.keys[i]
		if end := endOf(&k.Schedule); !end.IsZero() && !p.now.Before(end) {
			continue
		}
		if best == nil || !k.Schedule.Active.Before(best.Schedule.Active) {
			best = k
		}
	}
	return best
}

// endOf is when the key signs no more; zero = never.
func endOf(s *keys.Schedule) time.Time { return earlier(s.Retired, s.Expired) }

// nextIsDue is when the key after newest is to be made; false = nothing demands one yet.
func (p *planner) nextIsDue(newest *Key) (due time.Time, ok bool) {
	if p.now.Before(newest.Schedule.Active) {
		return due, false // a change is under way
	}
	lead := p.Review + p.Known
	if end := endOf(&newest.Schedule); !end.IsZero() {
		due = end.Add(-lead)
	}
	switch {
	case p.Every > 0 && newest.Schedule.Active.IsZero():
		due = p.now // its age is not known
	case p.Every > 0:
		due = earlier(due, newest.Schedule.Active.Add(p.Every-lead))
	}
	if newest.Trust.tainted() || p.Begin && !p.underWay(newest) {
		due = p.now
	}
	return later(due, newest.Schedule.Active), !due.IsZero()
}

// underWay reports whether an older key is still to end or to be removed.
func (p *planner) underWay(newest *Key) bool {
	return slices.ContainsFunc(p.keys, func(k Key) bool { return k.ID != newest.ID && !k.Trust.revoked() })
}

// begin plans a new key that is made at due. The key before it is nil if no key signs.
func (p *planner) begin(before *Key, due time.Time) ([]Step, error) {
	made := later(due, p.now)
	at, err := p.takeOver(before, made)
	if err != nil {
		return nil, err
	}
	step := Step{Action: Make, At: due, Status: Waiting,
		Schedule: keys.Schedule{Published: made, Active: at}, Reschedule: map[string]keys.Schedule{}}
	if !due.After(p.now) {
		step.Status = Due
	}
	step.Like = p.keys[len(p.keys)-1].ID
	if before != nil {
		step.Like = before.ID
		if s, ok := p.ended(before, at); ok {
			step.Reschedule[before.ID] = s
		}
	}
	next := &planner{Options: p.Options, now: p.now}
	for _, k := range p.keys {
		if s, ok := step.Reschedule[k.ID]; ok {
			k.Schedule = s
		}
		next.keys = append(next.keys, k)
	}
	unmade := Key{Schedule: step.Schedule}
	if before != nil && before.Trust != nil {
		unmade.Trust = &Listed{}
	}
	next.keys = append(next.keys, unmade)
	steps := append([]Step{step}, next.follow(&next.keys[len(next.keys)-1])...)
	for i := range steps[1:] {
		if s := &steps[1+i]; s.KeyID == "" && s.Status != Done {
			s.Status = Waiting // for the key to be made
		}
	}
	return steps, nil
}

// takeOver is when a key that is made then becomes active. It leaves no gap after the key before.
func (p *planner) takeOver(before *Key, made time.Time) (time.Time, error) {
	isSound := before != nil && !before.Trust.revoked()
	at := later(p.At, made)
	if p.At.IsZero() {
		at = made.Add(p.Known)
		if isSound && !before.Trust.tainted() {
			at = at.Add(p.Review)
		}
	}
	switch {
	case before == nil:
		return at, nil
	case !isSound:
		return later(at, before.Schedule.Active), nil
	}
	switch end := endOf(&before.Schedule); {
	case end.IsZero() || !end.Before(at):
		return at, nil
	case p.At.IsZero():
		return later(end, p.now), nil
	default:
		return at, &MomentError{At: at, Possible: end, KeyID: before.ID, Late: true}
	}
}

// ended is the schedule of a key that another one takes over from at that time. An end that the key has
// already stays. It is false if nothing changes.
func (p *planner) ended(k *Key, at time.Time) (keys.Schedule, bool) {
	s := k.Schedule
	if s.Retired.IsZero() {
		s.Retired = earlier(s.Expired, later(later(at.Add(p.Overlap), p.now), s.Active.Add(time.Second)))
	}
	if s.Expired.IsZero() { // a retirement that was written down late was not known before now
		s.Expired = later(s.Retired, p.now).Add(p.InFlight + keydoc.TimestampSkew)
	}
	return s, s != k.Schedule && s.Check() == nil && !k.Trust.revoked()
}

// move lets the new key become active at another time, and moves the ends that were planned with it, as far
// as consumers accept that.
func (p *planner) move(newest *Key) ([]Step, error) {
	at := later(p.At, p.now)
	if from := newest.from(); at.Before(from) {
		return nil, &MomentError{At: at, Possible: from, KeyID: newest.ID}
	}
	step := Step{Action: Move, KeyID: newest.ID, At: p.now, Status: Due, Reschedule: map[string]keys.Schedule{}}
	moved := &planner{Options: p.Options, now: p.now, keys: slices.Clone(p.keys)}
	var to *Key
	var last time.Time // when the last of the keys ends that sign now
	gap := &MomentError{At: at, Late: true}
	for i := range moved.keys {
		k := &moved.keys[i]
		switch {
		case k.ID == newest.ID:
			to = k
			k.Schedule.Active = at
			k.Schedule.Published = earlier(k.Schedule.Published, p.now)
		case k.Schedule.SignsAt(p.now):
			k.Schedule = p.movedEnd(k, at.Sub(newest.Schedule.Active), newest.Schedule.Active)
			end := endOf(&k.Schedule)
			if gap != nil && (end.IsZero() || !end.Before(at)) {
				gap = nil
			} else if gap != nil && end.After(last) {
				last, gap.Possible, gap.KeyID = end, end, k.ID
			}
		}
		if k.Schedule != p.keys[i].Schedule {
			step.Reschedule[k.ID] = k.Schedule
		}
	}
	if gap != nil && gap.KeyID != "" {
		return nil, gap
	}
	return append([]Step{step}, moved.follow(to)...), nil
}

// from is from when consumers accept the key as active. Without a bundle, its present schedule counts, which
// the policy may have already.
func (k *Key) from() time.Time {
	switch {
	case k.Trust == nil:
		return k.Schedule.Active
	case k.Trust.listed():
		return k.Trust.From
	}
	return time.Time{}
}

// movedEnd is the schedule of an older key whose end was planned for after the takeover, if that moves. The
// bundle bounds it. Without one it stays, because the policy may have it already.
func (p *planner) movedEnd(k *Key, shift time.Duration, was time.Time) keys.Schedule {
	s := k.Schedule
	if s.Retired.IsZero() || s.Retired.Before(was) || k.Trust == nil {
		return s
	}
	s.Retired = earlier(later(s.Retired.Add(shift), p.now.Add(time.Second)), k.Trust.Until)
	if !s.Expired.IsZero() {
		s.Expired = later(s.Expired, s.Retired.Add(p.InFlight+keydoc.TimestampSkew))
	}
	return s
}

// follow plans what comes after the newest key was made.
func (p *planner) follow(newest *Key) []Step {
	steps := p.publish(newest)
	var left []Step
	for i := range p.keys {
		if k := &p.keys[i]; k.ID != newest.ID {
			left = append(left, p.leave(k, newest)...)
		}
	}
	if active := newest.Schedule.Active; !active.IsZero() && (left != nil || p.now.Before(active)) {
		steps = append(steps, p.step(Activate, newest.ID, active))
	}
	return append(steps, left...)
}

func (p *planner) step(a Action, id string, at time.Time) Step {
	s := Step{Action: a, KeyID: id, At: at, Status: Waiting}
	if !at.After(p.now) {
		s.Status = Done
	}
	return s
}

// publish are the steps by which consumers come to know the newest key.
func (p *planner) publish(newest *Key) []Step {
	active := newest.Schedule.Active
	latest := active.Add(-p.Known)
	isLate := !active.IsZero() && p.now.After(latest)
	publish := Step{Action: Publish, KeyID: newest.ID, At: newest.Schedule.Published}
	switch {
	case newest.Trust == nil && !p.now.Before(active):
		return nil // it signs, and only a bundle tells more
	case newest.Trust == nil:
		publish.Status = Unchecked
		return []Step{publish}
	case !newest.Trust.listed() && isLate:
		publish.Status = Late
		return []Step{publish}
	case !newest.Trust.listed():
		publish.Status = Due
		return []Step{publish, {Action: Known, KeyID: newest.ID, At: latest, Status: Waiting}}
	}
	known := p.step(Known, newest.ID, newest.Trust.KnownAt)
	if known.Status == Done && !p.now.Before(active) {
		return nil // all that is over
	}
	publish.Status = Done
	if known.At.After(active) && known.Status == Waiting && p.underWay(newest) {
		known.Status = Late // the first key of all need not wait for another to go on
	}
	return []Step{publish, known}
}

// leave are the steps by which an older key ends.
func (p *planner) leave(k, newest *Key) (steps []Step) {
	ends := false // in a step that is still to be done
	if ended, ok := p.ended(k, newest.Schedule.Active); ok {
		end := Step{Action: End, KeyID: k.ID, At: p.now, Status: Due, Reschedule: map[string]keys.Schedule{k.ID: ended}}
		if newest.Trust != nil && p.now.Before(newest.Trust.KnownAt) || newest.Trust != nil && !newest.Trust.listed() {
			end.At, end.Status = newest.Trust.KnownAt, Waiting // until then it is the only one that consumers know
		}
		steps = append(steps, end)
		ends = true
		k = &Key{ID: k.ID, Kind: k.Kind, Trust: k.Trust, Schedule: ended}
	}
	if r := k.Schedule.Retired; !r.IsZero() {
		steps = append(steps, p.step(Retire, k.ID, r))
	}
	if e := k.Schedule.Expired; !e.IsZero() {
		needed, isNeeded := p.neededUntil(k)
		prune := p.step(Prune, k.ID, later(e, needed))
		switch {
		case ends || isNeeded:
			prune.Status = Waiting
		case prune.Status == Done && k.Trust == nil && strings.HasPrefix(k.Kind, forEncryption):
			prune.Status = Unchecked // its own schedule does not bind those who encrypt to it
		case prune.Status == Done:
			prune.Status = Due
		}
		steps = append(steps, prune)
	}
	return steps
}

// neededUntil is until when an encryption key opens what producers encrypt to it by the bundle, and whether
// it still does. The time is zero if the bundle has no end for it.
func (p *planner) neededUntil(k *Key) (until time.Time, isNeeded bool) {
	if !strings.HasPrefix(k.Kind, forEncryption) || !k.Trust.listed() || k.Trust.revoked() {
		return time.Time{}, false
	}
	until = k.Trust.Expired
	if until.IsZero() && !k.Trust.Until.IsZero() {
		until = k.Trust.Until.Add(p.InFlight + keydoc.TimestampSkew)
	}
	return until, until.IsZero() || p.now.Before(until)
}
