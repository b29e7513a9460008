package gcra_test

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/gcra"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

var epoch = time.Unix(1_790_000_000, 0)

// A burst passes, and then one in each interval. A clock that is set back blocks for one interval at most.
func TestMeter(t *testing.T) {
	m := gcra.NewMeter(gcra.PerSecond(2, 3))
	for i := range 3 {
		if wait := m.Take(epoch); wait != 0 {
			t.Errorf("%d of the burst waits %v", i, wait)
		}
	}
	for name, c := range map[string]struct {
		at   time.Duration
		want time.Duration
	}{
		"after the burst":    {0, time.Second / 2},
		"a nanosecond early": {time.Second/2 - 1, 1},
		"in time":            {time.Second / 2, 0},
		"an hour later":      {time.Hour, 0},
	} {
		fresh := gcra.NewMeter(gcra.PerSecond(2, 3))
		for range 3 {
			fresh.Force(epoch)
		}
		if wait := fresh.Wait(epoch.Add(c.at)); wait != c.want {
			t.Errorf("%s: %v, not %v", name, wait, c.want)
		}
	}
	if wait := m.Take(epoch.Add(-time.Hour)); wait != time.Second/2 {
		t.Errorf("with the clock set back: %v", wait)
	}
	if wait := m.Take(epoch.Add(-time.Hour + time.Second/2)); wait != 0 {
		t.Errorf("after that wait: %v", wait)
	}
	if wait := m.Wait(epoch.Add(-2 * time.Hour)); wait != time.Second/2 {
		t.Errorf("set back again: %v", wait)
	}
	if wait := m.Take(epoch.Add(-2*time.Hour + time.Second/2)); wait != 0 {
		t.Errorf("after that wait: %v", wait)
	}
}

// The zero Rate and the zero Meter have no limit.
func TestNoLimit(t *testing.T) {
	var m gcra.Meter
	for range 100 {
		if wait := m.Take(epoch); wait != 0 {
			t.Fatalf("waits %v", wait)
		}
	}
	for _, rate := range []float64{0, -1, math.NaN(), math.Inf(-1)} {
		r := gcra.PerSecond(rate, 1)
		if n, _ := r.Left(epoch.UnixNano(), epoch.UnixNano()); n < 1<<20 {
			t.Errorf("a rate of %v leaves %d", rate, n)
		}
	}
}

// A request that is forced counts, and several beyond the burst owe one at most.
func TestForce(t *testing.T) {
	m := gcra.NewMeter(gcra.Every(time.Second, 2))
	m.Force(epoch)
	if wait := m.Take(epoch); wait != 0 {
		t.Errorf("one is left and waits %v", wait)
	}
	for range 10 {
		m.Force(epoch)
	}
	if wait := m.Wait(epoch); wait != time.Second {
		t.Errorf("waits %v, not one second", wait)
	}
}

// No rate and no burst overflows: a first burst passes, now and in the year 2190.
func TestNoOverflow(t *testing.T) {
	for _, at := range []time.Time{epoch, time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)} {
		for _, rate := range []float64{1e-300, 1e-9, 1e-6, 1, 1e6, 1e12, math.Inf(1), math.MaxFloat64} {
			for _, burst := range []int{math.MinInt, 0, 1, 3, 1e6, math.MaxInt} {
				m := gcra.NewMeter(gcra.PerSecond(rate, burst))
				for range min(max(burst, 1), 4) {
					if wait := m.Take(at); wait != 0 {
						t.Fatalf("rate %v, burst %d: waits %v", rate, burst, wait)
					}
				}
			}
		}
	}
}

// In any window, no more pass than a burst and the rate, and one that keeps to the rate is never refused. The
// moment after the wait that was given, the request passes. Left says what Take does.
func TestRateHolds(t *testing.T) {
	for seed := range cases.Of(200) {
		rng := rand.New(rand.NewPCG(uint64(seed), 1))
		each, burst := 1+rng.Int64N(int64(time.Second)), 1+rng.IntN(20)
		r := gcra.Every(time.Duration(each), burst)
		now, paid := epoch.UnixNano(), int64(0)
		var passed []int64
		for range 300 {
			now += rng.Int64N(2 * each)
			left, at := r.Left(paid, now)
			next, wait := r.Take(paid, now)
			if (wait == 0) != (left > 0) || wait > 0 && at != now+int64(wait) {
				t.Fatalf("seed %d: %d left, next in %d, wait %v", seed, left, at-now, wait)
			}
			if wait > 0 {
				if _, more := r.Take(paid, now+int64(wait)); more != 0 || next != paid {
					t.Fatalf("seed %d: still %v after the wait", seed, more)
				}
				continue
			}
			paid, passed = next, append(passed, now)
		}
		for i := range passed {
			for j := i; j < len(passed); j++ {
				if most := int64(burst) + (passed[j]-passed[i])/each; int64(j-i+1) > most {
					t.Fatalf("seed %d: %d pass in %d ns, not %d", seed, j-i+1, passed[j]-passed[i], most)
				}
			}
		}
	}
}

// Goroutines together take the burst and no more.
func TestMeterIsShared(t *testing.T) {
	m := gcra.NewMeter(gcra.Every(time.Hour, 100))
	var passed atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if m.Take(epoch) == 0 {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d pass, not 100", passed.Load())
	}
}
