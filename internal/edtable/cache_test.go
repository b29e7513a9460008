package edtable

import (
	"crypto/ed25519"
	"crypto/fips140"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// signer has a key pair made from a number, and one signature.
type signer struct {
	public       ed25519.PublicKey
	message, sig []byte
}

func newSigner(n int) signer {
	seed := make([]byte, ed25519.SeedSize)
	binary.BigEndian.PutUint64(seed, uint64(n))
	private := ed25519.NewKeyFromSeed(seed)
	message := []byte{byte(n)}
	return signer{private.Public().(ed25519.PublicKey), message, ed25519.Sign(private, message)}
}

func signers(n int) (list []signer) {
	for i := range n {
		list = append(list, newSigner(i))
	}
	return list
}

// clocked returns a cache under a clock that moves by step each time it is read. It makes tables in FIPS
// mode, too.
func clocked(step time.Duration) *Cache {
	var past atomic.Int64
	c := NewCache(func() time.Time { return time.Unix(1, past.Add(int64(step))) })
	c.plain = false
	return c
}

// verify demands that the genuine signature verifies and a forged one does not.
func verify(t *testing.T, c *Cache, s signer) {
	t.Helper()
	if !c.Verify(s.public, s.message, s.sig) {
		t.Fatal("a genuine signature does not verify")
	}
	if c.Verify(s.public, []byte("other"), s.sig) {
		t.Fatal("a signature of another message verifies")
	}
}

func (c *Cache) has(s signer) bool {
	return (*c.tables.Load())[publicKey(s.public)] != nil
}

func (c *Cache) len() int { return len(*c.tables.Load()) }

func TestTableComesAfterWorthSuccesses(t *testing.T) {
	c, s := clocked(BuildInterval), newSigner(1)
	for i := range 3 * Worth {
		if has := c.has(s); has != (i > Worth) {
			t.Fatalf("after %d verified signatures: has a table = %v", i, has)
		}
		verify(t, c, s)
	}
}

// TestFIPSModeMakesNoTable: a new cache follows the mode, and one that is plain makes neither tables nor
// counts.
func TestFIPSModeMakesNoTable(t *testing.T) {
	c, s := clocked(BuildInterval), newSigner(1)
	if plain := NewCache(time.Now).plain; plain != fips140.Enabled() {
		t.Errorf("plain = %v in FIPS mode = %v", plain, fips140.Enabled())
	}
	c.plain = true
	for range 3 * Worth {
		verify(t, c, s)
	}
	if c.len() != 0 || len(c.counted) != 0 {
		t.Errorf("%d tables and %d counts", c.len(), len(c.counted))
	}
}

func TestForgeriesMakeNoTable(t *testing.T) {
	c, s := clocked(BuildInterval), newSigner(1)
	for range 100 * Worth {
		if c.Verify(s.public, []byte("other"), s.sig) {
			t.Fatal("a signature of another message verifies")
		}
	}
	if c.len() != 0 || len(c.counted) != 0 {
		t.Errorf("forgeries made %d tables and %d counts", c.len(), len(c.counted))
	}
}

// TestForgeriesEvictNothing: forgeries under a key with a table do not keep it alive either.
func TestForgeriesEvictNothing(t *testing.T) {
	c, list := clocked(BuildInterval), signers(MaxTables+1)
	for _, s := range list[:MaxTables] {
		for range Worth + 1 {
			verify(t, c, s)
		}
	}
	if c.len() != MaxTables {
		t.Fatalf("%d tables", c.len())
	}
	late := list[MaxTables]
	for range 100 * Worth {
		c.Verify(late.public, []byte("other"), late.sig)
		c.Verify(list[0].public, []byte("other"), list[0].sig)
	}
	if c.has(late) || !c.has(list[0]) {
		t.Error("forgeries evicted a table")
	}
	for range EvictionWorth {
		verify(t, c, late)
		if c.has(late) {
			t.Fatal("a key of few signatures evicts a table")
		}
	}
	verify(t, c, late)
	if !c.has(late) || c.has(list[0]) || !c.has(list[1]) || c.len() != MaxTables {
		t.Error("a hot key does not take the place of the idlest")
	}
}

// TestKeysInTurnEvictNoTable: with more keys than tables, which all come equally often, the first ones keep
// their tables.
func TestKeysInTurnEvictNoTable(t *testing.T) {
	for _, n := range []int{MaxTables + 1, 1000} {
		c, list := clocked(BuildInterval), signers(n)
		for round := range 3 * Worth {
			before := *c.tables.Load()
			for _, s := range list {
				if !c.Verify(s.public, s.message, s.sig) {
					t.Fatal("a genuine signature does not verify")
				}
			}
			after := *c.tables.Load()
			if len(after) > MaxTables {
				t.Fatalf("%d keys: %d tables", n, len(after))
			}
			if round > Worth+1 {
				for key, table := range before {
					if after[key] != table {
						t.Fatalf("%d keys: round %d evicted a table", n, round)
					}
				}
			}
		}
		if c.len() != MaxTables {
			t.Errorf("%d keys: %d tables, want %d", n, c.len(), MaxTables)
		}
	}
}

// TestKeysInRandomOrderMakeFewTables: a key that comes no more often than those with tables takes no place.
// A key that comes more often than they do takes one.
func TestKeysInRandomOrderMakeFewTables(t *testing.T) {
	for _, n := range []int{MaxTables + 1, 100, 1000} {
		c, list := clocked(BuildInterval), signers(n+1)
		random := rand.New(rand.NewPCG(1, uint64(n)))
		made := 0
		use := func(s signer) { // verifies its signature, and does not take the time for it
			key, before := publicKey(s.public), c.tables.Load()
			if hot := (*before)[key]; hot != nil {
				hot.used.Store(c.clock.Add(1))
				return
			}
			c.note(key)
			if c.tables.Load() != before {
				made++
			}
		}
		for range 30 * n {
			use(list[random.IntN(n)])
		}
		if c.len() != MaxTables {
			t.Fatalf("%d keys: %d tables", n, c.len())
		}
		made = 0
		for range 10_000 {
			use(list[random.IntN(n)])
		}
		if made > 10 {
			t.Errorf("%d keys: %d tables made for 10,000 signatures", n, made)
		}
		for range 10_000 {
			use(list[random.IntN(n)])
			use(list[n])
		}
		if !c.has(list[n]) {
			t.Errorf("%d keys: one that comes every other time has no table", n)
		}
	}
}

// TestATableIsMadeOnce: a goroutine that was late with the same table evicts nothing.
func TestATableIsMadeOnce(t *testing.T) {
	c, list := clocked(BuildInterval), signers(MaxTables+1)
	for _, s := range list[:MaxTables] {
		for range Worth + 1 {
			verify(t, c, s)
		}
	}
	late := list[MaxTables]
	for range EvictionWorth + 1 {
		verify(t, c, late)
	}
	before := c.tables.Load()
	for range EvictionWorth + 1 { // as goroutines do that found no table yet
		c.note(publicKey(late.public))
	}
	if c.tables.Load() != before || c.len() != MaxTables {
		t.Errorf("the same table is made again, and there are %d", c.len())
	}
}

func TestCountsAreBounded(t *testing.T) {
	c := clocked(BuildInterval)
	for i := range 3*maxCounted + 1 {
		var key publicKey
		binary.BigEndian.PutUint64(key[:], uint64(i))
		c.note(key)
		if len(c.counted) > maxCounted {
			t.Fatalf("%d keys are counted", len(c.counted))
		}
	}
}

func TestBuildsAreApart(t *testing.T) {
	c, list := clocked(BuildInterval/100), signers(10)
	for range 3 * Worth {
		for _, s := range list {
			verify(t, c, s)
		}
	}
	if n := c.len(); n != 2 { // 160 readings of the clock are 160 ms
		t.Errorf("%d tables", n)
	}
}

func TestGoroutinesShareACache(t *testing.T) {
	c, list := NewCache(time.Now), signers(3)
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 50 {
				s := list[(g+i)%len(list)]
				if !c.Verify(s.public, s.message, s.sig) || c.Verify(s.public, []byte("other"), s.sig) {
					t.Error("wrong verdict")
				}
			}
		})
	}
	group.Wait()
}

