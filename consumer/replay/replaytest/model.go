package replaytest

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

// model runs random operations on a few keys, forwards in time, and holds every answer against a model of the
// contract that is too simple to be wrong.
func model(e *env) {
	const operations = 2000
	seed := rand.Uint64()
	e.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	keys := []*modelKey{{key: random()}, {key: random()}, {key: random()}}
	for range operations {
		k := keys[rng.IntN(len(keys))]
		switch op := rng.IntN(12); {
		case op < 5:
			k.claim(e, [][32]byte{digestA, digestB}[rng.IntN(2)])
		case op < 9 && len(k.claims) > 0:
			k.act(e, op, rng.IntN(len(k.claims)))
		case op == 9 && rng.IntN(8) == 0:
			*k = modelKey{key: random()}
		default:
			e.clock.Advance(time.Duration(rng.IntN(20)) * time.Second)
		}
	}
}

type modelKey struct {
	key       [32]byte
	claims    []replay.Claim // all there ever were
	owner     int            // index of the newest claim, if held
	held      bool           // claimed, perhaps lapsed
	end       time.Time
	digest    [32]byte
	completed bool
}

func (k *modelKey) claim(e *env, digest [32]byte) {
	now, want := e.clock.Now(), replay.New
	switch {
	case k.completed && digest == k.digest:
		want = replay.Completed
	case k.completed:
		want = replay.CompletedOther
	case k.held && now.Before(k.end):
		want = replay.Held
	}
	claim, status, err := e.Claim(e.Context(), k.key, digest, now.Add(window), lease)
	if err != nil || status != want {
		e.Fatalf("Claim = %v, %v, want %v", status, err, want)
	}
	if status == replay.New {
		k.claims = append(k.claims, claim)
		k.owner, k.held, k.end, k.digest = len(k.claims)-1, true, now.Add(lease), digest
	}
}

// act renews, completes or releases the i-th claim there ever was, which works for the newest only.
func (k *modelKey) act(e *env, op, i int) {
	var err error
	claim, now, mine := k.claims[i], e.clock.Now(), k.held && i == k.owner
	switch op {
	case 5, 6:
		err = e.Renew(e.Context(), claim, lease)
		if mine {
			k.end = now.Add(lease)
		}
	case 7:
		err = e.Complete(e.Context(), claim, now.Add(window))
		if mine {
			k.held, k.completed = false, true
		}
	case 8:
		err = e.Release(e.Context(), claim)
		k.held = k.held && !mine
	}
	if mine != (err == nil) || !mine && !errors.Is(err, replay.ErrClaimLost) {
		e.Fatalf("operation %d on claim %d: %v; is it the holder's? %v", op, i, err, mine)
	}
}
