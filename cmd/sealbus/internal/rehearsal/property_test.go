package rehearsal_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// virtualDays is how many virtual days the property of accepted schedules is played for, at least.
// SEALBUS_VIRTUAL_DAYS sets another number, such as 10000.
func virtualDays(t *testing.T) float64 {
	text := os.Getenv("SEALBUS_VIRTUAL_DAYS")
	if text == "" {
		return 60
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// dates are the moments of a rotation, and the limits that decide whether they are legal.
type dates struct {
	hint, cache, flight      time.Duration
	active, retired, expired time.Time // B's active, and the ends of A
}

// legal are dates that the rules allow, by a hair or by more.
func legal(r *rand.Rand) *dates {
	d := &dates{
		hint:   pick(r, time.Minute, time.Minute, 5*time.Minute, time.Hour),
		cache:  pick(r, 0, 0, time.Minute, 10*time.Minute, time.Hour),
		flight: pick(r, 30*time.Minute, 6*time.Hour, 24*time.Hour),
	}
	more := func() time.Duration { return pick(r, 0, 0, time.Second, time.Hour) }
	d.active = noon.Add(keydoc.KnownAfter(d.hint, d.cache) + more())
	d.retired = d.active.Add(more())
	d.expired = d.retired.Add(d.flight + keydoc.TimestampSkew + more())
	return d
}

func (d *dates) plan(t testing.TB, r *rand.Rand) *rehearsal.Plan {
	p := rotation(t, keys.Schedule{Retired: d.retired, Expired: d.expired}, keys.Schedule{Active: d.active})
	p.Refresh, p.Cache, p.InFlight, p.Timestamps = d.hint, d.cache, d.flight, r.IntN(2) == 0
	p.Courses, p.Seed = 4, r.Int64()
	return p
}

func tell(t *testing.T, r *rehearsal.Record) {
	for _, m := range r.Story() {
		t.Log(m.At.Format(time.DateTime), m.Text)
	}
}

// TestAcceptedSchedulesLoseNothing: no honest event is rejected under a schedule that the rules allow.
func TestAcceptedSchedulesLoseNothing(t *testing.T) {
	days, courses, counts := 0.0, 0, map[rehearsal.Outcome]int{}
	for seed := uint64(0); days < virtualDays(t); seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		p := legal(r).plan(t, r)
		p.Skew = pick(r, -1, time.Minute, 0)
		f, err := rehearsal.Rehearse(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		days, courses = days+f.Days, courses+f.Courses
		for o, n := range f.Counts {
			counts[o] += n
		}
		for _, story := range f.Stories {
			tell(t, story)
			t.Fatalf("seed %d: %+v", seed, f.Plan)
		}
	}
	t.Logf("%.0f virtual days, %d courses, %v", days, courses, counts)
}

// TestRefusedSchedulesHaveAStory: each schedule that breaks one rule, by a second or by more, loses an event.
func TestRefusedSchedulesHaveAStory(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		d := legal(r)
		too := pick(r, time.Second, time.Minute, time.Hour)
		switch seed % 3 {
		case 0: // active too early
			d.active = noon.Add(max(time.Second, keydoc.KnownAfter(d.hint, d.cache)-too))
			d.retired = d.active.Add(time.Hour)
			d.expired = d.retired.Add(d.flight + keydoc.TimestampSkew)
		case 1: // expired too early
			d.expired = d.retired.Add(max(0, d.flight+keydoc.TimestampSkew-too))
		case 2: // a gap
			d.retired = d.active.Add(-max(time.Second, min(too, 3*time.Minute)))
			d.expired = d.retired.Add(d.flight + keydoc.TimestampSkew)
		}
		p := d.plan(t, r)
		f, err := rehearsal.Rehearse(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Stories) == 0 {
			t.Errorf("seed %d: %+v, too early by %s: no story", seed, *d, too)
		}
	}
}
