package replay_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

const lease = 30 * time.Second

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestMemoryKeepsTheContract(t *testing.T) {
	for _, c := range []struct {
		name     string
		capacity int
		steps    int
	}{
		{"default", 0, 0}, {"one shard", 1000, cases.Of(1_000_000)}, {"many shards", 10_000_000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			replaytest.Contract{Steps: c.steps}.Run(t,
				func(t *testing.T, clock *replaytest.Clock) replay.Store {
					return replay.NewMemory(&replay.MemoryOptions{Capacity: c.capacity, Now: clock.Now})
				})
		})
	}
}

// store is a Memory with its clock and short names for what tests do with it.
type store struct {
	*testing.T
	replay.Store
	clock *replaytest.Clock
}

func newStore(t *testing.T, capacity int) store {
	clock := replaytest.NewClock(start)
	return store{t, replay.NewMemory(&replay.MemoryOptions{Capacity: capacity, Now: clock.Now}), clock}
}

func numbered(n int) (key [32]byte) {
	binary.BigEndian.PutUint64(key[:], uint64(n))
	return key
}

func (s store) ask(n int, until time.Time) (replay.Claim, replay.Status, error) {
	return s.Claim(context.Background(), numbered(n), numbered(n), until, lease)
}

func (s store) complete(n int, until time.Time) {
	s.Helper()
	claim, status, err := s.ask(n, until)
	if err != nil || status != replay.New {
		s.Fatalf("Claim(%d) = %v, %v, want new", n, status, err)
	}
	if err := s.Complete(context.Background(), claim, until); err != nil {
		s.Fatal(err)
	}
}

func (s store) want(n int, until time.Time, want replay.Status) {
	s.Helper()
	if _, status, err := s.ask(n, until); status != want || err != nil {
		s.Fatalf("Claim(%d) = %v, %v, want %v", n, status, err, want)
	}
}

func (s store) unavailable(n int, until time.Time) {
	s.Helper()
	if _, status, err := s.ask(n, until); status != 0 || !errors.Is(err, replay.ErrUnavailable) {
		s.Fatalf("Claim(%d) = %v, %v, want ErrUnavailable", n, status, err)
	}
}

// A lease as long as a time.Duration can be does not end in the past.
func TestMemoryLongLease(t *testing.T) {
	store := replay.NewMemory(&replay.MemoryOptions{Now: func() time.Time { return start }})
	key, until := [32]byte{1}, start.Add(time.Hour)
	claim, status, err := store.Claim(t.Context(), key, key, until, math.MaxInt64)
	if status != replay.New || err != nil {
		t.Fatalf("Claim = %v, %v", status, err)
	}
	for range 2 {
		if _, status, err := store.Claim(t.Context(), key, key, until, lease); status != replay.Held ||
			err != nil {
			t.Errorf("Claim of what is held = %v, %v", status, err)
		}
		if err := store.Renew(t.Context(), claim, math.MaxInt64); err != nil {
			t.Errorf("Renew: %v", err)
		}
	}
}

func TestFullMemoryRefusesClaims(t *testing.T) {
	s := newStore(t, 4)
	until := start.Add(time.Hour)
	for n := range 3 {
		s.complete(n, until)
	}
	claim, _, err := s.ask(3, until)
	if err != nil {
		t.Fatal(err)
	}
	s.unavailable(4, until) // a claim takes the room of its completion
	s.want(0, until, replay.Completed)
	s.want(3, until, replay.Held)
	if err := s.Complete(context.Background(), claim, until); err != nil {
		t.Fatal(err)
	}
	s.unavailable(4, until)
	for n := range 4 {
		s.want(n, until, replay.Completed)
	}
	s.clock.Advance(time.Hour)
	s.unavailable(4, until.Add(time.Hour)) // until itself is still remembered
	s.clock.Advance(time.Second)
	s.complete(4, until.Add(time.Hour))
}

func TestMemoryFullButReleased(t *testing.T) {
	s := newStore(t, 1)
	until := start.Add(time.Hour)
	claim, _, _ := s.ask(0, until)
	s.unavailable(1, until)
	if err := s.Release(context.Background(), claim); err != nil {
		t.Fatal(err)
	}
	s.complete(1, until)
}

func TestMemoryForgetsNothingBeforeUntil(t *testing.T) {
	s := newStore(t, 100)
	for n := range 100 {
		s.complete(n, start.Add(time.Duration(n)*time.Minute))
	}
	for n := range 100 { // at minute n, exactly the IDs before n are stale
		s.clock.Advance(time.Second)
		s.complete(1000+n, start.Add(24*time.Hour))
		for kept := n + 1; kept < 100; kept += 7 {
			s.want(kept, start.Add(time.Duration(kept)*time.Minute), replay.Completed)
		}
		s.clock.Advance(time.Minute - time.Second)
	}
}

func TestMemoryClockSetBack(t *testing.T) {
	s := newStore(t, 8)
	for n := range 8 {
		s.complete(n, start.Add(time.Duration(n+1)*time.Hour))
	}
	s.clock.Advance(4*time.Hour + time.Second)
	s.complete(100, start.Add(24*time.Hour)) // forgets the first four
	s.clock.Advance(-4 * time.Hour)
	for n := range 4 {
		s.unavailable(n, start.Add(time.Duration(n+1)*time.Hour))
	}
	for n := 4; n < 8; n++ {
		s.want(n, start.Add(time.Duration(n+1)*time.Hour), replay.Completed)
	}
	s.unavailable(200, start.Add(4*time.Hour)) // never seen, but that cannot be known
	s.complete(201, start.Add(4*time.Hour+time.Second))
}

