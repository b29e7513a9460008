package rehearsal_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// legal is a rotation that the rules allow, by a hair or by more.
func legal(t testing.TB, r *rand.Rand) *rehearsal.Plan {
	hint := pick(r, time.Minute, time.Minute, 5*time.Minute, time.Hour)
	cache := pick(r, 0, 0, time.Minute, 10*time.Minute, time.Hour)
	flight := pick(r, 30*time.Minute, 6*time.Hour, 24*time.Hour)
	extra := func() time.Duration { return pick(r, 0, 0, time.Second, time.Hour) }
	active := noon.Add(keydoc.KnownAfter(hint, cache) + extra())
	retired := active.Add(extra())
	p := rotation(t, keys.Schedule{Retired: retired, Expired: retired.Add(flight + extra())},
		keys.Schedule{Active: active})
	p.Refresh, p.Cache, p.InFlight, p.Timestamps = hint, cache, flight, r.IntN(2) == 0
	p.Skew = pick(r, -1, time.Minute, 0)
	p.Courses, p.Seed = 5, r.Int64()
	return p
}

func TestAccepted(t *testing.T) {
	days, n, held := 0.0, 0, 0
	kinds := map[string]int{}
	for seed := range uint64(300) {
		p := legal(t, rand.New(rand.NewPCG(seed, 1)))
		f, err := rehearsal.Rehearse(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		days += f.Days
		n += f.Courses
		held += f.Counts[rehearsal.HeldBack]
		for _, s := range f.Stories {
			why := string(s.Failures()[0].Outcome + " " + rehearsal.Outcome(s.Failures()[0].Reason))
			kinds[why]++
			if kinds[why] > 2 {
				continue
			}
			for _, m := range s.Story() {
				t.Log(m.At.Format(time.DateTime), m.Text)
			}
			t.Errorf("seed %d: hint %v cache %v flight %v skew %v %v", seed, f.Plan.Refresh, f.Plan.Cache, f.Plan.InFlight, f.Plan.Skew, s.Failures()[0])
		}
	}
	t.Log(days, n, held, kinds)
}
