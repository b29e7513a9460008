package consumer

import (
	"errors"
	"fmt"
	"time"
)

// Permission admits events that are older than the window: those of one archive replay, or those that are reopened
// from one quarantine.
type Permission struct {
	ID         string    // its own name, in claims, results and logs; must not be empty, and is never used again
	ReplayName string    // the exact Message.ReplayName that it is for; or
	Quarantine string    // the name of the quarantine (Reopen.Quarantine) that it is for
	From, To   time.Time // it is for events with From <= recordedtime < To
	Until      time.Time // its end; must lie in the future at New, at most MaxDuration ahead
}

func (o *Options) checkPermissions() error {
	for i := range o.Permissions {
		p := &o.Permissions[i]
		if err := p.check(o.Now()); err != nil {
			return fmt.Errorf("the permission %q: %w", p.ID, err)
		}
		for j := range i {
			if err := p.besides(&o.Permissions[j]); err != nil {
				return fmt.Errorf("the permission %q: %w", p.ID, err)
			}
		}
	}
	return nil
}

func (p *Permission) check(now time.Time) error {
	switch {
	case p.ID == "":
		return errors.New("it has no ID")
	case (p.ReplayName == "") == (p.Quarantine == ""):
		return errors.New("it is for one ReplayName or for one Quarantine: name one of them")
	case p.From.IsZero() || p.To.IsZero():
		return errors.New("From and To must say when the events were sealed")
	case !p.From.Before(p.To):
		return errors.New("From must be before To")
	case !p.Until.After(now):
		return errors.New("Until must lie in the future")
	case p.Until.After(now.Add(MaxDuration)):
		return fmt.Errorf("Until is more than %v ahead: claims are kept until then", MaxDuration)
	}
	return nil
}

// besides refuses two permissions for one event: it would be handled once for each of them.
func (p *Permission) besides(other *Permission) error {
	switch {
	case p.ID == other.ID:
		return errors.New("there are two of this ID")
	case p.ReplayName == other.ReplayName && p.Quarantine == other.Quarantine && p.From.Before(other.To) && other.From.Before(p.To):
		return fmt.Errorf("its interval overlaps with that of %q", other.ID)
	}
	return nil
}
