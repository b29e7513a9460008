package dialguard

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// reach tries an address as a literal, over https and http, and as the only answer for a name.
func reach(g *Guard, dns *fakeDNS, a netip.Addr, port uint16) (errs []error) {
	at := strconv.Itoa(int(port))
	dns.answers = map[string][][]netip.Addr{"hooks.example.": {{a}}}
	for _, scheme := range []string{"https://", "http://"} {
		for _, host := range []string{a.WithZone("").String(), "hooks.example"} {
			_, err := get(g, scheme+net.JoinHostPort(host, at)+"/")
			errs = append(errs, err)
		}
	}
	return errs
}

// TestListedAddresses tries the list of Svix: no socket connects to an address that is to be blocked, and one
// would to an address that is allowed. A guard that allows all shows that the count is not blind.
func TestListedAddresses(t *testing.T) {
	in := newInside(t, "127.0.0.1", "127.0.0.254", "127.254.254.254")
	resolver := new(fakeDNS)
	opts := Options{Ports: []uint16{in.port}, PlainHTTP: true, Resolver: resolver}
	g, s := watched(opts)
	opts.Allow = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	open, openSockets := watched(opts)
	blocked, allowed := 0, 0
	for line := range strings.Lines(string(must(os.ReadFile("testdata/ssrf-addresses.txt")))) {
		verdict, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		if verdict == "#" {
			continue
		}
		a := netip.MustParseAddr(text)
		for _, err := range reach(g, resolver, a, in.port) {
			if verdict == "block" {
				refusedAs(t, text, err, NotPublic, find(special, a.Unmap()))
			} else if _, failed := err.(*NetworkError); !failed {
				t.Errorf("%s: %v", text, err)
			}
		}
		switch n := len(s.take()); {
		case verdict == "block" && n == 0:
			blocked++
		case verdict == "allow" && n == 4:
			allowed++
		default:
			t.Errorf("%s %s: %d connections", verdict, text, n)
		}
	}
	if blocked != 34 || allowed != 3 {
		t.Errorf("%d blocked, %d allowed", blocked, allowed)
	}
	if n := in.accepted.Load(); n != 0 {
		t.Errorf("%d connections were accepted", n)
	}
	for _, text := range []string{"127.0.0.1", "127.0.0.254", "127.254.254.254", "::ffff:127.0.0.1"} {
		reach(open, resolver, netip.MustParseAddr(text), in.port)
	}
	if n := in.accepted.Load(); n != 16 || len(openSockets.take()) != 16 {
		t.Errorf("without a rule there are %d connections of 16: the count is blind", n)
	}
}

// TestAddresses: each address has its rule, whichever way it comes in.
func TestAddresses(t *testing.T) {
	resolver := new(fakeDNS)
	g, s := watched(Options{PlainHTTP: true, Ports: []uint16{443}, Resolver: resolver})
	for text, rule := range map[string]string{
		"169.254.169.254": "metadata of AWS, Azure, Google Cloud and others",
		"169.254.170.2":   "credentials of AWS containers",
		"169.254.170.23":  "credentials of AWS containers", "169.254.169.123": "time service of AWS",
		"169.254.169.253": "DNS server of AWS", "fd00:ec2::254": "metadata of AWS",
		"fd00:ec2::23": "metadata of AWS",
		"fd20:ce::254": "metadata of Google Cloud", "168.63.129.16": "wire server of Azure",
		"100.100.100.200": "metadata of Alibaba Cloud", "192.0.0.192": "metadata of Oracle Cloud",
		"::ffff:169.254.169.254": "metadata of AWS, Azure, Google Cloud and others",
		"::ffff:168.63.129.16":   "wire server of Azure",
		"::ffff:10.0.0.1":        "private use", "::7f00:1": "IPv4-compatible",
		"::8.8.8.8":        "IPv4-compatible",
		"::ffff:0:8.8.8.8": "IPv4-translated", "64:ff9b::7f00:1": "NAT64", "64:ff9b::8.8.8.8": "NAT64",
		"64:ff9b:1::1": "NAT64, local use", "64:ff9b:1:ffff::10.0.0.1": "NAT64, local use",
		"2002:7f00:1::": "6to4", "2002:808:808::1": "6to4", "2001::1": "Teredo", "2001:0:ffff::1": "Teredo",
		"2001:1::1": "IETF protocol assignments", "2001:1ff::": "IETF protocol assignments",
		"2606:4700::5efe:7f00:1": "ISATAP", "2606:4700::200:5efe:a00:1": "ISATAP",
		"255.255.255.255": "limited broadcast", "240.0.0.1": "reserved", "239.1.2.3": "multicast",
		"ff02::1": "multicast", "ff0e::1": "multicast", "fec0::1": "site local", "fe80::1": "link local",
		"fd00::1": "unique local", "4000::1": "not assigned", "200::1": "not assigned",
		"64:ff9c::1": "not assigned",
		"::2:0:0:1":  "not assigned", "3ffe::1": "6bone", "2620:4f:8000::53": "AS112",
		"0.0.0.0": "this network",
	} {
		for _, err := range reach(g, resolver, netip.MustParseAddr(text), 443) {
			refusedAs(t, text, err, NotPublic, rule)
		}
		if seen := s.take(); seen != nil {
			t.Errorf("%s: connects to %v", text, seen)
		}
	}
	for _, text := range []string{"2606:4700::1111", "2001:4860:4860::8888", "2001:200::1", "2a00:1450::1",
		"9.255.255.255", "11.0.0.0", "168.63.129.17", "172.32.0.1", "192.0.1.0", "223.255.255.255",
		"2606:4700::5eff:7f00:1", "2606:4700::100:5efe:a00:1"} {
		a := netip.MustParseAddr(text)
		reach(g, resolver, a, 443)
		if seen := s.take(); len(seen) != 4 || seen[0].Addr() != a {
			t.Errorf("%s: connects to %v", text, seen)
		}
	}
}

