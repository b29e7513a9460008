package dynamodb_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/dynamodb"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/claimtable"
	"github.com/sealbus/sealbus/internal/testbed/cases"
)

const lease = 30 * time.Second

var key, digest = [32]byte{1}, [32]byte{2}

var itemID = hex.EncodeToString(key[:])

func newStore(t *testing.T, client dynamodb.Client, now func() time.Time) replay.Store {
	t.Helper()
	s, err := dynamodb.New(client, table, &dynamodb.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contract: the service's time is known in whole seconds.
var contract = replaytest.Contract{LeaseSlack: 2 * time.Second, Steps: cases.Of(2000)}

// The clock of the service is that of the test, the worker's differs from it, and nothing is deleted.
func TestStoreKeepsTheContract(t *testing.T) {
	for name, c := range map[string]struct {
		returnsItems bool
		off          time.Duration
	}{
		"as the service": {true, 0}, "as an emulator": {false, 0}, "worker ahead": {true, 5 * time.Minute},
		"worker behind": {true, -5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
				f, client := newFake(t)
				f.returnsItems, f.now = c.returnsItems, clock.Now
				return newStore(t, client, func() time.Time { return clock.Now().Add(c.off) })
			})
		})
	}
}

// TestContractWhileItemsExpire is the contract with a service that deletes items as soon as it may. Its clock
// follows that of the test, but is never set back, and is a little behind, since what is sealed by a clock
// that is behind the service's by the whole window may have been forgotten.
func TestContractWhileItemsExpire(t *testing.T) {
	contract.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
		f, client := newFake(t)
		f.expires = true
		var mu sync.Mutex
		var latest time.Time
		f.now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			if now := clock.Now().Add(-time.Minute); now.After(latest) {
				latest = now
			}
			return latest
		}
		s, err := dynamodb.New(client, table, &dynamodb.Options{Grace: time.Minute, Now: f.now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// Workers whose own clocks are apart, by more than a lease or by all that consumers tolerate, take over
// nothing from each other that is live, and take over what is not.
func TestWorkersApart(t *testing.T) {
	for _, off := range []struct{ holder, other time.Duration }{
		{0, lease + time.Second}, {0, 5 * time.Minute}, {-5 * time.Minute, 0},
		{5 * time.Minute, -5 * time.Minute},
	} {
		t.Run(fmt.Sprintf("%v and %v", off.holder, off.other), func(t *testing.T) {
			f, client := newFake(t)
			service := replaytest.NewClock(time.Now())
			f.now = service.Now
			worker := func(off time.Duration) replay.Store {
				return newStore(t, client, func() time.Time { return service.Now().Add(off) })
			}
			holder, other := worker(off.holder), worker(off.other)
			until := service.Now().Add(time.Hour)
			c := claim(t, holder, until)
			wantStatus(t, other, until, replay.Held)
			service.Advance(lease)
			wantStatus(t, other, until, replay.Held) // the date may be a second old, and so its whole seconds
			if err := holder.Renew(t.Context(), c, lease); err != nil {
				t.Fatal(err)
			}
			service.Advance(lease)
			wantStatus(t, other, until, replay.Held)
			service.Advance(4 * time.Second)
			claim(t, other, until)
			if err := holder.Complete(t.Context(), c, until); !errors.Is(err, replay.ErrClaimLost) {
				t.Errorf("Complete of what was taken over: %v, want ErrClaimLost", err)
			}
		})
	}
}

// An answer that does not tell the time, or tells one that cannot be, is no reason to take over a claim, be
// it live or lapsed, nor to make one.
func TestOddDates(t *testing.T) {
	for name, odd := range map[string]func(f *fake, now time.Time){
		"none":    func(f *fake, _ time.Time) { f.now = nil },
		"no time": func(f *fake, _ time.Time) { f.header = map[string]string{"Date": "tomorrow"} },
		"1970":    func(f *fake, _ time.Time) { f.now = func() time.Time { return time.Unix(0, 0) } },
		"9999": func(f *fake, _ time.Time) {
			f.now = func() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }
		},
		"ahead":        func(f *fake, now time.Time) { f.now = func() time.Time { return now.Add(17 * time.Minute) } },
		"behind":       func(f *fake, now time.Time) { f.now = func() time.Time { return now.Add(-16 * time.Minute) } },
		"from a cache": func(f *fake, _ time.Time) { f.header = map[string]string{"Age": "0"} },
	} {
		t.Run(name, func(t *testing.T) {
			f, client := newFake(t)
			start := time.Now().Truncate(time.Second)
			clock := replaytest.NewClock(start)
			f.now = clock.Now
			until := start.Add(time.Hour)
			s := newStore(t, client, clock.Now)
			c := claim(t, s, until)
			f.change(func() { odd(f, start) })
			for _, after := range []time.Duration{0, time.Minute + time.Second} {
				clock.Advance(after)
				wantUnavailable(t, newStore(t, client, clock.Now), until)
			}
			wantUnavailable(t, s, until) // it knew the time, but that was a minute ago
			if err := s.Renew(t.Context(), c, lease); !errors.Is(err, replay.ErrUnavailable) {
				t.Errorf("Renew: %v, want ErrUnavailable", err)
			}
			if err := s.Complete(t.Context(), c, until); err != nil {
				t.Errorf("Complete, which needs no time: %v", err)
			}
			f.change(func() { delete(f.items, itemID) })
			wantUnavailable(t, newStore(t, client, clock.Now), until)
			if f.item() != nil {
				t.Errorf("a claim that was not given is there: %v", f.item())
			}
		})
	}
}

// An error that a proxy writes is dated by a clock of its own, and tells no time.
func TestErrorsOfProxiesTellNoTime(t *testing.T) {
	f, _ := newFake(t)
	clock := replaytest.NewClock(time.Now().Truncate(time.Second))
	f.now = clock.Now
	var broken atomic.Bool
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !broken.Load() {
			f.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Date", clock.Now().Add(5*time.Minute).UTC().Format(http.TimeFormat))
		http.Error(w, "no healthy upstream", http.StatusServiceUnavailable)
	}))
	t.Cleanup(proxy.Close)
	until := clock.Now().Add(time.Hour)
	holder, other := newStore(t, newClient(proxy.URL), clock.Now),
		newStore(t, newClient(proxy.URL), clock.Now)
	c := claim(t, holder, until)
	wantStatus(t, other, until, replay.Held)
	broken.Store(true)
	wantUnavailable(t, other, until)
	broken.Store(false)
	wantStatus(t, other, until, replay.Held)
	if err := holder.Complete(t.Context(), c, until); err != nil {
		t.Errorf("Complete of a live claim: %v", err)
	}
}

