// Package replay remembers which events are being handled and which were, so that each is handled once
// under redelivery, crashes and several workers.
//
// A worker claims an event for the length of a lease, renews the lease while it works, and completes the claim
// when it is done, or releases it when it failed. A crash lets the lease lapse. What is promised is: handled at
// least once, completed once. A store never answers New for an event that was completed and may still be
// fresh; when it cannot know, it answers ErrUnavailable, and the event is delivered again.
//
// Threats: a forger who wants to burn an ID (claims are made for verified events only); a replay while the
// first delivery is in hand (Held); a replay later (Completed); a replay after the clock was set back (see
// Memory); a worker that wakes up after its lease was given to another (ErrClaimLost).
//
// Memory serves one process; packages redis and dynamodb serve any number of them. UnsafeFailOpen is for those who would
// rather handle an event twice than wait for a store.
//
// Stable: Store and its statuses. Package replaytest is the contract as tests.
package replay

import (
	"context"
	"errors"
	"time"
)

// Errors of a Store.
var (
	// ErrClaimLost means that the claim is no longer its holder's: another worker claimed the event since,
	// or it was completed or released. Nothing was changed.
	ErrClaimLost = errors.New("replay: the claim was lost")
	// ErrUnavailable means that the store could not answer: it is down, full, or cannot know. It is
	// transient, and after Claim nothing may be handled.
	ErrUnavailable = errors.New("replay: the store is unavailable")
)

// Status is what a store knows of an event when it is asked for a claim.
type Status int

// The statuses. The zero Status comes only with an error.
const (
	New            Status = 1 + iota // nobody has it: the claim is the caller's
	Held                             // another claim is live, whatever its digest
	Completed                        // it was completed with this digest: a duplicate
	CompletedOther                   // it was completed with another digest: its ID was used again
)

// String is the status in words.
func (s Status) String() string {
	switch s {
	case New:
		return "new"
	case Held:
		return "held"
	case Completed:
		return "completed"
	case CompletedOther:
		return "completed with another digest"
	}
	return "no status"
}

// Claim is the right to handle one event. Its token fences: every claim of a key has another one, and a
// claim whose token is not the key's newest changes nothing. Claims are values and can be compared.
type Claim struct {
	Key   [32]byte
	Token [16]byte
}

// Store keeps claims. Its implementations are safe for concurrent use, pass package replaytest, and
// decide everything on use by the wall clock that they were given: nothing depends on a goroutine or a timer.
//
// Not the lease but the token decides who may act: as long as nobody else claimed the key, the holder of a
// lapsed claim may still renew, complete and release it. Every error that is not ErrClaimLost wraps
// ErrUnavailable, except for arguments that make no sense (a lease of no length, a zero until).
type Store interface {
	// Claim asks for key. Digest identifies the content of the event; until is the moment from which the
	// event is stale whoever judges it (see Complete); lease is how long the claim lives without
	// renewal. The Claim is valid only with New.
	Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (Claim, Status, error)
	// Renew makes the lease of the claim end one lease from now.
	Renew(ctx context.Context, claim Claim, lease time.Duration) error
	// Complete makes the key Completed, to be remembered at least up to until.
	Complete(ctx context.Context, claim Claim, until time.Time) error
	// Release makes the key free again.
	Release(ctx context.Context, claim Claim) error
}
