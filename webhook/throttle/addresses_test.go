package throttle_test

import (
	"encoding/binary"
	"math"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
	"github.com/sealbus/sealbus/webhook/throttle"
)

func newTable(t testing.TB, rate float64, burst int) *throttle.Addresses {
	t.Helper()
	a, err := throttle.NewAddresses(rate, burst, afternoon)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// network is the n-th of many networks.
func network(n uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], 0x2001<<48|n&0xffffffff)
	binary.BigEndian.PutUint64(b[8:], n)
	return netip.AddrFrom16(b)
}

// A network has a burst and a rate. It is the /64 of IPv6, and one address of IPv4.
func TestAddressesAreNetworks(t *testing.T) {
	a := newTable(t, 1, 2)
	take := func(what, addr string, at time.Duration, pass bool) {
		t.Helper()
		wait := a.Take(netip.MustParseAddr(addr), afternoon.Add(at))
		if (wait == 0) != pass || wait > time.Second+100*time.Microsecond {
			t.Errorf("%s: waits %v", what, wait)
		}
	}
	take("first", "2001:db8::1", 0, true)
	take("another one of its /64", "2001:db8::ffff:1", 0, true)
	take("a third", "2001:db8::2", 0, false)
	take("with a zone", "2001:db8::2%eth0", 0, false)
	take("the next /64", "2001:db8:0:1::1", 0, true)
	take("IPv4", "192.0.2.1", 0, true)
	take("the same, mapped", "::ffff:192.0.2.1", 0, true)
	take("the same", "192.0.2.1", 0, false)
	take("its neighbour", "192.0.2.2", 0, true)
	take("after the wait", "2001:db8::3", time.Second+100*time.Microsecond, true)
	take("and no more", "2001:db8::4", time.Second+100*time.Microsecond, false)
	take("the clock an hour back", "2001:db8::4", -time.Hour, false)
	take("and a second later", "2001:db8::4", -time.Hour+2*time.Second, true)
	take("after ten years", "2001:db8::4", 10*365*day, true)
	for range 2 {
		a.Take(netip.Addr{}, afternoon)
	}
	if a.Take(netip.Addr{}, afternoon) == 0 {
		t.Error("callers without an address have no limit")
	}
}

// A million networks cost at most 2 MiB and what a runtime needs beside it. Calls allocate nothing.
func TestAddressesAreBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	a := newTable(t, 1, 5)
	for n := range uint64(1_000_000) {
		a.Take(network(n), afternoon)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20+64<<10 {
		t.Errorf("a million networks cost %d bytes", used)
	}
	n := uint64(0)
	if allocs := testing.AllocsPerRun(1000, func() { n++; a.Take(network(n), afternoon) }); allocs != 0 {
		t.Errorf("%v allocations a call", allocs)
	}
	runtime.KeepAlive(a)
}

// In a crowd of a million networks, the table grants no more than it has room for. One that was refused is
// refused until its wait is over.
func TestCrowdGetsNoMore(t *testing.T) {
	a := newTable(t, 0.001, 2)
	busy := network(1 << 31)
	for range 2 {
		a.Take(busy, afternoon)
	}
	passed := 0
	for n := range uint64(1_000_000) {
		if a.Take(network(n), afternoon) == 0 {
			passed++
		}
		if n%1000 == 0 && a.Take(busy, afternoon) == 0 {
			t.Fatalf("after %d others, the busy network passes", n)
		}
	}
	if most := 2 * 32_000 * 8; passed > most || passed < most*9/10 {
		t.Errorf("%d requests pass, want at most %d", passed, most)
	}
}

// Up to thirty thousand active networks, almost each is counted on its own.
func TestNetworksAreCountedAlone(t *testing.T) {
	a := newTable(t, 0.001, 1)
	refused, leaked := 0, 0
	for n := range uint64(30_000) {
		if a.Take(network(n), afternoon) != 0 {
			refused++
		}
	}
	for n := range uint64(30_000) {
		if a.Take(network(n), afternoon) == 0 {
			leaked++
		}
	}
	if refused > 10 || leaked > 0 {
		t.Errorf("%d of 30,000 are refused at first, %d pass twice", refused, leaked)
	}
}

// Two tables put networks into other sets: a list of networks that collide in one does not in the other.
func TestHashHasAKey(t *testing.T) {
	const most = 90_000
	collide := func(a *throttle.Addresses, list []uint64) (out []uint64) {
		for _, n := range list {
			if a.Take(network(n), afternoon) != 0 {
				out = append(out, n)
			}
		}
		return out
	}
	all := make([]uint64, 2*most)
	for i := range all {
		all[i] = uint64(i)
	}
	found := collide(newTable(t, 0.001, 1), all)
	if len(found) < 1000 {
		t.Fatalf("only %d networks of %d collide", len(found), len(all))
	}
	if again := collide(newTable(t, 0.001, 1), found); len(again) > len(found)/100 {
		t.Errorf("%d of %d collide in another table, too", len(again), len(found))
	}
}

