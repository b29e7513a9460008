package consumer

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Permission admits events that are older than the window: those of one archive replay, or those that are
// reopened from one quarantine.
//
// It replaces the window and no other check. Signature, key (its validity when the event was sealed, its
// expiry and revocation now), scope, account, audience and the bound on future events are judged as always.
// So is a signed expirytime: the producer itself limited the life of the event. An event without a signed
// time of sealing is in no interval.
//
// An archive replay is handled once per permission. Its claims contain the permission's ID and are kept until
// its end. So events that were handled when they were fresh are handled again, with the same
// Delivery.IdempotencyKey. If they are still on their way, that may be at the same time. A reopened event was
// refused, not handled, and it has the claim of its first delivery. If a copy of it was handled and the store
// still knows, it is a duplicate. Such a claim is kept until the permission's end, or longer if RememberFor
// says so.
//
// All workers of one name have the same permissions. An ID is for one purpose and is not used again: under a
// new ID a replay is handled once more. A permission that is prolonged after its end admits again the events
// that were completed under it and forgotten since.
type Permission struct {
	ID         string // its own name, in claims, results and logs; must not be empty
	ReplayName string // the exact Message.ReplayName that it is for; or
	Quarantine string // the name of the quarantine that it is for, one that Options.Quarantine has a key of

	// From and To are the interval of the events: From <= recordedtime < To, or time, where another
	// implementation signed no recordedtime.
	From, To time.Time

	// Until is the end: required, and at most 10 years ahead. A permission that has ended covers
	// nothing, and New logs it. It ends for good, also if the clock is set back.
	Until time.Time
}

func (o *Options) checkPermissions(quarantine QuarantineKeys, now time.Time) error {
	for i := range o.Permissions {
		p := &o.Permissions[i]
		if err := p.check(quarantine, now); err != nil {
			return fmt.Errorf("the permission %q: %w", p.ID, err)
		}
		for j := range i {
			if err := p.conflictsWith(&o.Permissions[j]); err != nil {
				return fmt.Errorf("the permission %q: %w", p.ID, err)
			}
		}
	}
	return nil
}

func (p *Permission) check(quarantine QuarantineKeys, now time.Time) error {
	switch {
	case p.ID == "":
		return errors.New("it has no ID")
	case (p.ReplayName == "") == (p.Quarantine == ""):
		return errors.New("it is for one ReplayName or for one Quarantine: name one of them")
	case !exact(p.ReplayName):
		return fmt.Errorf("the ReplayName %q is no text, and would not be the same in a quarantine record",
			p.ReplayName)
	case p.Quarantine != "" && !quarantine.has(p.Quarantine):
		return fmt.Errorf("the Quarantine has no key of the quarantine %q (QuarantineKeys.Also)",
			p.Quarantine)
	case p.From.IsZero() || p.To.IsZero():
		return errors.New("From and To must say when the events were sealed")
	case !p.From.Before(p.To):
		return errors.New("From must be before To")
	case p.Until.IsZero():
		return errors.New("it has no end: set Until")
	case p.Until.After(now.Add(maxDuration)):
		return fmt.Errorf("Until is more than %v ahead: claims are kept until then", maxDuration)
	}
	return nil
}

// conflictsWith refuses two permissions for one event: it would be handled once for each of them.
func (p *Permission) conflictsWith(other *Permission) error {
	switch {
	case p.ID == other.ID:
		return errors.New("there are two of this ID")
	case p.ReplayName == other.ReplayName && p.Quarantine == other.Quarantine &&
		p.From.Before(other.To) && other.From.Before(p.To):
		return fmt.Errorf("its interval overlaps with that of %q", other.ID)
	}
	return nil
}

// noAgeLimit is a window that no event is older than; all else about times is still judged.
const noAgeLimit time.Duration = math.MaxInt64

// permits is the permission that covers an event that was sealed at that time, or why there is none. A
// reopened event that came from an archive replay with a permission is under that one, as when it was
// delivered first: so it has one claim.
func (d *delivery) permits(sealed time.Time) (covers *Permission, why string) {
	d.now()
	for _, of := range [...]struct{ replay, quarantine, what string }{
		{d.subject.ReplayName, "", fmt.Sprintf("the archive replay %.100q", d.subject.ReplayName)},
		{"", d.reopened, fmt.Sprintf("what is reopened from the quarantine %.100q", d.reopened)},
	} {
		if of.replay == "" && of.quarantine == "" {
			continue
		}
		why = "no Permission in the consumer's Options is for " + of.what
		for i := range d.opts.Permissions {
			p := &d.opts.Permissions[i]
			switch {
			case p.ReplayName != of.replay || p.Quarantine != of.quarantine:
			case d.hasEnded(p.Until):
				why = fmt.Sprintf("the permission %.100q ended at %s", p.ID,
					p.Until.UTC().Format(time.RFC3339))
			case sealed.IsZero() || sealed.Before(p.From) || !sealed.Before(p.To):
				why = fmt.Sprintf("the permission %.100q is for what was sealed from %s to %s",
					p.ID, p.From.UTC().Format(time.RFC3339), p.To.UTC().Format(time.RFC3339))
			default:
				return p, ""
			}
		}
	}
	return nil, why
}

// hasEnded reports whether an exception has ended, by the latest time that this consumer ever read.
func (d *delivery) hasEnded(until time.Time) bool {
	return !time.Unix(0, d.latest.Load()).Before(until)
}

// claimUntil is how long this copy of the event needs the claim to be remembered: until the copy cannot pass
// any more, and beyond that for RememberFor, for copies that are sealed later and have not arrived yet.
// Nothing passes under a permission after its end, whenever it was sealed.
func (d *delivery) claimUntil() time.Time {
	fresh := d.sealed.Add(d.opts.RememberFor + d.policy.Skew)
	p := d.permission
	if p == nil {
		return fresh
	}
	end := p.Until.Add(d.policy.Skew)
	if p.ReplayName == "" && fresh.After(end) {
		return fresh
	}
	return end
}