// TestGoroutinesEvict has goroutines make and evict tables all the time, and verify by them meanwhile.
func TestGoroutinesEvict(t *testing.T) {
	c, list := clocked(BuildInterval), signers(MaxTables+8)
	for _, s := range list[:MaxTables] {
		for range Worth + 1 {
			c.note(publicKey(s.public))
		}
	}
	var group sync.WaitGroup
	for g := range 4 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(g)))
			for range 40 {
				s := list[random.IntN(len(list))]
				for range EvictionWorth + 1 {
					if !c.has(s) {
						c.note(publicKey(s.public))
					}
				}
				if !c.Verify(s.public, s.message, s.sig) || c.Verify(s.public, []byte("other"), s.sig) {
					t.Error("wrong verdict")
				}
			}
		})
	}
	group.Wait()
	for key, hot := range *c.tables.Load() {
		if hot.table.public != key {
			t.Error("a table is under another key")
		}
	}
	if c.len() != MaxTables {
		t.Errorf("%d tables", c.len())
	}
}

func TestOddSizes(t *testing.T) {
	c, s := clocked(BuildInterval), newSigner(1)
	for range Worth + 2 {
		verify(t, c, s)
	}
	for _, public := range [][]byte{nil, s.public[:31], append(s.public[:32:32], 0)} {
		if c.Verify(public, s.message, s.sig) {
			t.Errorf("a key of %d bytes verifies", len(public))
		}
		if _, err := New(public); err == nil {
			t.Errorf("a key of %d bytes has a table", len(public))
		}
	}
	for _, sig := range [][]byte{nil, s.sig[:63], append(s.sig[:64:64], 0)} {
		if c.Verify(s.public, s.message, sig) {
			t.Errorf("a signature of %d bytes verifies", len(sig))
		}
	}
}