// Two windows in one store, and a clock that ran ahead: the fresh events of the narrow window are refused
// until the clock is where the forgotten ones ended, never called new wrongly. A store for each window is not
// touched.
func TestMemoryClockAccidentWithTwoWindows(t *testing.T) {
	const wide, narrow = 30 * 24 * time.Hour, 5 * time.Minute
	shared, own := newStore(t, 2), newStore(t, 2)
	shared.complete(0, start.Add(wide))
	own.complete(0, start.Add(narrow))
	for _, s := range []store{shared, own} {
		s.complete(1, start.Add(narrow))
		s.clock.Advance(2 * wide)
		s.complete(2, start.Add(3*wide)) // forgets both
		s.clock.Advance(-2*wide + time.Minute)
	}
	fresh := start.Add(time.Minute + narrow)
	shared.unavailable(3, fresh)
	own.complete(3, fresh)
	shared.clock.Advance(wide)
	shared.complete(4, start.Add(time.Minute+wide+narrow))
}

func TestMemoryLapsedClaimsAreForgotten(t *testing.T) {
	s := newStore(t, 2)
	until := start.Add(time.Minute)
	crashed, _, _ := s.ask(0, until)
	s.ask(1, until)
	s.clock.Advance(time.Minute + time.Second)
	s.complete(2, start.Add(time.Hour))
	if err := s.Complete(context.Background(), crashed, until); !errors.Is(err, replay.ErrClaimLost) {
		t.Errorf("Complete of a forgotten claim: %v, want ErrClaimLost", err)
	}
	s.clock.Advance(-time.Minute)
	s.unavailable(0, until)
}

func TestMemoryKeepsALiveClaimPastUntil(t *testing.T) {
	s := newStore(t, 1)
	until := start.Add(time.Second)
	claim, _, _ := s.ask(0, until)
	s.clock.Advance(10 * time.Second)
	s.unavailable(1, start.Add(time.Hour))
	if err := s.Complete(context.Background(), claim, until); err != nil {
		t.Error(err)
	}
	s.want(0, until, replay.Completed)
}

func TestMemoryKeepsTheSecondOfUntil(t *testing.T) {
	s := newStore(t, 1)
	until := start.Add(time.Second + time.Nanosecond)
	s.complete(0, until)
	s.clock.Advance(until.Sub(start))
	s.unavailable(1, start.Add(time.Hour))
	s.want(0, until, replay.Completed)
	s.clock.Advance(time.Second)
	s.complete(1, start.Add(time.Hour))
	s.unavailable(0, until)
}

func TestMemoryFarUntil(t *testing.T) {
	s := newStore(t, 4)
	for n, until := range []time.Time{
		time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(0, 0),
	} {
		s.complete(n, until)
		s.want(n, until, replay.Completed)
	}
}

func TestMemoryClaimOfAnotherStore(t *testing.T) {
	a, b := newStore(t, 4), newStore(t, 4)
	until := start.Add(time.Hour)
	claim, _, _ := a.ask(0, until)
	b.ask(0, until)
	if err := b.Complete(context.Background(), claim, until); !errors.Is(err, replay.ErrClaimLost) {
		t.Errorf("Complete on another store: %v, want ErrClaimLost", err)
	}
}

// Tables grow, purge and wrap while many workers use them: no completed ID is ever new.
func TestMemoryConcurrent(t *testing.T) {
	s := newStore(t, 200_000)
	const workers, each = 8, 5000
	until := start.Add(time.Hour)
	var news atomic.Int64
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := range each {
				n := (i*7 + w) % each // everybody wants the same IDs, in other orders
				claim, status, err := s.ask(n, until)
				if err != nil {
					t.Error(err)
					return
				}
				if status == replay.New {
					news.Add(1)
					if err := s.Complete(context.Background(), claim, until); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if news.Load() != each {
		t.Errorf("%d IDs were new, want %d", news.Load(), each)
	}
}

// The target is 64 bytes for each of 10,000,000 IDs. A table is at its emptiest just after it grew, so the
// worst of many sizes counts.
func TestMemoryBytesPerID(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a quarter of a million IDs")
	}
	until := start.Add(time.Hour)
	before := heap()
	s := newStore(t, 10_000_000)
	n := 0
	for size := 100_000; size <= 250_000; size += 15_000 {
		for ; n < size; n++ {
			s.complete(n, until)
		}
		if each := float64(heap()-before) / float64(n); each > 64 {
			t.Errorf("%d IDs take %.1f bytes each, want at most 64", n, each)
		}
	}
	runtime.KeepAlive(s.Store)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkMemory(b *testing.B) {
	m := replay.NewMemory(&replay.MemoryOptions{Capacity: 20_000_000})
	until, ctx := time.Now().Add(time.Hour), context.Background()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		claim, _, err := m.Claim(ctx, numbered(n), numbered(n), until, lease)
		if err != nil {
			b.Fatal(err)
		}
		if err := m.Complete(ctx, claim, until); err != nil {
			b.Fatal(err)
		}
	}
}
