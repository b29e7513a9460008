package replaytest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

// model runs random operations on a few keys, forwards in time and past the until of every copy, and holds
// every answer against a model of the contract that is too simple to be wrong.
func model(e *env) {
	seed := rand.Uint64()
	e.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	keys := make([]modelKey, 3)
	for i := range keys {
		keys[i] = modelKey{key: random()}
	}
	for range e.contract.Steps {
		k := &keys[rng.IntN(len(keys))]
		switch op := rng.IntN(16); {
		case op < 6:
			k.claim(e, [][32]byte{digestA, digestA, digestB}[rng.IntN(3)], untilOf(e, rng))
		case op < 11 && len(k.claims) > 0:
			k.act(e, op, k.pick(rng), untilOf(e, rng))
		case op == 11 && rng.IntN(4) == 0:
			*k = modelKey{key: random()}
		case op == 12 && rng.IntN(32) == 0:
			e.churn()
		case op == 13 && rng.IntN(16) == 0:
			e.clock.Advance(time.Duration(rng.IntN(1200)) * time.Second)
		default:
			e.clock.Advance(time.Duration(rng.IntN(20)) * time.Second)
		}
	}
}

// untilOf is the until of one of the copies of an event: most are fresh for some leases, some are just stale.
func untilOf(e *env, rng *rand.Rand) time.Time {
	if rng.IntN(16) == 0 {
		return e.clock.Now().Add(-time.Duration(rng.IntN(3)) * time.Second)
	}
	return e.clock.Now().Add(time.Duration(1+rng.IntN(20*(1+rng.IntN(30)))) * time.Second)
}

// modelKey is what is known of a key. From until on, the store may have forgotten it, unless its lease is
// live.
type modelKey struct {
	key       [32]byte
	claims    []replay.Claim // the newest ones
	held      bool           // the last of claims is claimed, perhaps lapsed
	end       time.Time      // of its lease
	digest    [32]byte
	completed bool
	until     time.Time // the latest of all copies
}

// pick is the index of a claim, of the newest one mostly.
func (k *modelKey) pick(rng *rand.Rand) int {
	if rng.IntN(2) == 0 {
		return len(k.claims) - 1
	}
	return rng.IntN(len(k.claims))
}

// allowed are the statuses that a claim may be answered with; 0 = ErrUnavailable.
func (k *modelKey) allowed(e *env, digest [32]byte, until time.Time) []replay.Status {
	now := e.clock.Now()
	fresh := []replay.Status{replay.New}
	if !until.After(now) {
		fresh = append(fresh, 0)
	}
	switch {
	case k.held && now.Before(k.end):
		return []replay.Status{replay.Held}
	case k.held && now.Before(k.end.Add(e.contract.LeaseSlack)):
		return append(fresh, replay.Held)
	case !k.completed:
		return fresh
	}
	known := replay.CompletedOther
	if digest == k.digest {
		known = replay.Completed
	}
	if now.Before(k.until) {
		return []replay.Status{known}
	}
	return append(fresh, known)
}

func (k *modelKey) claim(e *env, digest [32]byte, until time.Time) {
	allowed := k.allowed(e, digest, until)
	claim, status, err := e.Claim(e.Context(), k.key, digest, until, lease)
	if err != nil && !errors.Is(err, replay.ErrUnavailable) || !slices.Contains(allowed, status) ||
		(status == 0) != (err != nil) {
		e.Fatalf("Claim up to %v from now = %v, %v, want one of %v; it is remembered up to %v from now",
			until.Sub(e.clock.Now()), status, err, allowed, k.until.Sub(e.clock.Now()))
	}
	if status == 0 {
		return
	}
	if until.After(k.until) {
		k.until = until
	}
	if status == replay.New {
		const remembered = 8
		k.claims = append(k.claims[max(0, len(k.claims)-remembered+1):], claim)
		k.held, k.completed, k.end, k.digest = true, false, e.clock.Now().Add(lease), digest
	}
}

// act renews, completes or releases one of the claims there were, which works for the newest only. A claim
// that lapsed may be forgotten from its until on.
func (k *modelKey) act(e *env, op, i int, until time.Time) {
	var err error
	claim, now := k.claims[i], e.clock.Now()
	mine := k.held && i == len(k.claims)-1
	mayBeGone := mine && !now.Before(k.end) && !now.Before(k.until)
	switch op {
	case 6, 7:
		err = e.Renew(e.Context(), claim, lease)
	case 8, 9:
		err = e.Complete(e.Context(), claim, until)
	default:
		err = e.Release(e.Context(), claim)
	}
	if mayBeGone && errors.Is(err, replay.ErrClaimLost) {
		*k = modelKey{key: k.key, claims: k.claims}
		return
	}
	if mine != (err == nil) || !mine && !errors.Is(err, replay.ErrClaimLost) {
		e.Fatalf("operation %d on claim %d of %d: %v; is it the holder's? %v", op, i, len(k.claims), err,
			mine)
	}
	switch {
	case !mine:
	case op <= 7:
		k.end = now.Add(lease)
	case op <= 9:
		k.held, k.completed = false, true
		if until.After(k.until) {
			k.until = until
		}
	default:
		k.held, k.until = false, time.Time{}
	}
}
