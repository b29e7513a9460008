// Package replaytest is the contract of replay.Store as tests. Every implementation runs it:
//
//	func TestStore(t *testing.T) {
//		replaytest.Contract{}.Run(t, func(t *testing.T, clock *replaytest.Clock) replay.Store {
//			return replay.NewMemory(&replay.MemoryOptions{Now: clock.Now})
//		})
//	}
//
// Keys are random, so that a store may be shared between runs. Times are whole seconds and differ by seconds,
// so that a store may be as coarse as milliseconds. A Contract also judges stores that are coarser, and for
// longer.
package replaytest

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

const (
	lease  = 30 * time.Second
	window = 24 * time.Hour
)

// Contract says what a store must satisfy. The zero value is the strict one.
type Contract struct {
	// LeaseSlack is how much longer than asked for a lease may live, in whole seconds; 0 = not at all. It is for
	// stores that know the time of their server in whole seconds only.
	LeaseSlack time.Duration
	// Steps is how many random operations are held against the model; 0 = 2000.
	Steps int
}

// Run runs the contract. Open makes the store under test, which takes its time from the clock, and closes the
// store's resources in t.Cleanup.
func (c Contract) Run(t *testing.T, open func(t *testing.T, clock *Clock) replay.Store) {
	if c.Steps == 0 {
		c.Steps = 2000
	}
	for _, part := range []struct {
		name string
		test func(*env)
	}{
		{"lifecycle", lifecycle},
		{"held whatever the digest", heldWhateverTheDigest},
		{"other digest", otherDigest},
		{"keys are independent", keysAreIndependent},
		{"race for one key", raceForOneKey},
		{"lease lapses", leaseLapses},
		{"renewal", renewal},
		{"lapsed but nobody's", lapsedButNobodys},
		{"crash between claim and complete", crashBetweenClaimAndComplete},
		{"stale token", staleToken},
		{"stale token after completion", staleTokenAfterCompletion},
		{"foreign token", foreignToken},
		{"lapsed claim takes another digest", lapsedClaimTakesAnotherDigest},
		{"release", release},
		{"remembered up to until", rememberedUpToUntil},
		{"later copy of what is held", laterCopyOfHeld},
		{"later copy of what is completed", laterCopyOfCompleted},
		{"later copy with another digest", laterCopyWithAnotherDigest},
		{"later copy of what lapsed", laterCopyOfLapsed},
		{"later until of a completion", laterUntilOfCompletion},
		{"race of copies", raceOfCopies},
		{"clock set back", clockSetBack},
		{"clock set back under a claim", clockSetBackUnderAClaim},
		{"race of completion and takeover", raceOfCompletionAndTakeover},
		{"arguments", arguments},
		{"cancelled context", cancelledContext},
		{"model", model},
	} {
		t.Run(part.name, func(t *testing.T) {
			clock := NewClock(time.Now().Truncate(time.Second))
			part.test(&env{T: t, Store: open(t, clock), contract: c, clock: clock, key: random()})
		})
	}
}

// env is one store with the one key that a test is about.
type env struct {
	*testing.T
	replay.Store
	contract Contract
	clock    *Clock
	key      [32]byte
}

func random() (b [32]byte) {
	rand.Read(b[:])
	return b
}

var digestA, digestB = [32]byte{0: 'a'}, [32]byte{31: 'b'}

// ask claims the key.
func (e *env) ask(digest [32]byte) (replay.Claim, replay.Status) {
	e.Helper()
	claim, status, err := e.Claim(e.Context(), e.key, digest, e.clock.Now().Add(window), lease)
	if err != nil {
		e.Fatalf("Claim: %v", err)
	}
	return claim, status
}

// mustClaim claims the key, which must be free.
func (e *env) mustClaim() replay.Claim {
	e.Helper()
	claim, status := e.ask(digestA)
	if status != replay.New {
		e.Fatalf("Claim = %v, want new", status)
	}
	if claim.Key != e.key {
		e.Fatalf("the claim is for another key")
	}
	return claim
}

// want asks for the key and expects anything but new.
func (e *env) want(digest [32]byte, want replay.Status) {
	e.Helper()
	if _, status := e.ask(digest); status != want {
		e.Fatalf("Claim = %v, want %v", status, want)
	}
}

// lapse moves the clock until a lease that began now has expired for certain.
func (e *env) lapse() { e.clock.Advance(lease + e.contract.LeaseSlack) }

func (e *env) complete(claim replay.Claim) error {
	return e.Complete(e.Context(), claim, e.clock.Now().Add(window))
}

func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

func (e *env) lost(what string, err error) {
	e.Helper()
	if !errors.Is(err, replay.ErrClaimLost) {
		e.Fatalf("%s: error %v, want ErrClaimLost", what, err)
	}
}

