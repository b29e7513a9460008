package keys

import (
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n float64) time.Time { return epoch.Add(time.Duration(n * 24 * float64(time.Hour))) }

var fullSchedule = Schedule{Published: day(1), Active: day(2), Retired: day(3), Expired: day(4)}

func TestAcceptedAt(t *testing.T) {
	const skew = time.Minute
	for _, c := range []struct {
		name        string
		now, sealed time.Time
		want        bool
	}{
		{"sealed and judged while active", day(2.5), day(2.5), true},
		{"judged after retirement", day(3.5), day(2.5), true},
		{"judged just before the end", day(4).Add(-1), day(2.5), true},
		{"judged at the end", day(4), day(2.5), false},
		{"the end has no skew", day(4).Add(skew), day(2.5), false},
		{"judged at publication less skew", day(1).Add(-skew), day(2), true},
		{"judged before that", day(1).Add(-skew - 1), day(2), false},
		{"sealed at activation less skew", day(2.5), day(2).Add(-skew), true},
		{"sealed before that", day(2.5), day(2).Add(-skew - 1), false},
		{"sealed just before retirement", day(3.5), day(3).Add(-1), true},
		{"sealed at retirement", day(3.5), day(3), false},
	} {
		if got := fullSchedule.AcceptedAt(c.now, c.sealed, skew); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !(&Schedule{}).AcceptedAt(day(0), time.Time{}, 0) {
		t.Error("a schedule without bounds refuses")
	}
}

func TestStates(t *testing.T) {
	for _, c := range []struct {
		now   time.Time
		want  State
		signs bool
	}{
		{day(0), StatePending, false},
		{day(1).Add(-1), StatePending, false},
		{day(1), StatePublished, false},
		{day(2).Add(-1), StatePublished, false},
		{day(2), StateActive, true},
		{day(3).Add(-1), StateActive, true},
		{day(3), StateRetired, false},
		{day(4).Add(-1), StateRetired, false},
		{day(4), StateExpired, false},
	} {
		if got := fullSchedule.StateAt(c.now); got != c.want {
			t.Errorf("%s: %s, want %s", c.now, got, c.want)
		}
		if got := fullSchedule.SignsAt(c.now); got != c.signs {
			t.Errorf("%s: signs %v", c.now, got)
		}
	}
	open := Schedule{}
	if open.StateAt(day(0)) != StateActive || !open.SignsAt(day(0)) {
		t.Error("a schedule without bounds is not active")
	}
	onlyExpired := Schedule{Expired: day(1)}
	if onlyExpired.SignsAt(day(1)) || !onlyExpired.SignsAt(day(1).Add(-1)) {
		t.Error("an expired key signs, or one that is not does not")
	}
}

func TestScheduleCheck(t *testing.T) {
	for name, s := range map[string]Schedule{
		"full": fullSchedule, "none": {}, "all but one equal": {Published: day(1), Active: day(1),
			Retired: day(2), Expired: day(2)},
		"two": {Published: day(1), Expired: day(2)},
	} {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, s := range map[string]Schedule{
		"published after active":   {Published: day(2), Active: day(1)},
		"retired before active":    {Active: day(2), Retired: day(1)},
		"expired before retired":   {Retired: day(2), Expired: day(1)},
		"expired before published": {Published: day(2), Expired: day(1)},
		"never signs":              {Active: day(1), Retired: day(1)},
		"year 10000":               {Active: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if s.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
