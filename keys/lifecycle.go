package keys

import (
	"errors"
	"fmt"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
)

// Schedule says when a key is used. A zero time is no bound. Verifiers accept an event if Published - skew <=
// now < Expired, and Active - skew <= the time of sealing < Retired. Signers use the key from Active to
// Retired.
type Schedule struct {
	Published time.Time // verifiers may know the key from this moment
	Active    time.Time // signers use it from this moment
	Retired   time.Time // signers no longer use it
	Expired   time.Time // verifiers no longer accept it
}

// AcceptedAt reports whether the schedule lets a verifier accept, at now, what was sealed at sealed.
// The skew applies only to the two beginnings, and not to the ends.
func (s *Schedule) AcceptedAt(now, sealed time.Time, skew time.Duration) bool {
	return isWithin(now, s.Published, s.Expired, skew) && isWithin(sealed, s.Active, s.Retired, skew)
}

// SignsAt reports whether a signer uses the key at now.
func (s *Schedule) SignsAt(now time.Time) bool {
	return isWithin(now, s.Active, s.Retired, 0) && isWithin(now, time.Time{}, s.Expired, 0)
}

// isWithin reports whether t is at or after from, less skew, and before until. A zero time is no bound.
func isWithin(t, from, until time.Time, skew time.Duration) bool {
	return (from.IsZero() || !t.Before(from.Add(-skew))) && (until.IsZero() || t.Before(until))
}

// Check refuses a schedule whose moments are out of order: Published <= Active < Retired <= Expired, of those
// that are set.
func (s *Schedule) Check() error {
	last, lastName := time.Time{}, ""
	for _, step := range []struct {
		name string
		t    time.Time
	}{{"published", s.Published}, {"active", s.Active}, {"retired", s.Retired}, {"expired", s.Expired}} {
		if step.t.IsZero() {
			continue
		}
		if step.t.Year() < 1 || step.t.Year() > 9999 {
			return fmt.Errorf("schedule: the year of %s is not within 1 to 9999", step.name)
		}
		if lastName != "" && step.t.Before(last) {
			return fmt.Errorf("schedule: %s is before %s", step.name, lastName)
		}
		last, lastName = step.t, step.name
	}
	if !s.Active.IsZero() && s.Active.Equal(s.Retired) {
		return errors.New("schedule: retired is not after active, so the key would never sign")
	}
	return nil
}

// WholeSeconds is the schedule in UTC and whole seconds, as documents have it.
func (s Schedule) WholeSeconds() Schedule {
	return Schedule{
		Published: keydoc.WholeSecond(s.Published), Active: keydoc.WholeSecond(s.Active),
		Retired: keydoc.WholeSecond(s.Retired), Expired: keydoc.WholeSecond(s.Expired),
	}
}

// State says how a key is used at a moment.
type State string

// The states of a key, in the order of its life.
const (
	StatePending   State = "pending"   // before Published
	StatePublished State = "published" // known to verifiers, not yet signing
	StateActive    State = "active"    // signing
	StateRetired   State = "retired"   // no longer signing; its earlier events are still accepted
	StateExpired   State = "expired"   // no longer accepted
	StateRevoked   State = "revoked"   // withdrawn
)

// StateAt is the state of a key with this schedule that is not revoked.
func (s *Schedule) StateAt(now time.Time) State {
	switch {
	case !isWithin(now, time.Time{}, s.Expired, 0):
		return StateExpired
	case !isWithin(now, time.Time{}, s.Retired, 0):
		return StateRetired
	case now.Before(s.Published):
		return StatePending
	case now.Before(s.Active):
		return StatePublished
	}
	return StateActive
}

// readMember reads the moment of that name. It returns false, and reads nothing, for another name.
func (s *Schedule) readMember(name string, r *jsontext.Decoder) bool {
	switch name {
	case "published":
		s.Published = keydoc.ReadTime(r)
	case "active":
		s.Active = keydoc.ReadTime(r)
	case "retired":
		s.Retired = keydoc.ReadTime(r)
	case "expired":
		s.Expired = keydoc.ReadTime(r)
	default:
		return false
	}
	return true
}

// members are the moments that are set.
func (s *Schedule) members() (o keydoc.Object) {
	o.Time("active", s.Active)
	o.Time("expired", s.Expired)
	o.Time("published", s.Published)
	o.Time("retired", s.Retired)
	return o
}