func lifecycle(e *env) {
	claim := e.mustClaim()
	e.want(digestA, replay.Held)
	e.ok(e.Renew(e.Context(), claim, lease))
	e.ok(e.complete(claim))
	e.want(digestA, replay.Completed)
	e.want(digestA, replay.Completed)
}

func heldWhateverTheDigest(e *env) {
	e.mustClaim()
	e.want(digestB, replay.Held)
	e.want(digestA, replay.Held)
}

func otherDigest(e *env) {
	e.ok(e.complete(e.mustClaim()))
	e.want(digestB, replay.CompletedOther)
	e.want(digestA, replay.Completed)
}

func keysAreIndependent(e *env) {
	first := e.key
	claim := e.mustClaim()
	e.key[31] ^= 1
	neighbour := e.mustClaim()
	if neighbour.Token == claim.Token {
		e.Error("two claims have one token")
	}
	e.lost("Complete with the token of another key",
		e.complete(replay.Claim{Key: first, Token: neighbour.Token}))
	e.ok(e.complete(claim))
	e.want(digestA, replay.Held)
	e.ok(e.Release(e.Context(), neighbour))
	e.mustClaim()
	e.key = first
	e.want(digestA, replay.Completed)
}

func raceForOneKey(e *env) {
	const racers = 50
	for range 4 {
		e.key = random()
		statuses := make(chan replay.Status, racers)
		together(racers, func() {
			_, status, err := e.Claim(e.Context(), e.key, digestA, e.clock.Now().Add(window), lease)
			if err != nil {
				e.Error(err)
			}
			statuses <- status
		})
		count := map[replay.Status]int{}
		for range racers {
			count[<-statuses]++
		}
		if count[replay.New] != 1 || count[replay.Held] != racers-1 {
			e.Fatalf("%d racers got %v, want one new and the others held", racers, count)
		}
	}
}

