package rehearsal_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust/policy"
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
	hint, cache, flight time.Duration
	a, b                keys.Schedule // in the second bundle
	third               time.Time     // when a third bundle is built; zero = there is none
	change              int           // what it changes
	by                  time.Duration // and by how much
}

// near is a distance about zero, and zero itself often, since that is where rules begin.
func near(r *rand.Rand) time.Duration {
	d := pick(r, 0, 0, 0, time.Second, time.Minute, 10*time.Minute, 2*time.Hour)
	return pick(r, -d, d)
}

// someDates are about the earliest moments that the rules allow.
func someDates(r *rand.Rand) *dates {
	d := &dates{
		hint:   pick(r, 30*time.Second, time.Minute, 5*time.Minute, time.Hour),
		cache:  pick(r, 0, 0, time.Minute, 10*time.Minute, time.Hour),
		flight: pick(r, 30*time.Minute, 6*time.Hour, 24*time.Hour),
		third:  pick(r, time.Time{}, noon.Add(pick(r, time.Minute, time.Hour, 30*time.Hour))),
		change: r.IntN(6), by: near(r),
	}
	known := noon.Add(keydoc.KnownAfter(d.hint, d.cache))
	d.b.Active = later(known.Add(near(r)), noon.Add(time.Second))
	d.a.Retired = later(later(d.b.Active, known).Add(near(r)), noon.Add(time.Second))
	d.a.Expired = later(d.a.Retired.Add(d.flight+keydoc.TimestampSkew+near(r)), d.a.Retired)
	return d
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (d *dates) plan(t testing.TB, r *rand.Rand) *rehearsal.Plan {
	p := rotation(t, d.a, d.b)
	p.Refresh, p.Cache, p.InFlight, p.Timestamps = d.hint, d.cache, d.flight, r.IntN(2) == 0
	p.Courses, p.Seed = 4, r.Int64()
	if d.third.IsZero() {
		return p
	}
	was := p.Publications[1].Policy.Producers[0]
	orders := was
	orders.Keys = slices.Clone(was.Keys)
	a, b := &orders.Keys[0].Schedule, &orders.Keys[1].Schedule
	switch d.change {
	case 0: // A goes
		orders.Keys = orders.Keys[1:]
		d.third = later(d.a.Expired.Add(d.by), noon.Add(time.Second))
	case 1: // A ends at another time
		a.Retired = a.Retired.Add(d.by)
		a.Expired = later(a.Expired.Add(d.by), a.Retired)
	case 2: // B begins at another time
		b.Active = b.Active.Add(d.by)
	case 3: // B ends
		b.Retired = d.third.Add(keydoc.KnownAfter(d.hint, d.cache) + 24*time.Hour + d.by)
		b.Expired = b.Retired.Add(d.flight + keydoc.TimestampSkew)
	case 4:
		orders.Types = append(slices.Clone(was.Types), "com.example.refund.*")
	case 5:
		a.Expired = later(a.Expired.Add(d.by), a.Retired)
	}
	p.Publications = append(p.Publications, rehearsal.Publication{Built: d.third,
		Policy: &policy.Policy{Producers: []policy.Producer{orders}}})
	return p
}

func tell(t *testing.T, r *rehearsal.Record) {
	for _, m := range r.Story() {
		t.Log(m.At.Format(time.DateTime), m.Text)
	}
}

// TestSchedules: no honest event is lost under a schedule that trust build accepts, whatever chance does. For
// each one that it refuses there is a course of events in which one is lost.
//
// One limit is in the courses by chance: a process whose keyring is old has asked its bundle just before the
// host fails, and the outage, with the time until the bundle came, is at most Plan.Outage. Without it, a
// process that was idle for a day goes by a bundle of yesterday when the host fails, and no rule for dates
// could help. Its keyring could: the owner changes that first, and knows the date.
func TestSchedules(t *testing.T) {
	sum := &totals{counts: map[rehearsal.Outcome]int{}}
	for seed := firstSeed(t); sum.days < virtualDays(t); seed++ {
		sum.play(t, seed)
	}
	t.Logf("%.0f virtual days, %d courses, %d schedules, %d refused, %d of them without need, %v", sum.days,
		sum.courses, sum.schedules, sum.refused, sum.stricter, sum.counts)
}

// firstSeed is the seed of the first schedule. SEALBUS_SEED sets another one than 0, such as that of a
// failure, which SEALBUS_VIRTUAL_DAYS=1 plays alone.
func firstSeed(t *testing.T) uint64 {
	text := os.Getenv("SEALBUS_SEED")
	if text == "" {
		return 0
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

// totals are what all schedules came to.
type totals struct {
	days               float64
	courses, schedules int
	refused, stricter  int // stricter = refused on purpose, although no event is lost
	counts             map[rehearsal.Outcome]int
}

// play plays the schedule of one seed.
func (sum *totals) play(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	d := someDates(r)
	p := d.plan(t, r)
	if p.Publications[len(p.Publications)-1].Policy.Producers[0].Keys[0].Schedule.Check() != nil {
		return
	}
	short := *p
	short.Publications = p.Publications[:2]
	if faults, err := short.Judge(t.Context()); err != nil || len(faults) > 0 {
		p = &short // a third bundle would come too late, or mend it
	}
	f, err := rehearsal.Rehearse(t.Context(), p)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	sum.days, sum.courses, sum.schedules = sum.days+f.Days, sum.courses+f.Courses, sum.schedules+1
	for o, n := range f.Counts {
		sum.counts[o] += n
	}
	if len(f.Faults) > 0 {
		sum.refused++
	}
	switch {
	case len(f.Faults) == 0 && len(f.Stories) > 0:
		tell(t, f.Stories[0])
		t.Errorf("seed %d: trust build accepts %s", seed, d)
	case len(f.Faults) == 0 || len(f.Stories) > 0:
	case len(p.Publications) == 3 && d.isStricter(f.Faults[0]):
		sum.stricter++
	default:
		t.Errorf("seed %d: trust build refuses %s, and no event is lost: %v", seed, d, f.Faults[0])
	}
}

// isStricter reports whether trust build refuses the third bundle on purpose, although it loses no event.
func (d *dates) isStricter(fault *policy.Fault) bool {
	switch d.change {
	case 2:
		// Consumers tolerate the skew at the beginning of a key, so a beginning that moves by less harms only
		// those with a smaller Policy.Skew.
		//
		// No event of before the new beginning is in flight any more: see below.
		return fault.Field == "active" && (d.by.Abs() <= envelope.DefaultSkew ||
			!d.third.Before(d.b.Active.Add(d.by+d.flight)))
	case 1, 5:
		// No event of the key is in flight any more, so its end is history. To change it helps none, and
		// consumers that read an archive would refuse what they had accepted.
		over := d.a.Retired.Add(d.flight + keydoc.TimestampSkew)
		return !d.third.Before(over)
	}
	return false
}

func (d *dates) String() string {
	at := func(when time.Time) string { return when.Format("02 15:04:05") }
	return fmt.Sprintf("hint %s, cache %s, in flight %s; A retired %s expired %s, B active %s; third %s %d %s", d.hint,
		d.cache, d.flight, at(d.a.Retired), at(d.a.Expired), at(d.b.Active), at(d.third), d.change, d.by)
}
