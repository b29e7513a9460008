package dialguard

import (
	"net/netip"
	"slices"
)

// rule is a network whose addresses are not dialled.
type rule struct {
	net  netip.Prefix
	name string
}

// metadata are the addresses at which clouds hand out credentials. Allow does not open them.
var metadata = rules(
	"169.254.169.254/32", "metadata of AWS, Azure, Google Cloud and others",
	"169.254.169.123/32", "time service of AWS",
	"169.254.169.253/32", "DNS server of AWS",
	"169.254.170.0/24", "credentials of AWS containers", // .2 of ECS, .23 of EKS
	"fd00:ec2::/32", "metadata of AWS", // ::254, ::253, ::123, ::23
	"fd20:ce::254/128", "metadata of Google Cloud",
	"168.63.129.16/32", "wire server of Azure", // in a public network, and not of the public Internet
	"100.100.100.200/32", "metadata of Alibaba Cloud",
	"192.0.0.192/32", "metadata of Oracle Cloud",
)

// special are all networks of the IANA registries of special-purpose addresses, as last updated on
// 2025-10-09, but for IPv4-mapped addresses, which are judged as IPv4. Those that are globally reachable are
// among them: they carry protocols, and no receiver is there. Multicast, and what IANA keeps reserved, have
// registries of their own (2025-10-10 and 2025-10-23).
//
//	https://www.iana.org/assignments/iana-ipv4-special-registry
//	https://www.iana.org/assignments/iana-ipv6-special-registry
//	https://www.iana.org/assignments/ipv4-address-space
//	https://www.iana.org/assignments/ipv6-address-space
var special = rules(
	"0.0.0.0/8", "this network",
	"10.0.0.0/8", "private use",
	"100.64.0.0/10", "shared address space",
	"127.0.0.0/8", "loopback",
	"169.254.0.0/16", "link local",
	"172.16.0.0/12", "private use",
	"192.0.0.0/24", "IETF protocol assignments",
	"192.0.2.0/24", "documentation",
	"192.31.196.0/24", "AS112",
	"192.52.193.0/24", "AMT",
	"192.88.99.0/24", "6to4 relay anycast",
	"192.168.0.0/16", "private use",
	"192.175.48.0/24", "AS112",
	"198.18.0.0/15", "benchmarking",
	"198.51.100.0/24", "documentation",
	"203.0.113.0/24", "documentation",
	"224.0.0.0/4", "multicast",
	"255.255.255.255/32", "limited broadcast",
	"240.0.0.0/4", "reserved", // class E

	"::1/128", "loopback",
	"::/128", "unspecified address",
	"::/96", "IPv4-compatible", // RFC 4291, section 2.5.5.1
	"::ffff:0:0:0/96", "IPv4-translated", // RFC 2765, section 2.1
	"64:ff9b::/96", "NAT64",
	"64:ff9b:1::/48", "NAT64, local use",
	"100::/64", "discard only",
	"100:0:0:1::/64", "dummy prefix",
	"2001::/32", "Teredo",
	"2001::/23", "IETF protocol assignments",
	"2001:db8::/32", "documentation",
	"2002::/16", "6to4",
	"2620:4f:8000::/48", "AS112",
	"3ffe::/16", "6bone", // RFC 3701
	"3fff::/20", "documentation",
	"5f00::/16", "segment routing",
	"fc00::/7", "unique local",
	"fe80::/10", "link local",
	"fec0::/10", "site local", // RFC 3879
	"ff00::/8", "multicast",
)

// globalUnicast is all that IANA assigns of IPv6.
var globalUnicast, nat64 = netip.MustParsePrefix("2000::/3"), netip.MustParsePrefix("64:ff9b::/96")

// rules makes a table of prefixes and names.
func rules(texts ...string) (list []rule) {
	for pair := range slices.Chunk(texts, 2) {
		list = append(list, rule{netip.MustParsePrefix(pair[0]), pair[1]})
	}
	return list
}

// find is the name of the first network that has the address, or "".
func find(list []rule, a netip.Addr) string {
	for _, r := range list {
		if r.net.Contains(a) {
			return r.name
		}
	}
	return ""
}

// ruleOf says why an address is not of the public Internet; "" = it is.
func ruleOf(a netip.Addr) string {
	if name := find(special, a); name != "" {
		return name
	}
	switch b := a.As16(); {
	case a.Is4():
		return ""
	case !globalUnicast.Contains(a):
		return "not assigned"
	case b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return "ISATAP" // RFC 5214, section 6.1: the last four bytes are an IPv4 address
	}
	return ""
}

// judge says whether an address may be dialled.
func (g *Guard) judge(a netip.Addr) error {
	if a.Zone() != "" {
		return refuse(ZoneID)
	}
	if a = a.Unmap(); !a.IsValid() {
		return refuse(BadHost)
	}
	if name := find(metadata, a); name != "" {
		return &RefusedError{NotPublic, name}
	}
	has := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(g.opts.Deny, has) {
		return &RefusedError{NotPublic, "denied"}
	}
	name := ruleOf(a)
	if name == "" {
		return nil
	}
	if !slices.ContainsFunc(g.opts.Allow, has) {
		return &RefusedError{NotPublic, name}
	}
	if nat64.Contains(a) { // it leads to the IPv4 address at its end (RFC 6052, section 2.2)
		b := a.As16()
		return g.judge(netip.AddrFrom4([4]byte(b[12:])))
	}
	return nil
}