// together runs n goroutines that start at once, and waits for them.
func together(n int, do func()) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for range n {
		done.Go(func() {
			ready.Done()
			<-start
			do()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

func leaseLapses(e *env) {
	first := e.mustClaim()
	e.clock.Advance(lease - time.Second)
	e.want(digestA, replay.Held)
	e.clock.Advance(time.Second + e.contract.LeaseSlack)
	second := e.mustClaim()
	if second.Token == first.Token {
		e.Error("a claim and the one that took over have one token")
	}
	e.want(digestA, replay.Held)
}

func renewal(e *env) {
	claim := e.mustClaim()
	for range 5 {
		e.clock.Advance(lease / 2)
		e.ok(e.Renew(e.Context(), claim, lease))
	}
	e.clock.Advance(lease - time.Second)
	e.want(digestA, replay.Held)
	e.clock.Advance(time.Second + e.contract.LeaseSlack)
	e.mustClaim()
}

// An expired claim that no other worker took still belongs to its owner: a late completion is better than a
// second effect.
func lapsedButNobodys(e *env) {
	claim := e.mustClaim()
	e.clock.Advance(time.Hour)
	e.ok(e.Renew(e.Context(), claim, lease))
	e.want(digestA, replay.Held)
	e.clock.Advance(time.Hour)
	e.ok(e.complete(claim))
	e.want(digestA, replay.Completed)

	e.key = random()
	claim = e.mustClaim()
	e.clock.Advance(time.Hour)
	e.ok(e.Release(e.Context(), claim))
	e.mustClaim()
}

func crashBetweenClaimAndComplete(e *env) {
	e.mustClaim()
	e.want(digestA, replay.Held)
	e.lapse()
	e.ok(e.complete(e.mustClaim()))
	e.want(digestA, replay.Completed)
}

func staleToken(e *env) {
	stale := e.mustClaim()
	e.lapse()
	holder := e.mustClaim()
	e.lost("Renew", e.Renew(e.Context(), stale, 10*lease))
	e.lost("Release", e.Release(e.Context(), stale))
	e.lost("Complete", e.complete(stale))
	e.want(digestA, replay.Held)
	e.lapse() // had the stale renewal counted, the key would still be held
	taken := e.mustClaim()
	e.lost("Complete", e.complete(holder))
	e.ok(e.complete(taken))
}

func staleTokenAfterCompletion(e *env) {
	stale := e.mustClaim()
	e.lapse()
	e.ok(e.complete(e.mustClaim()))
	e.lost("Renew", e.Renew(e.Context(), stale, lease))
	e.lost("Release", e.Release(e.Context(), stale))
	e.lost("Complete", e.Complete(e.Context(), stale, e.clock.Now().Add(time.Second)))
	e.clock.Advance(time.Hour)
	e.want(digestA, replay.Completed)
}

func foreignToken(e *env) {
	claim := e.mustClaim()
	for i := range claim.Token {
		forged := claim
		forged.Token[i] ^= 1
		e.lost("Release", e.Release(e.Context(), forged))
		e.lost("Complete", e.complete(forged))
	}
	e.lost("Complete of a key never claimed", e.complete(replay.Claim{Key: random(), Token: claim.Token}))
	e.lost("Complete of the zero claim", e.complete(replay.Claim{}))
	e.ok(e.complete(claim))
}

// Nothing was completed, so there is nothing that another digest could contradict.
func lapsedClaimTakesAnotherDigest(e *env) {
	e.mustClaim()
	e.lapse()
	claim, status := e.ask(digestB)
	if status != replay.New {
		e.Fatalf("Claim = %v, want new", status)
	}
	e.ok(e.complete(claim))
	e.want(digestB, replay.Completed)
	e.want(digestA, replay.CompletedOther)
}

func release(e *env) {
	first := e.mustClaim()
	e.ok(e.Release(e.Context(), first))
	e.lost("second Release", e.Release(e.Context(), first))
	e.lost("Complete after Release", e.complete(first))
	second := e.mustClaim()
	e.lost("Release of the one before", e.Release(e.Context(), first))
	e.want(digestA, replay.Held)
	e.ok(e.complete(second))
	e.lost("Release after Complete", e.Release(e.Context(), second))
	e.want(digestA, replay.Completed)
}

func rememberedUpToUntil(e *env) {
	e.ok(e.complete(e.mustClaim()))
	e.clock.Advance(window - time.Second)
	e.want(digestA, replay.Completed)
	e.want(digestB, replay.CompletedOther)
}

// The event was completed, became stale, and looks fresh again because the clock was set back. It must not be
// new, also if the store purged in between.
func clockSetBack(e *env) {
	until := e.clock.Now().Add(window)
	e.ok(e.Complete(e.Context(), e.mustClaim(), until))
	forgotten := e.key
	e.clock.Advance(window + time.Hour)
	for range 100 {
		e.key = random()
		e.ok(e.complete(e.mustClaim()))
	}
	e.clock.Advance(-window)
	_, status, err := e.Claim(e.Context(), forgotten, digestA, until, lease)
	if status == replay.New || err != nil && !errors.Is(err, replay.ErrUnavailable) {
		e.Fatalf("Claim = %v, %v after the clock was set back", status, err)
	}
	e.key = random()
	e.mustClaim() // what is sealed after the forgotten events is not affected
}

func clockSetBackUnderAClaim(e *env) {
	claim := e.mustClaim()
	e.clock.Advance(-time.Hour)
	e.want(digestA, replay.Held)
	e.ok(e.complete(claim))
	e.want(digestA, replay.Completed)
}

// A holder whose lease has lapsed completes while another claims: exactly one of them gets it.
func raceOfCompletionAndTakeover(e *env) {
	for range 25 {
		e.key = random()
		late := e.mustClaim()
		e.lapse()
		var completion error
		var status replay.Status
		turn := make(chan int, 2)
		turn <- 0
		turn <- 1
		together(2, func() {
			if <-turn == 0 {
				completion = e.complete(late)
			} else {
				_, status, _ = e.Claim(e.Context(), e.key, digestA, e.clock.Now().Add(window), lease)
			}
		})
		completed := completion == nil && status == replay.Completed
		taken := errors.Is(completion, replay.ErrClaimLost) && status == replay.New
		if !completed && !taken {
			e.Fatalf("Complete: %v, and Claim = %v", completion, status)
		}
	}
}

func arguments(e *env) {
	for _, lease := range []time.Duration{0, -time.Second} {
		if _, status, err := e.Claim(e.Context(), e.key, digestA, e.clock.Now().Add(window),
			lease); err == nil || status != 0 {
			e.Errorf("Claim with a lease of %v = %v, %v", lease, status, err)
		}
	}
	if _, status, err := e.Claim(e.Context(), e.key, digestA, time.Time{}, lease); err == nil || status != 0 {
		e.Errorf("Claim with a zero until = %v, %v", status, err)
	}
	claim := e.mustClaim()
	if err := e.Renew(e.Context(), claim, 0); err == nil || errors.Is(err, replay.ErrClaimLost) {
		e.Errorf("Renew without a lease: %v", err)
	}
	if err := e.Complete(e.Context(), claim, time.Time{}); err == nil || errors.Is(err, replay.ErrClaimLost) {
		e.Errorf("Complete with a zero until: %v", err)
	}
	e.want(digestA, replay.Held)
	e.ok(e.complete(claim))
}

func cancelledContext(e *env) {
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	_, status, err := e.Claim(ctx, e.key, digestA, e.clock.Now().Add(window), lease)
	if !errors.Is(err, replay.ErrUnavailable) || status != 0 {
		e.Errorf("Claim with a cancelled context = %v, %v", status, err)
	}
}
