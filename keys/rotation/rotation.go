// Package rotation plans how a key is changed for another, without a moment at which no key signs. It has no
// state of its own: the plan is computed from the keys with their schedules, from the trust bundle if there
// is one, and from the time. So a program that was killed in between computes the same plan again, and goes
// on.
//
//	list := rotation.KeysOf(ring.PublicKeys(), bundle)
//	steps, err := rotation.Plan(list, time.Now(), &rotation.Options{Begin: true})
//	if s, ok := rotation.NextDue(steps); ok {
//		c, keyID, err := s.Prepare(ring)
//		err = ring.Apply(c)
//	}
//
// # The steps
//
// The owner of the keys does Make, Move, End and Prune, each in one write. The people who keep the trust do
// Publish. Known, Activate and Retire happen by themselves when their time comes.
//
// # Threat model
//
// A plan is advice, and no rule of it makes a key count: consumers follow the trust bundle alone. A plan
// never removes a private half that can still sign or open by its schedule. It keeps that of an encryption
// key as long as the bundle lets producers encrypt to it, and lets the consumer open their last events.
//
// # Stability
//
// The actions and the options stay.
package rotation

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The defaults of Options.
const (
	DefaultReview   = 2 * 24 * time.Hour
	DefaultKnown    = 3 * time.Hour
	DefaultOverlap  = 24 * time.Hour
	DefaultInFlight = 30 * 24 * time.Hour
)

// Options say when things happen. The zero value plans what the keys need by themselves.
type Options struct {
	// Begin makes a new key due now, unless a change is under way. False = only if the newest key is tainted,
	// revoked, about to end, or as old as Every.
	Begin bool
	// Every is for how long a key signs before the next one takes over; 0 = without end. A key whose schedule
	// does not say since when it signs counts as older.
	Every time.Duration
	// At is when the new key becomes active; zero = Review and Known from now, and no later than the old key
	// ends. It moves a key that is not active yet.
	At time.Time
	// Overlap is for how long the old key still may sign after that; 0 = a day, negative = not at all.
	Overlap time.Duration
	// Review is how long the people who keep the trust take; 0 = two days, negative = no time.
	Review time.Duration
	// Known is how long it takes until every consumer knows a published key: three times the refresh hint,
	// and the cache; 0 = 3 hours.
	Known time.Duration
	// InFlight is how long after the old key retires its events may still arrive; 0 = 30 days. Five minutes
	// are added, for clocks.
	InFlight time.Duration
}

// Key is a key with its schedule.
type Key struct {
	ID       string
	Kind     string // a key takes over only from keys of the same kind
	Schedule keys.Schedule
	Trust    *Listed // what the trust bundle says; nil = none was looked at
}

// Listed is what the trust bundle says of a key.
type Listed struct {
	KnownAt          time.Time // from when every consumer knows the key; zero = the bundle does not list it
	From, Until      time.Time // the bundle accepts what it signs in between; zero = without bound
	Expired          time.Time // the bundle accepts nothing of it from then on; zero = without bound
	Tainted, Revoked bool
}

// Action is what happens in a step.
type Action string

// The actions, in the order of a rotation.
const (
	Make     Action = "make"     // a new key, and an end for the one that it takes over from
	Move     Action = "move"     // the new key becomes active at another time than planned before
	Publish  Action = "publish"  // the people who keep the trust list the new key, and publish the bundle
	Known    Action = "known"    // every consumer has that bundle
	Activate Action = "activate" // the new key takes over
	End      Action = "end"      // an older key gets the end that it lacks
	Retire   Action = "retire"   // the old key signs no more
	Prune    Action = "prune"    // the old key is accepted no more: its secret is removed
)

// Status says whether a step is to be done.
type Status string

// The statuses of a step.
const (
	Done      Status = "done"
	Due       Status = "due"       // to be done now, by the owner of the keys or by those who keep the trust
	Late      Status = "late"      // it is due, and the new key becomes active before every consumer can know it
	Waiting   Status = "waiting"   // its time has not come
	Unchecked Status = "unchecked" // only a trust bundle tells, and none was looked at
)

// Step is one step of a plan.
type Step struct {
	Action Action
	KeyID  string    // the key that it is about; "" = the one that is to be made
	At     time.Time // when it is due, or was; zero = not known
	Status Status

	// Schedule is that of the new key (Make). Reschedule are the new schedules of other keys, by key ID,
	// which are written together with it (Make, Move, End).
	Schedule   keys.Schedule
	Reschedule map[string]keys.Schedule
	Like       string // Make: the ID of a key of the same kind, which it takes over from if that has not ended
}

// Change is the change of a keyring that does the step. For Make the caller adds the key, or uses Prepare.
// The steps of others have no change: then it is nil.
func (s *Step) Change() *keys.Change {
	switch s.Action {
	case Make, Move, End:
		return &keys.Change{Schedule: s.Schedule, Reschedule: s.Reschedule}
	case Prune:
		return &keys.Change{Remove: []string{s.KeyID}}
	}
	return nil
}

