package rehearsal_test

import (
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/rehearsal"
	"github.com/sealbus/sealbus/keys"
)

// TestRevocationReachesConsumers: 99 of 100 consumers refuse a stolen key within 1.1 refresh intervals. Those
// behind a mirror that withholds the timestamp refuse it when the last timestamp that they have expires.
func TestRevocationReachesConsumers(t *testing.T) {
	for _, hint := range []time.Duration{time.Minute, 5 * time.Minute} {
		p := rotation(t, keys.Schedule{}, keys.Schedule{Active: noon.Add(48 * time.Hour)})
		p.Refresh, p.Timestamps, p.Courses = hint, true, 1
		at := noon.Add(3*time.Hour + 20*time.Minute)
		p.Revocations = []rehearsal.Revocation{{At: at, KeyID: p.Publications[0].Policy.Producers[0].Keys[0].ID}}
		p.Withheld = at
		f, err := rehearsal.Rehearse(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Stories) > 0 {
			tell(t, f.Stories[0])
			t.Error("a revocation of another key lost an honest event")
		}
		e := f.Emergencies[0]
		t.Logf("refresh %s: 99 %% after %s (%.2f), the last after %s, behind the mirror after %s", hint, e.Most,
			e.MostInRefreshs, e.Last, e.Withheld)
		if e.MostInRefreshs > 1.1 || e.Last > hint*11/10 {
			t.Errorf("99 %% after %s, the last after %s, with a refresh hint of %s", e.Most, e.Last, hint)
		}
		// The timestamp of 15:00 lives for 24 hours.
		if want := 24*time.Hour - 20*time.Minute; e.Withheld < want-time.Minute || e.Withheld > want+time.Minute {
			t.Errorf("behind the mirror after %s, want %s", e.Withheld, want)
		}
	}
}
