package edtable

import (
	"crypto/ed25519"
	"crypto/fips140"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxTables is how many tables a Cache has at most, which take about 2 MB.
	MaxTables = 64

	// Worth is how many signatures of a key must have verified before it gets a table. A table costs about
	// three verifications, and a key of which few events come does not repay them.
	Worth = 8

	// EvictionWorth is how many must have verified since the idlest table was used, for a key to take its
	// place. With fewer, keys that come in random order would evict each other for ever. One event cannot
	// evict a table: it has at most 16 signatures.
	EvictionWorth = 2 * Worth

	// BuildInterval is the least time between two builds. So building takes at most a few thousandths of one
	// processor's time.
	BuildInterval = 100 * time.Millisecond

	// maxCounted is how many keys without a table are counted at a time. One more, and all counts start anew.
	maxCounted = 1024
)

// Cache verifies signatures, and makes tables of the keys that many of them are by. Only a signature that
// verified counts: a forger can neither make a table nor evict one. A Cache may be used by any number of
// goroutines, and holds at most MaxTables tables.
type Cache struct {
	now    func() time.Time
	plain  bool          // makes no tables
	clock  atomic.Uint64 // counts verified signatures: it says which key was used later
	tables atomic.Pointer[map[publicKey]*cached]

	mu      sync.Mutex // for all below, and for changes of tables
	counted map[publicKey]count
	built   time.Time // the latest build
}

type publicKey [ed25519.PublicKeySize]byte

// cached is a table and the time of its latest use, by Cache.clock.
type cached struct {
	table *Table
	used  atomic.Uint64
}

// count is how many signatures of a key verified since a time by Cache.clock.
type count struct {
	verified int
	since    uint64
}

// NewCache returns an empty cache. It reads the time by now, for BuildInterval alone. In FIPS 140-3 mode it
// makes no tables: the mode does not change while a process runs.
func NewCache(now func() time.Time) *Cache {
	c := &Cache{now: now, plain: fips140.Enabled(), counted: map[publicKey]count{}}
	c.tables.Store(&map[publicKey]*cached{})
	return c
}

// Verify reports whether sig is a signature of message by the key, as ed25519.Verify does. It returns false
// if the key has not the size of one.
func (c *Cache) Verify(public ed25519.PublicKey, message, sig []byte) bool {
	if len(public) != ed25519.PublicKeySize {
		return false
	}
	if c.plain {
		return ed25519.Verify(public, message, sig)
	}
	key := publicKey(public)
	if hot := (*c.tables.Load())[key]; hot != nil {
		ok := hot.table.Verify(message, sig)
		if ok {
			hot.used.Store(c.clock.Add(1))
		}
		return ok
	}
	ok := ed25519.Verify(public, message, sig)
	if ok {
		c.note(key)
	}
	return ok
}

// note counts a verified signature of a key that has no table. It makes the table when that is worth its
// cost, and meanwhile other goroutines go on without.
func (c *Cache) note(key publicKey) {
	now := c.clock.Add(1)
	since, build := c.count(key, now)
	if !build {
		return
	}
	table, err := New(key[:])
	if err != nil {
		return // not reached: a signature of the key verified
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	tables := maps.Clone(*c.tables.Load())
	if tables[key] != nil || !hasRoom(tables, since) {
		return // another goroutine made the same table, or took the place
	}
	if len(tables) >= MaxTables {
		delete(tables, idlest(tables).table.public)
	}
	hot := &cached{table: table}
	hot.used.Store(now)
	tables[key] = hot
	delete(c.counted, key)
	c.tables.Store(&tables)
}

// count counts a signature of the key. It reports whether to make its table now, and since when the key is
// counted.
func (c *Cache) count(key publicKey, now uint64) (since uint64, build bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.counted[key]
	if !known {
		n.since = now
		if len(c.counted) >= maxCounted {
			clear(c.counted)
		}
	}
	tables := *c.tables.Load()
	switch enough := n.verified >= worth(tables); {
	case enough && !hasRoom(tables, n.since):
		n = count{since: now}
	case enough:
		at := c.now()
		build = c.built.IsZero() || at.Sub(c.built).Abs() >= BuildInterval
		if build {
			c.built = at
		}
	}
	n.verified++
	c.counted[key] = n
	return n.since, build
}

// worth returns how many signatures of a key must have verified before it gets a table beside these.
func worth(tables map[publicKey]*cached) int {
	if len(tables) < MaxTables {
		return Worth
	}
	return EvictionWorth
}

// hasRoom reports whether a key that is counted since this time may have a table. There are fewer than
// MaxTables, or one was idle for longer. So keys that take turns do not evict each other.
func hasRoom(tables map[publicKey]*cached, since uint64) bool {
	return len(tables) < MaxTables || idlest(tables).used.Load() < since
}

// idlest returns the table that was not used for the longest time.
func idlest(tables map[publicKey]*cached) (found *cached) {
	for _, t := range tables {
		if found == nil || t.used.Load() < found.used.Load() {
			found = t
		}
	}
	return found
}