// TestRegistries: no block of the registries is dialled, neither its first nor its last address.
func TestRegistries(t *testing.T) {
	g := New(nil)
	blocks := 0
	for line := range strings.Lines(string(must(os.ReadFile("testdata/iana-special.txt")))) {
		text, _, _ := strings.Cut(line, " ")
		if text == "#" {
			continue
		}
		blocks++
		p := netip.MustParsePrefix(text)
		for _, a := range []netip.Addr{p.Addr(), last(p)} {
			if text == "::ffff:0:0/96" {
				a = netip.MustParseAddr("127.0.0.1") // 4in6 addresses are judged as IPv4
			}
			if err := g.judge(a); err == nil {
				t.Errorf("%s of %s is dialled", a, text)
			}
		}
	}
	if blocks != 51 {
		t.Errorf("%d blocks", blocks)
	}
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// TestWhatNetipCallsInside is refused, of any random address, and what is in no rule is not.
func TestWhatNetipCallsInside(t *testing.T) {
	g, random := New(nil), rand.New(rand.NewPCG(14, 3))
	public := 0
	for range cases.Of(200_000) {
		a := randomAddress(random)
		inside := !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
		err := g.judge(a)
		if inside && err == nil {
			t.Fatal(a)
		}
		if err == nil {
			public++
			if a.Is6() && !globalUnicast.Contains(a) {
				t.Fatal(a)
			}
		}
		mapped := netip.AddrFrom16(a.As16())
		if again := g.judge(mapped); (err == nil) != (again == nil) {
			t.Fatal(mapped, err, again)
		}
	}
	if public == 0 {
		t.Error("everything is refused")
	}
}

// randomAddress is any address, often one near to a rule.
func randomAddress(random *rand.Rand) netip.Addr {
	var b [16]byte
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	near := special[random.IntN(len(special))].net
	switch random.IntN(4) {
	case 0:
		return netip.AddrFrom4([4]byte(b[:4]))
	case 1:
		return netip.AddrFrom16(b).Unmap()
	case 2:
		if a := last(near).Next(); a.IsValid() {
			return a.Unmap()
		}
	}
	return within(near, random)
}

// within is a random address of a network.
func within(p netip.Prefix, random *rand.Rand) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= byte(random.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// TestAllowAndDeny: Allow opens what it names, but no metadata; Deny goes before it; and an address of NAT64
// leads to the IPv4 address that it carries.
func TestAllowAndDeny(t *testing.T) {
	g := New(&Options{
		Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"),
			netip.MustParsePrefix("168.63.129.0/24"), netip.MustParsePrefix("64:ff9b::/96"),
			netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("10.1.2.3/32")},
		Deny: []netip.Prefix{netip.MustParsePrefix("2600:1f18::/32"), netip.MustParsePrefix("10.1.2.0/24"),
			netip.MustParsePrefix("1.2.3.4/32")},
	})
	for text, rule := range map[string]string{"10.1.0.1": "", "::ffff:10.1.0.1": "", "fd12::1": "",
		"169.254.1.1": "", "64:ff9b::8.8.8.8": "", "64:ff9b::10.1.0.1": "", "2600:1f19::1": "",
		"10.2.0.1": "private use", "10.1.2.3": "denied", "2600:1f18::1": "denied", "1.2.3.4": "denied",
		"64:ff9b::1.2.3.4": "denied", "64:ff9b::10.2.0.1": "private use", "64:ff9b::127.0.0.1": "loopback",
		"169.254.169.254":          "metadata of AWS, Azure, Google Cloud and others",
		"168.63.129.16":            "wire server of Azure",
		"64:ff9b::169.254.169.254": "metadata of AWS, Azure, Google Cloud and others",
		"fd00:ec2::254":            "metadata of AWS"} {
		switch err := g.judge(netip.MustParseAddr(text)); {
		case rule != "":
			refusedAs(t, text, err, NotPublic, rule)
		case err != nil:
			t.Errorf("%s: %v", text, err)
		}
	}
	refusedAs(t, "zone", g.judge(netip.MustParseAddr("fd12::1%eth0")), ZoneID, "")
	refusedAs(t, "none", g.judge(netip.Addr{}), BadHost, "")
}
