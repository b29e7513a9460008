package throttle

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/gcra"
)

// The table of Addresses has room for 256,000 networks in 2 MiB: it stays in the processor's cache, where a
// table of 8 MiB costs three times as long. A network needs its slot only until its requests are paid for. A
// set is as large as a line of the cache. Its networks are found by looking at all of them.
const (
	sets = 32_000
	ways = 8
)

// A slot of the table is the tag of a network, in its upper bits, and the moment when the requests of the
// network are paid for, in ticks of 65,536 ns. A tick and 44 bits last for 36 years.
const (
	tickBits = 16
	paidBits = 44
	paidMask = 1<<paidBits - 1
	// began is the tick of the first moment, more than a year after 0: the clock may be set back.
	began = 1 << 39
	// last is where the clock stands still, and refuses, after 17 years.
	last = 1 << 43
)

// The bounds of a rate of addresses. A faster one would be a few ticks, and would be rounded.
const (
	minAddressRate = 1.0 / (24 * 60 * 60)
	maxAddressRate = 1_000
	maxAddressWait = 1 << 42 // ticks in which a burst comes again: nine years
)

// locks is how many goroutines can use the table at one time.
const locks = 256

// Addresses limits callers of whom nothing but the address is known. It counts networks: the /64 of an
// address of IPv6, and a whole address of IPv4. It takes 2 MiB, however many call, and allocates nothing
// later. It is safe for concurrent use.
//
// Networks are counted exactly as long as at most eight active ones share a set. If more do, a network that
// is not known takes the place of the one with the least to remember, together with what that one owes. So no
// crowd of callers gets more requests than the table grants, and a caller who was refused stays refused. The
// set of a network depends on a random key, so that an attacker cannot choose networks of one set.
type Addresses struct {
	seed  maphash.Seed
	rate  gcra.Rate // in ticks
	epoch int64     // Unix nanoseconds of the tick began
	locks [locks]sync.Mutex
	sets  [][ways]uint64
}

// NewAddresses makes a table. Each network may make so many requests a second, from one a day to 1,000, and a
// burst of them at once. Requests of callers who are known later count, too: the rate is that of the largest
// network of honest callers. The clock begins with now.
func NewAddresses(rate float64, burst int, now time.Time) (*Addresses, error) {
	switch {
	case !(rate >= minAddressRate && rate <= maxAddressRate):
		return nil, fmt.Errorf("throttle: the rate of an address is %v: give from one a day to %d a second",
			rate, maxAddressRate)
	case burst < 1 || burst > maxBurst:
		return nil, fmt.Errorf("throttle: the burst of an address is %d: give from 1 to %d", burst, maxBurst)
	}
	each := (float64(time.Second)/rate + 1<<tickBits - 1) / (1 << tickBits) // rounded up
	if each*float64(burst) > maxAddressWait {
		return nil, fmt.Errorf("throttle: a burst of %d at %v a second comes again in more than nine years",
			burst, rate)
	}
	return &Addresses{seed: maphash.MakeSeed(), rate: gcra.Every(time.Duration(each), burst),
		epoch: now.UnixNano(), sets: make([][ways]uint64, sets)}, nil
}

// Take counts a request from that address. A wait above 0 refuses it, and it is not counted. All addresses
// that are not valid share one limit.
func (a *Addresses) Take(addr netip.Addr, now time.Time) (wait time.Duration) {
	h := a.hash(addr)
	i := (h >> 32) * sets >> 32
	tag := h << paidBits // of the lower half: the upper one chose the set
	t := a.ticks(now)
	lock := &a.locks[i%locks]
	lock.Lock()
	set := &a.sets[i]
	// Without branches: the processor could not foretell them, and each would cost as much as the table does.
	isOurs := uint64(0)
	for j := range set {
		isOurs |= ((set[j]^tag)>>paidBits - 1) >> 63 << j
	}
	at := bits.TrailingZeros64(isOurs) % ways
	if isOurs == 0 {
		for j := range set {
			if set[j]&paidMask < set[at]&paidMask {
				at = j
			}
		}
	}
	next, wait := a.rate.Take(int64(set[at]&paidMask), t)
	if wait > 0 { // the slot stays that of its network
		tag = set[at] &^ paidMask
	}
	set[at] = tag | uint64(next)
	lock.Unlock()
	return wait << tickBits
}

// hash is that of the network of an address. An address of IPv4 is written as a network of ff00::/8, from
// which no request comes. One store and one load of eight bytes are faster than several of them.
func (a *Addresses) hash(addr netip.Addr) uint64 {
	network := uint64(0xfffffffe) << 32 // no address at all
	switch addr = addr.Unmap(); {
	case addr.Is4():
		b := addr.As4()
		network = 0xffffffff<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	case addr.Is6():
		b := addr.As16()
		network = binary.BigEndian.Uint64(b[:8])
	}
	var text [8]byte
	binary.LittleEndian.PutUint64(text[:], network)
	return maphash.Bytes(a.seed, text[:])
}

// ticks is the moment on the clock of the table.
func (a *Addresses) ticks(now time.Time) int64 {
	return min(max((now.UnixNano()-a.epoch)>>tickBits+began, 0), last)
}