// Prepare is Change, and for Make it also makes the new key, of the algorithm or curve of the key that it
// takes over from. keyID is the key that the step is about.
func (s *Step) Prepare(ring *keys.Keyring) (c *keys.Change, keyID string, err error) {
	if c = s.Change(); s.Action != Make {
		return c, s.KeyID, nil
	}
	public := ring.PublicKeys()
	if len(public) == 0 {
		return nil, "", errors.New("rotation: the keyring has no key yet, so the kind of the new one is not known")
	}
	like := public[max(slices.IndexFunc(public, func(k keys.PublicKey) bool { return k.KeyID() == s.Like }), 0)]
	if ring.Consumer() != "" {
		key, err := keys.GenerateIdentity(like.Recipient.Curve())
		if err != nil {
			return nil, "", err
		}
		c.Add = key
		return c, key.Recipient().KeyID(), nil
	}
	key, err := keys.GenerateSigner(like.Verifier.Algorithm(), ring.Producer())
	if err != nil {
		return nil, "", err
	}
	c.Add = key
	return c, key.Verifier().KeyID(), nil
}

// forEncryption begins the kind of an encryption key.
const forEncryption = "encryption on "

// KeysOf are the keys of a keyring with what the bundle says of them; a nil bundle = none was looked at.
func KeysOf(public []keys.PublicKey, b *trust.Bundle) []Key {
	list := make([]Key, 0, len(public))
	for i := range public {
		p := &public[i]
		k := Key{ID: p.KeyID(), Kind: "signing", Schedule: p.Schedule}
		switch {
		case p.Recipient != nil:
			k.Kind = forEncryption + string(p.Recipient.Curve())
		case p.Verifier.Algorithm().PostQuantum():
			k.Kind = "post-quantum signing"
		}
		if b != nil {
			k.Trust = &Listed{}
			if listed := b.Key(k.ID); listed != nil {
				k.Trust = &Listed{
					KnownAt: later(b.KnownAt(listed), time.Unix(0, 0)), // not zero, also of a bundle without Issued
					From:    listed.Schedule.Active,
					Until:   cmp.Or(listed.Schedule.Retired, listed.Schedule.Expired),
					Expired: listed.Schedule.Expired,
					Tainted: listed.Tainted, Revoked: listed.Revoked != nil,
				}
			}
		}
		list = append(list, k)
	}
	return list
}

// KnownAfter is how long after its publication every consumer knows a key that a bundle like this one has:
// Options.Known.
func KnownAfter(b *trust.Bundle) time.Duration { return keydoc.KnownAfter(b.RefreshHint(), b.Cache()) }

// Plan is what is to be done with the keys, and what happens by itself, in the order of time. The keys are in
// the order in which they were added. Each Kind is planned alone. The error says which moment of the options
// is impossible.
func Plan(list []Key, now time.Time, opts *Options) ([]Step, error) {
	o := opts.withDefaults()
	var kinds []string
	for _, k := range list {
		if !slices.Contains(kinds, k.Kind) {
			kinds = append(kinds, k.Kind)
		}
	}
	var steps []Step
	for _, kind := range kinds {
		p := &planner{Options: o, now: now.UTC().Truncate(time.Second)}
		for i := range list {
			if list[i].Kind == kind {
				p.keys = append(p.keys, list[i])
			}
		}
		more, err := p.plan()
		if err != nil {
			return nil, err
		}
		steps = append(steps, more...)
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps, nil
}

// NextDue is the first step that the owner of the keys is to do now; false = there is none. Nothing is
// removed while a new key is to be made, because the old one says of what kind it is.
func NextDue(steps []Step) (Step, bool) {
	var prune *Step
	for i := range steps {
		switch s := &steps[i]; {
		case s.Status != Due || s.Change() == nil:
		case s.Action != Prune:
			return *s, true
		case prune == nil:
			prune = s
		}
	}
	if prune == nil {
		return Step{}, false
	}
	return *prune, true
}

func (o *Options) withDefaults() Options {
	var w Options
	if o != nil {
		w = *o
	}
	w.Overlap = max(cmp.Or(w.Overlap, DefaultOverlap), 0)
	w.Review = max(cmp.Or(w.Review, DefaultReview), 0)
	w.Known = cmp.Or(max(w.Known, 0), DefaultKnown)
	w.InFlight = cmp.Or(max(w.InFlight, 0), DefaultInFlight)
	w.At = keys.Schedule{Active: w.At}.WholeSeconds().Active
	return w
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier of two moments, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// MomentError says that a moment of the options is impossible.
type MomentError struct {
	KeyID    string    // the key that stands in the way
	At       time.Time // when the new key would become active
	Possible time.Time // the moment to which At can be set instead
	Late     bool      // true: no key would sign from Possible until At; false: it is not accepted yet
}

// Error says which moment is possible.
func (e *MomentError) Error() string {
	at, possible := e.At.Format(time.RFC3339), e.Possible.Format(time.RFC3339)
	if e.Late {
		return fmt.Sprintf("rotation: no key would sign from %s, when key %s ends, until %s", possible, e.KeyID, at)
	}
	return fmt.Sprintf("rotation: key %s would sign from %s, and consumers accept it from %s", e.KeyID, at, possible)
}
