package loadkeys

import (
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// ScheduleFlags are moments as they were typed.
type ScheduleFlags struct{ Publish, Activate, Retire, Expire string }

// ParseSchedule reads the moments, relative ones from a.now().
func ParseSchedule(env *ui.Env, f ScheduleFlags) (keys.Schedule, error) {
	var s keys.Schedule
	for _, m := range []struct {
		flag, text string
		at         *time.Time
	}{
		{"publish", f.Publish, &s.Published}, {"activate", f.Activate, &s.Active},
		{"retire", f.Retire, &s.Retired}, {"expire", f.Expire, &s.Expired},
	} {
		if m.text == "" {
			continue
		}
		t, err := ui.ParseMoment(m.text, env.Now())
		if err != nil {
			return s, ui.FlagFailed(m.flag, err)
		}
		*m.at = t.Truncate(time.Second)
	}
	if err := s.Check(); err != nil {
		return s, ui.Usage("correct the moments: published, active, retired, expired follow each other", "%w",
			err)
	}
	return s, nil
}

// StateCell paints a key's state by how much it matters.
func StateCell(p *ui.Printer, s keys.State) ui.Cell {
	paint := p.Dim
	switch s {
	case keys.StateActive:
		paint = p.Green
	case keys.StatePending, keys.StatePublished:
		paint = p.Cyan
	case keys.StateRetired:
		paint = p.Yellow
	case keys.StateRevoked:
		paint = p.Red
	}
	return ui.Painted(string(s), paint)
}

// NextStep says what the schedule brings next, and when.
func NextStep(s *keys.Schedule, now time.Time) string {
	for _, step := range []struct {
		verb string
		at   time.Time
	}{{"published", s.Published}, {"active", s.Active}, {"retires", s.Retired}, {"expires", s.Expired}} {
		if now.Before(step.at) {
			return step.verb + " in " + ui.FormatDuration(step.at.Sub(now))
		}
	}
	return "-"
}

func FirstSet(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
