// Package replay remembers which events are being handled and which were handled. So each event is handled
// once, under redelivery, crashes and several workers.
//
// A worker claims an event for the length of a lease and renews the lease while it works. It completes the
// claim when it is done, or releases it when it failed. After a crash the lease expires. The promise is:
// handled at least once, completed once. A store never answers New for an event that was completed and may
// still be fresh. When it cannot know, it answers ErrUnavailable, and the event is retried.
//
// A producer may publish an event again. The copy has the same key and a later time of sealing, so it is
// fresh for longer than the first one. Each Claim therefore names the moment up to which its copy matters.
// The store remembers the key up to the latest moment of all copies.
//
// Threats: a forger who wants to use up an ID (claims are made for verified events only); a replay while the
// first delivery is being handled (Held); a replay later (Completed); a replay after the clock was set back
// (see Memory); a worker that wakes up after another worker has claimed the event (ErrClaimLost).
//
// Memory serves one process. Packages redis and dynamodb serve any number of processes. UnsafeFailOpen is for
// consumers that would rather handle an event twice than wait for a store.
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
	// ErrClaimLost means that the caller no longer owns the claim: another worker has claimed the event
	// since, or the claim was completed or released. Nothing was changed.
	ErrClaimLost = errors.New("replay: the claim was lost")
	// ErrUnavailable means that the store could not answer: it is down, full, or cannot know. It is
	// transient. After Claim it means that the event must not be handled now.
	ErrUnavailable = errors.New("replay: the store is unavailable")
)

// Status is a store's answer to a claim.
type Status int

// The statuses. The zero Status comes only with an error.
const (
	New            Status = 1 + iota // the event is free: the caller owns the claim
	Held                             // another claim is live, with any digest
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

// Claim is the right to handle one event. Its token is a fence: every claim of a key has a token of its own,
// and a claim whose token is not the key's newest changes nothing. Claims are values and can be compared.
type Claim struct {
	Key   [32]byte
	Token [16]byte
}

// Store keeps claims. Its implementations are safe for concurrent use, pass package replaytest, and decide
// everything on use by one clock: Memory by the wall clock that it was given, a shared store by the clock of
// its server, so that no worker's clock decides about another worker's lease. Nothing depends on a goroutine
// or a timer.
//
// Each key has one until: the moment up to which it is remembered at least. It is the latest until of all
// calls of Claim (with any status) and Complete for the key. Release and forgetting reset it, and nothing
// else lowers it or the time to live of a record. Held, Completed and CompletedOther raise it, in one atomic
// step with the answer or before it. If it cannot be raised, the answer is ErrUnavailable.
//
// A call should end when its context does: a lease is renewed, and a claim completed, within a time limit.
//
// The token decides who owns the claim. An expired lease stays valid until another worker claims the key: up
// to then its owner may still renew, complete and release the claim.
//
// Every error that is not ErrClaimLost wraps ErrUnavailable, except for arguments that make no sense (a lease
// of no length, a zero until).
type Store interface {
	// Claim asks for key. Digest identifies the content of the event. Until is the moment up to which this
	// copy of the event needs the key to be remembered. It is not before the moment from which the copy is
	// stale for every worker. A store that may have forgotten a completion of the key answers ErrUnavailable
	// instead of New. Lease is how long the claim is held without renewal. It may be some seconds longer
	// where the store knows its server's time in whole seconds only. The Claim is valid only with New.
	Claim(ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration) (Claim, Status,
		error)
	// Renew makes the lease of the claim end one lease from now.
	Renew(ctx context.Context, claim Claim, lease time.Duration) error
	// Complete makes the key Completed. It is remembered at least up to until, and up to the until of every
	// copy that was claimed meanwhile.
	Complete(ctx context.Context, claim Claim, until time.Time) error
	// Release makes the key free again.
	Release(ctx context.Context, claim Claim) error
}
