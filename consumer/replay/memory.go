package replay

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// defaultCapacity is how many IDs a Memory holds unless told otherwise: some 50 MB when full.
const defaultCapacity = 1_000_000

// Sharding: there are enough shards that workers seldom wait for each other, and none is so small that the
// shards would fill unevenly.
const (
	maxShards   = 256
	shardSize   = 1 << 14 // fewest IDs of a shard, unless it is the only one
	shardSpread = 6       // standard deviations by which a shard may exceed its even part
)

// MemoryOptions adjust NewMemory.
type MemoryOptions struct {
	// Capacity is how many IDs are held, claimed and completed together; 0 = 1,000,000. A store for more
	// than some thousands is sharded. It holds up to 5 % more before each of its shards is full.
	Capacity int
	// Now is the wall clock; nil = time.Now.
	Now func() time.Time
}

// memory is what NewMemory makes.
type memory struct {
	now    func() time.Time
	secret [32]byte
	run    [8]byte       // half of every token: a claim of one store is invalid on another
	tokens atomic.Uint64 // the other half: the last one given out
	shards []shard
}

var _ Store = (*memory)(nil)

// NewMemory makes an empty Store for one process. It is bounded: it takes less than 64 bytes for each
// completed ID, and allocates as it fills. When it is full, it answers ErrUnavailable, never a false New.
//
// It keeps keyed hashes of key and digest (SHA-256 under a random secret of this store), cut to 128 bits for
// the key and to 64 for the digest. An attacker who cannot learn the secret cannot search for two keys that
// collide. Among 10,000,000 IDs, two collide by chance with a probability below 2^-80.
//
// A completed ID is forgotten, when room is needed, after the clock has passed its until. If the clock is
// then set back, its event looks fresh again. Therefore each shard remembers the highest until that it ever
// forgot. It answers ErrUnavailable to an unknown event whose until is not later, because the event may have
// been completed. Suppose that all events have one window and that the clocks of their producers were right.
// Then an event that is sealed after the accident has a later until and is not affected, and a refused event
// is stale when the clock gets there.
//
// In two cases fresh events are refused, too, for as long as the clock needs to get there. The first is that
// consumers with different windows share the store: a clock that ran ahead makes it forget events of the wide
// window, whose until is later than that of every fresh event of the narrow one. The second is that the
// clocks of producers ran ahead as well. A refused event is not lost as long as the transport still delivers
// it. Therefore give each window a store of its own. After a clock accident, restart the process: a new
// store refuses nothing. It does not know which events were completed, so an event that comes again within
// the window is handled again, with the same idempotency key.
func NewMemory(opts *MemoryOptions) Store {
	var o MemoryOptions
	if opts != nil {
		o = *opts
	}
	if o.Capacity <= 0 {
		o.Capacity = defaultCapacity
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &memory{now: o.Now, shards: newShards(o.Capacity)}
	rand.Read(m.secret[:])
	rand.Read(m.run[:])
	return m
}

func newShards(capacity int) []shard {
	shards := make([]shard, min(max(capacity/shardSize, 1), maxShards))
	limit := capacity
	if len(shards) > 1 {
		even := float64(capacity) / float64(len(shards))
		limit = int(math.Ceil(even + shardSpread*math.Sqrt(even)))
	}
	for i := range shards {
		shards[i] = newShard(limit)
	}
	return shards
}

// Claim is Store.Claim.
func (m *memory) Claim(
	ctx context.Context, key, digest [32]byte, until time.Time, lease time.Duration,
) (Claim, Status, error) {
	if err := check(ctx, until, lease); err != nil {
		return Claim{}, 0, err
	}
	s, id := m.find(key)
	now := m.now()
	c := claimed{
		mark: m.mark(key, digest), until: seconds(until), token: m.tokens.Add(1),
		end: leaseEnd(now, lease).UnixNano(),
	}
	status, err := s.claim(id, c, now)
	if err != nil || status != New {
		return Claim{}, status, err
	}
	return Claim{Key: key, Token: m.token(c.token)}, New, nil
}

// Renew is Store.Renew.
func (m *memory) Renew(ctx context.Context, claim Claim, lease time.Duration) error {
	if err := check(ctx, forever, lease); err != nil {
		return err
	}
	return m.with(claim, func(s *shard, id fingerprint, token uint64) error {
		return s.renew(id, token, leaseEnd(m.now(), lease))
	})
}

// Complete is Store.Complete.
func (m *memory) Complete(ctx context.Context, claim Claim, until time.Time) error {
	if err := check(ctx, until, 1); err != nil {
		return err
	}
	return m.with(claim, func(s *shard, id fingerprint, token uint64) error {
		return s.complete(id, token, seconds(until), m.now())
	})
}

// Release is Store.Release.
func (m *memory) Release(ctx context.Context, claim Claim) error {
	if err := check(ctx, forever, 1); err != nil {
		return err
	}
	return m.with(claim, func(s *shard, id fingerprint, token uint64) error {
		return s.release(id, token)
	})
}

// forever stands in for an until that an operation does not take.
var forever = time.Unix(math.MaxUint32, 0)

func check(ctx context.Context, until time.Time, lease time.Duration) error {
	switch {
	case until.IsZero():
		return errors.New("replay: until is the zero time")
	case lease <= 0:
		return fmt.Errorf("replay: a lease of %v", lease)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	return nil
}

// maxLease keeps the end of a lease within 64 bits of nanoseconds since 1970. An end that overflows would be
// long past, and the next worker that asks would get the claim.
const maxLease = 100 * 365 * 24 * time.Hour

func leaseEnd(now time.Time, lease time.Duration) time.Time { return now.Add(min(lease, maxLease)) }

// with finds the shard of a claim that this store gave out.
func (m *memory) with(claim Claim, do func(*shard, fingerprint, uint64) error) error {
	if [8]byte(claim.Token[:8]) != m.run {
		return ErrClaimLost
	}
	s, id := m.find(claim.Key)
	return do(s, id, binary.BigEndian.Uint64(claim.Token[8:]))
}

func (m *memory) token(n uint64) (token [16]byte) {
	copy(token[:], m.run[:])
	binary.BigEndian.PutUint64(token[8:], n)
	return token
}

// find is the shard of key, and the hash that stands for key in it. The input has a fixed length, so a
// SHA-256 with a secret prefix is a MAC.
func (m *memory) find(key [32]byte) (*shard, fingerprint) {
	var input [64]byte
	copy(input[:], m.secret[:])
	copy(input[32:], key[:])
	h := sha256.Sum256(input[:])
	shard := binary.BigEndian.Uint32(h[16:]) % uint32(len(m.shards))
	return &m.shards[shard], fingerprint(h[:16])
}

// mark stands for the digest of key's content.
func (m *memory) mark(key, digest [32]byte) mark {
	var input [96]byte
	copy(input[:], m.secret[:])
	copy(input[32:], key[:])
	copy(input[64:], digest[:])
	h := sha256.Sum256(input[:])
	return mark(h[:8])
}

// seconds is t in whole seconds since 1970, rounded down: an ID is kept through the second in which its until
// lies.
func seconds(t time.Time) uint32 { return uint32(min(max(t.Unix(), 1), math.MaxUint32)) }