// While the time is not known there is one read, and no other.
func TestOneReadWhileTheTimeIsUnknown(t *testing.T) {
	f, client := newFake(t)
	clock := replaytest.NewClock(time.Now().Truncate(time.Second))
	f.now = clock.Now
	s := newStore(t, client, clock.Now)
	until := clock.Now().Add(time.Hour)
	wantReads := func(want int) {
		t.Helper()
		f.change(func() {
			if f.calls["GetItem"] != want {
				t.Fatalf("%d reads, want %d", f.calls["GetItem"], want)
			}
		})
	}
	c := claim(t, s, until)
	wantReads(1)
	for range 3 {
		wantStatus(t, s, until, replay.Held)
		clock.Advance(time.Minute)
		if err := s.Renew(t.Context(), c, 5*time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	wantReads(1)
	clock.Advance(time.Minute + time.Second)
	wantStatus(t, s, until, replay.Held)
	wantReads(2)
	clock.Advance(-time.Second) // the clock of this machine was set back
	wantStatus(t, s, until, replay.Held)
	wantReads(3)
}

// The time that is carried on may lag behind. Then the refusal tells the time, and the claim is asked for
// again.
func TestTheRefusalTellsTheTime(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	service := replaytest.NewClock(start)
	f.now = service.Now
	s := newStore(t, client, func() time.Time { return start }) // stands still
	until := start.Add(time.Hour)
	claim(t, s, until)
	service.Advance(lease + time.Second)
	wantStatus(t, s, until, replay.Held)
	service.Advance(time.Second)
	claim(t, s, until)
}

// An answer that takes long tells less of the time: the lease is as much longer.
func TestSlowAnswers(t *testing.T) {
	const slow = 20 * time.Second
	f, client := newFake(t)
	service := replaytest.NewClock(time.Now().Truncate(time.Second))
	var began time.Time
	f.now = func() time.Time {
		began = service.Now()
		service.Advance(slow)
		return began
	}
	s := newStore(t, client, service.Now)
	claim(t, s, service.Now().Add(time.Hour))
	end, err := strconv.ParseInt(f.item()["lease_end"]["N"], 10, 64)
	if got := time.UnixMilli(end).Sub(began); err != nil || got < lease || got > lease+slow+2*time.Second {
		t.Errorf("the lease ended %v after it was written, %v, want %v and at most the uncertainty", got, err,
			lease)
	}
}

func claim(t *testing.T, s replay.Store, until time.Time) replay.Claim {
	t.Helper()
	c, status, err := s.Claim(t.Context(), key, digest, until, lease)
	if err != nil || status != replay.New {
		t.Fatalf("Claim = %v, %v, want new", status, err)
	}
	return c
}

func wantStatus(t *testing.T, s replay.Store, until time.Time, want replay.Status) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != want || err != nil {
		t.Fatalf("Claim = %v, %v, want %v", status, err, want)
	}
}

func wantUnavailable(t *testing.T, s replay.Store, until time.Time) {
	t.Helper()
	if _, status, err := s.Claim(t.Context(), key, digest, until, lease); status != 0 ||
		!errors.Is(err, replay.ErrUnavailable) {
		t.Fatalf("Claim = %v, %v, want ErrUnavailable", status, err)
	}
}

func (f *fake) item() attributes {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.items[itemID]
}

// forgetAt is when the item is garbage.
func (f *fake) forgetAt(t *testing.T) time.Time {
	t.Helper()
	n, err := strconv.ParseInt(f.item()[claimtable.TTL]["N"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Unix(n, 0)
}

// A completed event is forgotten after its until, and is never new again for a consumer whose clock was set
// back.
func TestForgottenAfterUntilAndNeverNewAgain(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	service := replaytest.NewClock(start)
	f.now = service.Now
	consumer := replaytest.NewClock(start)
	s := newStore(t, client, consumer.Now)
	until := start.Add(time.Hour)
	if err := s.Complete(t.Context(), claim(t, s, until), until); err != nil {
		t.Fatal(err)
	}
	if want := until.Add(time.Hour); !f.forgetAt(t).Equal(want) {
		t.Errorf("forgotten at %v, want %v", f.forgetAt(t), want)
	}
	service.Advance(73 * time.Hour) // time to live is late
	consumer.Advance(73*time.Hour - 10*time.Minute)
	wantStatus(t, s, until, replay.Completed)
	f.change(func() { delete(f.items, itemID) })
	wantUnavailable(t, s, until)
	wantUnavailable(t, newStore(t, client, func() time.Time { return start }), until) // it was set back
	wantUnavailable(t, s, service.Now())
	if f.item() != nil {
		t.Errorf("a claim that was not given is still there: %v", f.item())
	}
	s = newStore(t, client, service.Now)
	wantUnavailable(t, s, until)
	wantStatus(t, s, service.Now().Add(time.Second), replay.New)
}

// A later until that a copy wrote in between is not lowered by what was begun before it.
func TestKeptForLongerInBetween(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	f.now = func() time.Time { return start }
	s := newStore(t, client, f.now)
	c := claim(t, s, start.Add(time.Second))
	far := start.Add(100 * time.Hour)
	// between has a later copy come before the second update of what is done.
	between := func(do func()) {
		t.Helper()
		f.change(func() {
			updates := 0
			f.before = func(operation string) {
				if operation != "UpdateItem" {
					return
				}
				if updates++; updates == 2 {
					f.change(func() {
						item := maps.Clone(f.items[itemID])
						item["until"] = map[string]string{"N": strconv.FormatInt(far.UnixMilli(), 10)}
						item["forget_at"] = map[string]string{"N": strconv.FormatInt(far.Unix(), 10)}
						f.items[itemID] = item
					})
				}
			}
		})
		do()
		f.change(func() { f.before = nil })
		if got := f.forgetAt(t); !got.Equal(far) ||
			f.item()["until"]["N"] != strconv.FormatInt(far.UnixMilli(), 10) {
			t.Errorf("the item is up to %s and lives until %v, want %v", f.item()["until"]["N"], got, far)
		}
	}
	between(func() {
		if err := s.Renew(t.Context(), c, 10*time.Minute); err != nil {
			t.Error(err)
		}
	})
	f.change(func() { delete(f.items, itemID) })
	c = claim(t, s, start.Add(time.Second))
	between(func() { wantStatus(t, s, start.Add(time.Hour), replay.Held) })
	far = far.Add(time.Hour)
	if err := s.Complete(t.Context(), c, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	between(func() { wantStatus(t, s, far.Add(-time.Minute), replay.Completed) })
}

// A copy that is stale for the service takes nothing from the holder of a claim, not even of one that lapsed.
func TestStaleCopyTakesNothing(t *testing.T) {
	f, client := newFake(t)
	service := replaytest.NewClock(time.Now().Truncate(time.Second))
	f.now = service.Now
	s := newStore(t, client, service.Now)
	c := claim(t, s, service.Now().Add(time.Hour))
	wantStatus(t, s, service.Now(), replay.Held)
	service.Advance(lease + 2*time.Second)
	wantUnavailable(t, s, service.Now())
	if err := s.Complete(t.Context(), c, service.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, service.Now(), replay.Completed)
}

// A claim that was not given, and could not be taken back, is not given to the next worker either.
func TestForgottenAndNotTakenBack(t *testing.T) {
	f, client := newFake(t)
	clock := replaytest.NewClock(time.Now().Truncate(time.Second))
	until := clock.Now().Add(time.Second)
	f.now = clock.Now
	s := newStore(t, client, clock.Now)
	f.before = func(operation string) {
		if operation == "UpdateItem" {
			f.now = func() time.Time { return until } // in the meantime
		}
		if operation == "DeleteItem" {
			panic(http.ErrAbortHandler)
		}
	}
	wantUnavailable(t, s, until)
	if f.item() == nil {
		t.Fatal("the claim was taken back")
	}
	clock.Advance(lease + 2*time.Second)
	f.change(func() { f.before, f.now = nil, clock.Now })
	wantUnavailable(t, s, until)
}

// Every item has an end, also that of a claim whose holder crashed and of one whose lease goes beyond until.
// Nothing makes it come earlier, a later copy makes it come later, and nothing is written for one that does
// not.
func TestEveryItemExpires(t *testing.T) {
	f, client := newFake(t)
	start := time.Now().Truncate(time.Second)
	clock := replaytest.NewClock(start)
	f.now = clock.Now
	s := newStore(t, client, clock.Now)
	want := func(lives, until time.Duration) {
		t.Helper()
		if got := f.forgetAt(t).Sub(start); got != lives+time.Hour {
			t.Fatalf("the item lives for %v, want %v", got, lives+time.Hour)
		}
		if got, want := f.item()["until"]["N"], strconv.FormatInt(start.Add(until).UnixMilli(),
			10); got != want {
			t.Fatalf("the item is up to %s, want %s", got, want)
		}
	}
	renew := func(c replay.Claim, lease time.Duration) {
		t.Helper()
		if err := s.Renew(t.Context(), c, lease); err != nil {
			t.Fatal(err)
		}
	}
	const slack = 2 * time.Second
	c := claim(t, s, start.Add(20*time.Second))
	want(lease+slack, 20*time.Second)
	wantStatus(t, s, start.Add(25*time.Second), replay.Held)
	want(lease+slack, 25*time.Second)
	renew(c, 15*time.Second)
	want(lease+slack, 25*time.Second)
	renew(c, 10*time.Minute)
	want(10*time.Minute+slack, 25*time.Second)
	renew(c, time.Second)
	want(10*time.Minute+slack, 25*time.Second)
	clock.Advance(time.Second + slack)
	c = claim(t, s, start.Add(21*time.Second))
	want(10*time.Minute+slack, 25*time.Second)
	if err := s.Complete(t.Context(), c, start.Add(22*time.Second)); err != nil {
		t.Fatal(err)
	}
	want(10*time.Minute+slack, 25*time.Second)
	wantStatus(t, s, start.Add(20*time.Minute), replay.Completed)
	want(20*time.Minute, 20*time.Minute)
	writes := f.calls["UpdateItem"]
	wantStatus(t, s, start.Add(20*time.Minute), replay.Completed)
	wantStatus(t, s, start.Add(15*time.Minute), replay.Completed)
	want(20*time.Minute, 20*time.Minute)
	if n := f.calls["UpdateItem"] - writes; n != 2 { // the claims that were refused
		t.Errorf("%d writes, want 2", n)
	}
}

// An item that is deleted before it can be kept for longer is not made again by that.
func TestRaiseMakesNoItem(t *testing.T) {
	f, client := newFake(t)
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	if err := s.Complete(t.Context(), claim(t, s, until), until); err != nil {
		t.Fatal(err)
	}
	updates := 0
	f.change(func() {
		f.before = func(operation string) {
			if updates++; updates == 2 {
				f.change(func() { delete(f.items, itemID) })
			}
			if updates == 3 && f.item() != nil {
				t.Errorf("there is an item again: %v", f.item())
			}
		}
	})
	claim(t, s, until.Add(time.Hour)) // nothing is known of it any more
	if updates != 3 {
		t.Errorf("%d calls, want a claim, a write that keeps it, and a claim", updates)
	}
}

func TestDownAndUp(t *testing.T) {
	f, client := newFake(t)
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	lost := make(map[string]func())
	for _, code := range []string{
		"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded",
		"InternalServerError",
		"ResourceNotFoundException", "AccessDeniedException", "ValidationException",
	} {
		lost[code] = func() { f.refuse = code }
	}
	lost["connection lost"] = func() { f.refuse = ""; f.before = func(string) { panic(http.ErrAbortHandler) } }
	for name, down := range lost {
		t.Run(name, func(t *testing.T) {
			f.change(down)
			defer f.change(func() { f.refuse, f.before = "", nil })
			wantUnavailable(t, s, until)
			for name, err := range map[string]error{
				"Renew":    s.Renew(t.Context(), c, lease),
				"Complete": s.Complete(t.Context(), c, until),
				"Release":  s.Release(t.Context(), c),
			} {
				if !errors.Is(err, replay.ErrUnavailable) || errors.Is(err, replay.ErrClaimLost) {
					t.Errorf("%s: %v, want ErrUnavailable", name, err)
				}
			}
		})
	}
	wantStatus(t, s, until, replay.Held)
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Completed)
}

// The client asks again when an answer is lost. Its own write must not be in its way.
func TestLostAnswers(t *testing.T) {
	for name, returnsItems := range map[string]bool{"as the service": true, "as an emulator": false} {
		t.Run(name, func(t *testing.T) {
			f, client := newFake(t)
			f.returnsItems = returnsItems
			s := newStore(t, client, nil)
			until := time.Now().Add(time.Hour)
			f.change(func() { f.loseAnswers = 1 })
			c := claim(t, s, until)
			wantStatus(t, s, until, replay.Held)
			f.change(func() { f.loseAnswers = 1 })
			if err := s.Renew(t.Context(), c, lease); err != nil {
				t.Errorf("Renew: %v", err)
			}
			f.change(func() { f.loseAnswers = 1 })
			if err := s.Complete(t.Context(), c, until); err != nil {
				t.Errorf("Complete: %v", err)
			}
			wantStatus(t, s, until, replay.Completed)
			if err := s.Complete(t.Context(), c, until); !errors.Is(err, replay.ErrClaimLost) {
				t.Errorf("Complete once more: %v, want ErrClaimLost", err)
			}
		})
	}
}

// An item that vanishes before it can be read was released: the claim is asked for again.
func TestReleasedInBetween(t *testing.T) {
	f, client := newFake(t)
	f.returnsItems = false
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	f.change(func() {
		f.before = func(operation string) {
			if operation == "GetItem" {
				f.change(func() { f.before = nil; delete(f.items, itemID) })
			}
		}
	})
	claim(t, s, until)
}

// If others claim and release all the time, nothing can be said.
func TestReleasedAgainAndAgain(t *testing.T) {
	f, client := newFake(t)
	f.returnsItems = false
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	kept := f.item()
	f.change(func() {
		f.before = func(operation string) {
			f.change(func() {
				if f.items[itemID] = kept; operation == "GetItem" {
					delete(f.items, itemID)
				}
			})
		}
	})
	wantUnavailable(t, s, until)
}

// Whatever else is stored under the key is neither taken for a claim nor overwritten.
func TestForeignItem(t *testing.T) {
	f, client := newFake(t)
	s := newStore(t, client, nil)
	until := time.Now().Add(time.Hour)
	claim(t, s, until)
	sound := f.item()
	for _, attribute := range []string{"phase", "token", "digest", "lease_end", "until", "forget_at"} {
		for name, value := range map[string]map[string]string{"missing": nil, "odd": {"S": "odd"}} {
			item := make(attributes)
			for n, v := range sound {
				item[n] = v
			}
			if item[attribute] = value; value == nil {
				delete(item, attribute)
			}
			f.change(func() { f.items[itemID] = item })
			t.Run(attribute+" "+name, func(t *testing.T) { wantUnavailable(t, s, until) })
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	f, client := newFake(t)
	for name, make := range map[string]func() (replay.Store, error){
		"no client":        func() (replay.Store, error) { return dynamodb.New(nil, table, nil) },
		"no table":         func() (replay.Store, error) { return dynamodb.New(client, "", nil) },
		"a negative grace": func() (replay.Store, error) { return dynamodb.New(client, table, &dynamodb.Options{Grace: -1}) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("a store with %s", name)
		}
	}
	s, err := dynamodb.New(client, table, &dynamodb.Options{Grace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Truncate(time.Second).Add(time.Hour)
	claim(t, s, until)
	if got := f.forgetAt(t).Sub(until); got != time.Minute {
		t.Errorf("the item is forgotten %v after until, want a minute", got)
	}
}

// The narrow interface is enough: a wrapper of the client is a client.
type wrapped struct {
	dynamodb.Client
	reads *int
}

func (w wrapped) GetItem(ctx context.Context, in *awsdynamodb.GetItemInput,
	opts ...func(*awsdynamodb.Options)) (*awsdynamodb.GetItemOutput, error) {
	if *w.reads++; *w.reads > 1 {
		return nil,
			errors.New("the item that is in the way comes with the error, no read is needed but for the time")
	}
	return w.Client.GetItem(ctx, in, opts...)
}

func TestNoReadWhereTheServiceReturnsTheItem(t *testing.T) {
	_, client := newFake(t)
	s := newStore(t, wrapped{client, new(int)}, nil)
	until := time.Now().Add(time.Hour)
	c := claim(t, s, until)
	wantStatus(t, s, until, replay.Held)
	if err := s.Complete(t.Context(), c, until); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, s, until, replay.Completed)
}
