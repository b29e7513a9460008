package replay

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// A shard's table grows by half, when four fifths of it are used, so that it is never emptier than 8/15: with
// its 28 bytes, a slot then costs 52.5 bytes for each ID in the worst moment.
const (
	firstSlots           = 16
	loadNum, loadDen     = 4, 5
	growthNum, growthDen = 3, 2
	worthNum, worthDen   = 3, 4 // a purge that leaves more than this of the load is followed by growth
)

type (
	fingerprint [16]byte
	mark        [8]byte
)

// slot is one completed ID; until 0 is an empty slot.
type slot struct {
	id    fingerprint
	mark  mark
	until uint32 // Unix seconds
}

// claimed is one claim, live or expired.
type claimed struct {
	mark  mark
	until uint32 // Unix seconds
	token uint64
	end   int64 // of the lease, Unix nanoseconds
}

// shard is one independent part of a Memory. Completed IDs are in a table with linear probing. Claims are in
// a map: there are as many as there are workers.
type shard struct {
	mu        sync.Mutex
	limit     int // most IDs, claimed and completed
	slots     []slot
	used      int // slots that are not empty
	claims    map[fingerprint]claimed
	purged    int64  // Unix seconds of the last purge
	forgotten uint32 // highest until that was ever forgotten
}

func newShard(limit int) shard {
	return shard{limit: limit, claims: make(map[fingerprint]claimed)}
}

// claim looks for the surest answer first: a live claim, then a completed ID, then an expired claim. Only
// after these is the ID unknown, and New is the answer only if the ID cannot have been forgotten. With every
// answer the ID is remembered up to the until of this copy, too.
func (s *shard) claim(id fingerprint, c claimed, now time.Time) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, known := s.claims[id]
	if known && now.UnixNano() < held.end {
		if c.until > held.until {
			held.until = c.until
			s.claims[id] = held
		}
		return Held, nil
	}
	if done := s.lookup(id); done != nil {
		done.until = max(done.until, c.until)
		return completedAs(done.mark, c.mark), nil
	}
	if !known {
		if err := s.admit(c.until, now); err != nil {
			return 0, err
		}
	}
	c.until = max(c.until, held.until)
	s.claims[id] = c
	return New, nil
}

func completedAs(done, claimed mark) Status {
	if subtle.ConstantTimeCompare(done[:], claimed[:]) == 1 {
		return Completed
	}
	return CompletedOther
}

// admit makes room for an unknown ID and for its completion. A completion that found the store full would
// come after the effect.
func (s *shard) admit(until uint32, now time.Time) error {
	if s.used+len(s.claims) >= s.limit {
		s.purge(now)
	}
	if until <= s.forgotten {
		return fmt.Errorf("%w: events as old as this one were forgotten, the clock was set back or stood still", ErrUnavailable)
	}
	if s.used+len(s.claims) >= s.limit {
		return fmt.Errorf("%w: it is full", ErrUnavailable)
	}
	return nil
}

func (s *shard) renew(id fingerprint, token uint64, end time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.claims[id]
	if !ok || c.token != token {
		return ErrClaimLost
	}
	c.end = end.UnixNano()
	s.claims[id] = c
	return nil
}

func (s *shard) complete(id fingerprint, token uint64, until uint32, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.claims[id]
	if !ok || c.token != token {
		return ErrClaimLost
	}
	delete(s.claims, id)
	s.makeRoom(now)
	s.insert(slot{id: id, mark: c.mark, until: max(until, c.until)})
	return nil
}

func (s *shard) release(id fingerprint, token uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.claims[id]
	if !ok || c.token != token {
		return ErrClaimLost
	}
	delete(s.claims, id)
	return nil
}

// lookup is the slot of a completed ID, or nil. A slot that is past its until and still here counts as well.
func (s *shard) lookup(id fingerprint) *slot {
	if len(s.slots) == 0 {
		return nil
	}
	for i := s.home(id); s.slots[i].until != 0; i = s.after(i) {
		if s.slots[i].id == id {
			return &s.slots[i]
		}
	}
	return nil
}

// insert puts an ID that is not in the table into the first empty slot. makeRoom has made sure that there is
// one.
func (s *shard) insert(done slot) {
	i := s.home(done.id)
	for s.slots[i].until != 0 {
		i = s.after(i)
	}
	s.slots[i] = done
	s.used++
}

// home maps the fingerprint, which is uniform, onto the slots without needing a power of two of them.
func (s *shard) home(id fingerprint) int {
	hi, _ := bits.Mul64(binary.BigEndian.Uint64(id[:8]), uint64(len(s.slots)))
	return int(hi)
}

func (s *shard) after(i int) int {
	if i++; i == len(s.slots) {
		return 0
	}
	return i
}

// makeRoom keeps the table below its load. It forgets stale IDs or, if that frees too little, grows the
// table.
func (s *shard) makeRoom(now time.Time) {
	if (s.used+1)*loadDen <= len(s.slots)*loadNum {
		return
	}
	s.purge(now)
	if s.used*loadDen*worthDen > len(s.slots)*loadNum*worthNum || len(s.slots) == 0 {
		s.rebuild(max(firstSlots, len(s.slots)*growthNum/growthDen), 0)
	}
}

// purge forgets the IDs, and the expired claims, whose until has passed. As until is in whole seconds, a
// second purge within a second would find nothing. So a full shard costs at most one purge a second.
func (s *shard) purge(now time.Time) {
	second := now.Unix()
	if second == s.purged {
		return
	}
	s.purged = second
	for id, c := range s.claims {
		if now.UnixNano() >= c.end && int64(c.until) < second {
			s.forgotten = max(s.forgotten, c.until)
			delete(s.claims, id)
		}
	}
	s.rebuild(len(s.slots), second)
}

// rebuild moves the IDs into a table of that size and forgets those whose until is before the second.
func (s *shard) rebuild(size int, second int64) {
	old := s.slots
	s.slots, s.used = make([]slot, size), 0
	for i := range old {
		switch until := old[i].until; {
		case until == 0:
		case int64(until) < second:
			s.forgotten = max(s.forgotten, until)
		default:
			s.insert(old[i])
		}
	}
}
