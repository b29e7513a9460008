package replaytest

import (
	"errors"
	"sync"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
)

// A producer publishes an event again. The copy has the same key and is fresh for longer than the first one.
// It must be recognised for as long, whatever the store knew of the first one when the copy came.

// The first copies are of interest up to an hour from now, the later one up to three hours.
const firstCopies, laterCopy = time.Hour, 3 * time.Hour

func laterCopyOfHeld(e *env) {
	first, later := e.untils()
	claim := e.wantCopy(digestA, first, replay.New)
	e.wantCopy(digestA, later, replay.Held)
	e.wantCopy(digestA, first, replay.Held)
	e.ok(e.Renew(e.Context(), claim, lease))
	e.ok(e.Complete(e.Context(), claim, first))
	e.wantRemembered(first, later)
}

func laterCopyOfCompleted(e *env) {
	first, later := e.untils()
	e.ok(e.Complete(e.Context(), e.wantCopy(digestA, first, replay.New), first))
	e.wantCopy(digestA, later, replay.Completed)
	e.wantCopy(digestA, first, replay.Completed)
	e.wantRemembered(first, later)
}

func laterCopyWithAnotherDigest(e *env) {
	first, later := e.untils()
	e.ok(e.Complete(e.Context(), e.wantCopy(digestA, first, replay.New), first))
	e.wantCopy(digestB, later, replay.CompletedOther)
	e.wantRemembered(first, later)
}

// The later copy crashes, and the first one is delivered again.
func laterCopyOfLapsed(e *env) {
	first, later := e.untils()
	e.wantCopy(digestA, later, replay.New)
	e.lapse()
	e.ok(e.Complete(e.Context(), e.wantCopy(digestA, first, replay.New), first))
	e.wantRemembered(first, later)
}

func laterUntilOfCompletion(e *env) {
	first, later := e.untils()
	e.ok(e.Complete(e.Context(), e.wantCopy(digestA, first, replay.New), later))
	e.wantRemembered(first, later)
}

// Copies race with each other, with the renewal and with the completion: the latest until counts.
func raceOfCopies(e *env) {
	const copies = 8
	first, later := e.untils()
	claim := e.wantCopy(digestA, first, replay.New)
	var done sync.WaitGroup
	for i := range copies {
		done.Go(func() {
			until := first.Add(time.Duration(i+1) * later.Sub(first) / copies)
			_, status, err := e.Claim(e.Context(), e.key, digestA, until, lease)
			if err != nil || status != replay.Held && status != replay.Completed {
				e.Errorf("Claim = %v, %v, want held or completed", status, err)
			}
		})
	}
	done.Go(func() {
		if err := errors.Join(e.Renew(e.Context(), claim, lease),
			e.Complete(e.Context(), claim, first)); err != nil {
			e.Error(err)
		}
	})
	done.Wait()
	e.wantRemembered(first, later)
}

func (e *env) untils() (first, later time.Time) {
	return e.clock.Now().Add(firstCopies), e.clock.Now().Add(laterCopy)
}

// wantCopy claims the key for a copy of the event that is of interest up to until.
func (e *env) wantCopy(digest [32]byte, until time.Time, want replay.Status) replay.Claim {
	e.Helper()
	claim, status, err := e.Claim(e.Context(), e.key, digest, until, lease)
	if err != nil || status != want {
		e.Fatalf("Claim up to %v from now = %v, %v, want %v", until.Sub(e.clock.Now()), status, err, want)
	}
	return claim
}

// wantRemembered: the key, completed with digestA, is remembered past first and up to later.
func (e *env) wantRemembered(first, later time.Time) {
	e.Helper()
	for _, at := range []time.Time{first.Add(time.Minute), later.Add(-time.Second)} {
		e.clock.Advance(at.Sub(e.clock.Now()))
		e.churn()
		e.wantCopy(digestA, later, replay.Completed)
		e.wantCopy(digestB, later, replay.CompletedOther)
	}
}

// churn completes other events, for which a store that forgets on demand has to make room.
func (e *env) churn() {
	e.Helper()
	until := e.clock.Now().Add(time.Minute)
	for range 50 {
		claim, status, err := e.Claim(e.Context(), random(), digestA, until, lease)
		if err != nil || status != replay.New {
			e.Fatalf("Claim = %v, %v, want new", status, err)
		}
		e.ok(e.Complete(e.Context(), claim, until))
	}
}