func TestNewAddressesRefuses(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		burst int
	}{{0, 1}, {-1, 1}, {math.NaN(), 1}, {math.Inf(1), 1}, {1001, 1}, {1e-6, 1}, {1, 0}, {1, -1}, {1, 1_000_001},
		{1.0 / 86400, 1_000_000}} {
		if _, err := throttle.NewAddresses(c.rate, c.burst, afternoon); err == nil {
			t.Errorf("a rate of %v and a burst of %d are taken", c.rate, c.burst)
		}
	}
}

// The address is the N-th from the right of all lines, or that of the peer. A caller cannot choose it.
func TestCaller(t *testing.T) {
	xff := func(lines ...string) (out []webhook.Field) {
		for i, line := range lines {
			out = append(out, webhook.Field{Name: []string{"X-Forwarded-For", "x-forwarded-for"}[i%2], Value: line},
				webhook.Field{Name: "Forwarded", Value: "for=203.0.113.9"})
		}
		return out
	}
	for name, c := range map[string]struct {
		header []webhook.Field
		hops   int
		want   string // "" = malformed
	}{
		"the peer":                {nil, 0, "192.0.2.7"},
		"the peer, lies":          {xff("198.51.100.1"), 0, "192.0.2.7"},
		"one hop":                 {xff("198.51.100.1"), 1, "198.51.100.1"},
		"one hop, lies":           {xff("10.0.0.1, 198.51.100.1"), 1, "198.51.100.1"},
		"lies in a line":          {xff("10.0.0.1, 10.0.0.2", "198.51.100.1"), 1, "198.51.100.1"},
		"two hops":                {xff("10.0.0.1, 198.51.100.1 ,172.16.0.1"), 2, "198.51.100.1"},
		"two hops, two lines":     {xff("10.0.0.1, 198.51.100.1", "172.16.0.1"), 2, "198.51.100.1"},
		"two hops, lies in lines": {xff("10.0.0.1", "x", "198.51.100.1", "172.16.0.1"), 2, "198.51.100.1"},
		"a port":                  {xff("198.51.100.1:4711"), 1, "198.51.100.1"},
		"IPv6":                    {xff("2001:db8::1:80"), 1, "2001:db8::1:80"},
		"IPv6 in brackets":        {xff("[2001:db8::1]"), 1, "2001:db8::1"},
		"IPv6 and a port":         {xff("[2001:db8::1%eth0]:80"), 1, "2001:db8::1"},
		"mapped":                  {xff("::ffff:198.51.100.1"), 1, "198.51.100.1"},
		"past the hop":            {nil, 1, ""},
		"past one of two":         {xff("198.51.100.1"), 2, ""},
		"empty":                   {xff(""), 1, ""},
		"no address":              {xff("unknown"), 1, ""},
		"a comma at the end":      {xff("198.51.100.1,"), 1, ""},
		"IPv4 in brackets":        {xff("[198.51.100.1]"), 1, ""},
		"half a bracket":          {xff("[2001:db8::1"), 1, ""},
		"zeros":                   {xff("198.051.100.1"), 1, ""},
		"a long text":             {xff(strings.Repeat("1", 1<<20)), 1, ""},
	} {
		got, err := throttle.Caller(&webhook.Request{Peer: "192.0.2.7:4711", Header: c.header}, c.hops)
		switch {
		case c.want == "" && (webhook.ReasonOf(err) != envelope.ReasonMalformed || got.IsValid()):
			t.Errorf("%s: %v, %v", name, got, err)
		case c.want != "" && (err != nil || got != netip.MustParseAddr(c.want)):
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, hops := range []int{-1, 17} {
		if _, err := throttle.Caller(&webhook.Request{Peer: "192.0.2.7:1"}, hops); err == nil {
			t.Errorf("%d hops are taken", hops)
		}
	}
}

// FuzzCaller: an address is valid, has no zone, and is written in the place that counts; or there is none.
func FuzzCaller(f *testing.F) {
	f.Add("192.0.2.1:80", "10.0.0.1, [2001:db8::1]:80", 1)
	f.Add("[::1%lo]:1", "", 0)
	f.Add("", ",,,", 2)
	f.Fuzz(func(t *testing.T, peer, line string, hops int) {
		got, err := throttle.Caller(&webhook.Request{Peer: peer,
			Header: []webhook.Field{{Name: "X-Forwarded-For", Value: line}}}, hops)
		if (err == nil) != got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%v, %v", got, err)
		}
		parts := strings.Split(line, ",")
		if err != nil || hops == 0 {
			return
		}
		if hops > len(parts) {
			t.Fatalf("%d hops of %d: %v", hops, len(parts), got)
		}
		alone, err := throttle.Caller(&webhook.Request{Peer: parts[len(parts)-hops]}, 0)
		if err != nil || alone != got {
			t.Errorf("%v, and alone %v, %v", got, alone, err)
		}
	})
}

// A million callers come in no order. Their addresses are computed: a list of them would take the table out
// of the processor's cache, and its cost is none of a server's.
func BenchmarkAddresses(b *testing.B) {
	a := newTable(b, 1, 5)
	b.ReportAllocs()
	x := uint64(1)
	for b.Loop() {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		a.Take(network(x>>44), afternoon)
	}
}
