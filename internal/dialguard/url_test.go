package dialguard

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// refusedURLs are URLs that are refused before DNS is asked.
var refusedURLs = map[string]Reason{
	"https://2130706433/": NumericHost, "https://017700000001/": NumericHost,
	"https://0x7f000001/": NumericHost,
	"https://0x7f.1/":     NumericHost, "https://127.1/": NumericHost, "https://127.0.1/": NumericHost,
	"https://0/": NumericHost, "https://0177.0.0.1/": NumericHost, "https://127.0.0.01/": NumericHost,
	"https://0X7F.0.0.0x1/": NumericHost, "https://1.2.3.4.5/": NumericHost,
	"https://256.256.256.256/": NumericHost,
	"https://a.b.0x/":          NumericHost, "https://example.1/": NumericHost,
	"https://10.0.0.0x1F/": NumericHost,
	"https://4294967295/":  NumericHost, "https://0.0B0/": NumericHost, "https://a.0xg/": NumericHost,
	"https://0.0.0.0.0x7f000001/": NumericHost,

	"https://１２７.0.0.1/": BadHost, "https://①②⑦.0.0.1/": BadHost, "https://127。0。0。1/": BadHost,
	"https://%E2%91%A0.example/": BadHost, "https://ⓛocalhost/": BadHost, "https://bücher.example/": BadHost,
	"https://hooks.example./": BadHost, "https://localhost./": BadHost, "https://127.0.0.1./": BadHost,
	"https://./": BadHost, "https://../": BadHost, "https://a..example/": BadHost,
	"https://.example/": BadHost,
	"https://":          BadHost, "https:///": BadHost, "https:///x": BadHost, "https://:443/": BadHost,
	"https://-a.example/": BadHost, "https://a-.example/": BadHost, "https://a_b.example/": BadHost,
	"https://a*.example/": BadHost, "https://a,b.example/": BadHost, "https://a;b.example/": BadHost,
	"https://a'b.example/": BadHost, "https://a!b.example/": BadHost, "https://a$b.example/": BadHost,
	"https://" + strings.Repeat("a", 64) + ".example/":       BadHost,
	"https://" + strings.Repeat("abcdefg.", 32) + "example/": BadHost,
	"https://::1/": BadURL, "https://::ffff:127.0.0.1/": BadURL, "https://fe80::1:443/": BadURL,
	"https://[127.0.0.1]/": BadURL, "https://[::1/": BadURL, "https://::1]/": BadURL,
	"https://[]/": BadURL, "https://[::1]x/": BadURL, "https://[hooks.example]/": BadURL,

	"https://[fe80::1%25eth0]/": ZoneID, "https://[::1%251]/": ZoneID,
	"https://[2606:4700::1111%25lo]/": ZoneID,
	"https://[fe80::1%eth0]/":         BadURL,

	"https://localhost/": LocalName, "https://LocalHost/": LocalName, "https://a.localhost/": LocalName,
	"https://a.LOCALHOST/": LocalName,
	"https://metadata/":    LocalName, "https://kubernetes/": LocalName, "https://x0/": LocalName,

	"https://me@hooks.example/": UserInfo, "https://me:pw@hooks.example/": UserInfo,
	"https://@hooks.example/":          UserInfo,
	"https://hooks.example@127.0.0.1/": UserInfo, "https://hooks.example:443@127.0.0.1/": UserInfo,
	"https://hooks.example%40127.0.0.1/": BadURL, `https://hooks.example\@127.0.0.1/`: BadURL,
	"https://127.0.0.1#@hooks.example/": NotPublic, "https://127.0.0.1?@hooks.example/": NotPublic,

	"https://hooks.example:80/": PortRefused, "https://hooks.example:22/": PortRefused,
	"https://hooks.example:0/":    PortRefused,
	"https://hooks.example:0443/": PortRefused, "https://hooks.example:/": PortRefused,
	"https://hooks.example:65979/":      PortRefused,
	"https://hooks.example:4294967739/": PortRefused, "https://hooks.example:+443/": BadURL,
	"https://hooks.example:443x/": BadURL,
	"https://[2606:4700::1111]:/": PortRefused, "https://[2606:4700::1111]:8443/": PortRefused,
	"https://hooks.example:443:443/": BadURL,

	"http://hooks.example/": BadScheme, "//hooks.example/": BadScheme, "hooks.example": BadScheme,
	"":                     BadScheme,
	"ftp://hooks.example/": BadScheme, "file:///etc/passwd": BadScheme, "gopher://hooks.example/": BadScheme,
	"unix:/run/docker.sock": BadScheme, "javascript:alert(1)": BadURL,
	"https:hooks.example": BadURL, "https:/hooks.example/": BadHost, "https:\\\\hooks.example/": BadURL,
	"https://hooks.example\r\n/": BadURL, "https://hooks .example/": BadURL,
	"https://hooks\x00.example/": BadURL,
	" https://hooks.example/":    BadURL, "https://hooks.example/\x7f": BadURL,
	"https://hooks.example/%zz": BadURL,
	"https://%31%32%37.0.0.1/":  BadURL, "https://hooks.example/" + strings.Repeat("a", 2048): BadURL,

	"https://127.0.0.1/": NotPublic, "https://[::1]/": NotPublic, "https://[0:0:0:0:0:0:0:1]/": NotPublic,
	"https://[::ffff:127.0.0.1]/": NotPublic, "https://[::FFFF:7F00:1]/": NotPublic,
	"https://[::127.0.0.1]/":        NotPublic,
	"https://[64:ff9b::127.0.0.1]/": NotPublic, "https://[64:ff9b:1::127.0.0.1]/": NotPublic,
	"https://[2002:7f00:1::]/": NotPublic, "https://[2001:0::1]/": NotPublic,
	"https://169.254.169.254/latest/":                    NotPublic,
	"https://[fd00:ec2::254]/latest/":                    NotPublic,
	"https://[0000:0000:0000:0000:0000:ffff:a9fe:a9fe]/": NotPublic,
}

func TestURLsRefusedBeforeDNS(t *testing.T) {
	resolver := new(fakeDNS)
	g, s := watched(Options{Resolver: resolver})
	for text, want := range refusedURLs {
		u, err := g.Check(text)
		refused, ok := err.(*RefusedError)
		if !ok || u != nil || refused.Reason != want || (refused.Rule != "") != (want == NotPublic) {
			t.Errorf("%.100q: %v; want %s", text, err, want)
		}
		if parsed, err := url.Parse(text); err == nil && len(text) < maxURL {
			_, err := g.RoundTrip(&http.Request{Method: http.MethodGet, URL: parsed})
			if refused, ok := err.(*RefusedError); !ok || refused.Reason != want {
				t.Errorf("%.100q: RoundTrip: %v; want %s", text, err, want)
			}
		}
	}
	if _, err := g.RoundTrip(&http.Request{Method: http.MethodGet}); !isRefused(err, BadURL) {
		t.Error("no URL:", err)
	}
	if seen := s.take(); seen != nil || resolver.asked != nil {
		t.Errorf("connects to %v, asks for %v", seen, resolver.asked)
	}
}

// TestHostsOfBuiltURLs: package url refuses some hosts in a text, and a URL can be built with them.
func TestHostsOfBuiltURLs(t *testing.T) {
	g := New(nil)
	for host, want := range map[string]Reason{"::1": BadHost, "::ffff:127.0.0.1": BadHost,
		"fe80::1:443": BadHost,
		"[127.0.0.1]": BadHost, "[]": BadHost, "[hooks.example]": BadHost, "[::1": BadHost, "::1]": BadHost,
		"[::1]x": BadHost, "[2606:4700::1111]443": BadHost, "hooks.example:443:443": BadHost, "[": BadHost,
		"hooks.example@127.0.0.1": BadHost, "127.0.0.1/": BadHost, "127.0.0.1#": BadHost,
		"127.0.0.1?":  BadHost,
		"127.0.0.1\\": BadHost, "127.0.0.1\r\nx:y": PortRefused, "127.0.0.1 ": BadHost,
		"[fe80::1%eth0]": ZoneID,
		"127.0.0.1%00":   BadHost, "hooks.example:+443": PortRefused, "hooks.example:https": PortRefused} {
		_, err := g.RoundTrip(&http.Request{URL: &url.URL{Scheme: "https", Host: host}})
		refusedAs(t, host, err, want, "")
	}
	_, err := g.RoundTrip(&http.Request{URL: &url.URL{Scheme: "HTTPS", Host: "hooks.example"}})
	refusedAs(t, "upper case", err, BadScheme, "")
}

func isRefused(err error, want Reason) bool {
	refused, ok := err.(*RefusedError)
	return ok && refused.Reason == want
}

func TestURLsThatPass(t *testing.T) {
	g := New(nil)
	for _, text := range []string{"https://hooks.example/", "https://hooks.example:443/x?y=z#w",
		"HTTPS://Hooks.Example",
		"https://xn--bcher-kva.example/", "https://1.example/", "https://0x7f.example/",
		"https://a1.b2.c3/", "https://1.1.1.1/", "https://[2606:4700::1111]/",
		"https://[::ffff:8.8.8.8]:443/",
		"https://hooks.internal/", "https://localhost.example/", "https://127.0.0.1.example/"} {
		if u, err := g.Check(text); err != nil || u.String() == "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	g = New(&Options{PlainHTTP: true})
	for text, want := range map[string]bool{"http://hooks.example/": true, "https://hooks.example/": true,
		"http://hooks.example:443/": true, "https://hooks.example:80/": true,
		"http://hooks.example:8080/": false} {
		if _, err := g.Check(text); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// spellings are ways to write an address, most of which some program takes for the address.
var spellings = []func(a netip.Addr, random *rand.Rand) string{
	func(a netip.Addr, _ *rand.Rand) string { return literal(a) },
	func(a netip.Addr, _ *rand.Rand) string { return "[" + a.StringExpanded() + "]" },
	func(a netip.Addr, _ *rand.Rand) string { return strings.ToUpper(literal(a)) },
	func(a netip.Addr, _ *rand.Rand) string { return a.String() },
	func(a netip.Addr, _ *rand.Rand) string { return literal(a) + "." },
	func(a netip.Addr, _ *rand.Rand) string { return "[" + a.String() + "%25eth0]" },
	func(a netip.Addr, _ *rand.Rand) string { return "hooks.example@" + literal(a) },
	func(a netip.Addr, _ *rand.Rand) string { return strings.ReplaceAll(a.String(), ".", "。") },
	func(a netip.Addr, _ *rand.Rand) string { return strings.Map(wide, a.String()) },
	func(a netip.Addr, _ *rand.Rand) string { return percent(a.String()) },
	func(a netip.Addr, _ *rand.Rand) string { return "[::ffff:" + a.String() + "]" },
	func(a netip.Addr, _ *rand.Rand) string { return "[::" + a.String() + "]" },
	func(a netip.Addr, _ *rand.Rand) string { return "[64:ff9b::" + a.String() + "]" },
	func(a netip.Addr, _ *rand.Rand) string { return "[64:ff9b:1::" + a.String() + "]" },
	func(a netip.Addr, _ *rand.Rand) string { return "[2606:4700::5efe:" + a.String() + "]" },
	func(a netip.Addr, _ *rand.Rand) string {
		return fmt.Sprintf("[2002:%x:%x::1]", number(a)>>16, number(a)&0xffff)
	},
	func(a netip.Addr, _ *rand.Rand) string { return fmt.Sprint(number(a)) },
	func(a netip.Addr, _ *rand.Rand) string { return fmt.Sprintf("0x%x", number(a)) },
	func(a netip.Addr, _ *rand.Rand) string { return fmt.Sprintf("0%o", number(a)) },
	func(a netip.Addr, random *rand.Rand) string { return parts(a, random) },
	func(a netip.Addr, random *rand.Rand) string { return parts(a, random) },
}

func literal(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return "[" + a.String() + "]"
}

func wide(r rune) rune {
	if '0' <= r && r <= '9' {
		return r - '0' + '０'
	}
	return r
}

func percent(s string) (text string) {
	for _, b := range []byte(s) {
		text += fmt.Sprintf("%%%02x", b)
	}
	return text
}

// number is an IPv4 address as inet_aton counts, or the end of an IPv6 address.
func number(a netip.Addr) (n uint32) {
	for _, b := range a.AsSlice() {
		n = n<<8 | uint32(b)
	}
	return n
}

// parts are one to four numbers, each decimal, octal or hexadecimal, with or without leading zeros.
func parts(a netip.Addr, random *rand.Rand) string {
	n, count := number(a), 1+random.IntN(4)
	var texts []string
	for i := range count {
		part := n >> (24 - 8*i) & 0xff
		if i == count-1 {
			part = n & (1<<(32-8*i) - 1)
		}
		format := []string{"%d", "0%o", "0x%x", "0X%X", "%04d", "000%o", "0x000%x"}[random.IntN(7)]
		texts = append(texts, fmt.Sprintf(format, part))
	}
	return strings.Join(texts, ".")
}

// TestSpellingsOfForbiddenAddresses: no spelling of an address that may not be dialled leads to a connection,
// also if the resolver understands every spelling.
func TestSpellingsOfForbiddenAddresses(t *testing.T) {
	random := rand.New(rand.NewPCG(14, 9))
	resolver := new(fakeDNS)
	g, s := watched(Options{Resolver: resolver, PlainHTTP: true, Ports: []uint16{80, 443, 8080}})
	all := slices.Concat(special, metadata)
	reasons := map[Reason]int{}
	for range cases.Of(100_000) {
		a := within(all[random.IntN(len(all))].net, random)
		host := spellings[random.IntN(len(spellings))](a, random)
		address := []string{"https", "http", "HTTP"}[random.IntN(3)] + "://" + host +
			[]string{"", ":80", ":443", ":8080"}[random.IntN(4)] + []string{"", "/", "/x", "?q",
			"#f"}[random.IntN(5)]
		name := strings.TrimSuffix(strings.ToLower(host), ".")
		resolver.answers = map[string][][]netip.Addr{host + ".": {{a}}, name + ".": {{a}}, name: {{a}}}
		u, err := url.Parse(address)
		if err != nil {
			reasons[BadURL]++
			continue
		}
		_, err = g.RoundTrip(&http.Request{Method: http.MethodGet, URL: u})
		refused, ok := err.(*RefusedError)
		if seen := s.take(); !ok || seen != nil {
			t.Fatalf("%s for %s: %v, connects to %v", address, a, err, seen)
		}
		reasons[refused.Reason]++
	}
	for _, want := range []Reason{BadURL, BadHost, NumericHost, NotPublic, ZoneID, UserInfo} {
		if reasons[want] == 0 {
			t.Errorf("no case of %s: %v", want, reasons)
		}
	}
}

// FuzzCheck: a URL that passes has one reading: the host is a plain name or an address that is public, in one
// spelling, and the port is allowed. It is the same URL after it was printed.
func FuzzCheck(f *testing.F) {
	for text := range refusedURLs {
		f.Add(text)
	}
	f.Add("https://hooks.example/x?y=z")
	f.Add("https://[2606:4700::1111]:443/")
	g := New(nil)
	f.Fuzz(func(t *testing.T, text string) {
		u, err := g.Check(text)
		if err != nil {
			if _, ok := err.(*RefusedError); !ok || u != nil {
				t.Fatal(err)
			}
			return
		}
		host, port := u.Hostname(), u.Port()
		if u.Scheme != "https" || u.User != nil || port != "" && port != "443" || len(host) > 253 ||
			host == "" || strings.ContainsAny(u.Host, "%@/\\ ") || strings.ContainsFunc(u.Host, isWide) {
			t.Fatalf("%q passes", text)
		}
		if a, err := netip.ParseAddr(host); err == nil {
			if ruleOf(a.Unmap()) != "" || a.Zone() != "" || a.Is6() != strings.HasPrefix(u.Host, "[") {
				t.Fatalf("%q passes", text)
			}
		} else if end := host[strings.LastIndex(host, ".")+1:]; strings.ContainsAny(host,
			":[]") || isRead(end) {
			t.Fatalf("%q passes", text)
		}
		again, err := g.Check(u.String())
		if err != nil || again.Host != u.Host {
			t.Fatalf("%q: %v after it was printed", text, err)
		}
	})
}

func isWide(r rune) bool { return r > '~' }

// isRead reports whether a library could read the last part of a name as a number.
func isRead(end string) bool {
	_, err := strconv.ParseUint(end, 0, 64)
	_, decimal := strconv.ParseUint(end, 10, 64)
	return err == nil && !strings.Contains(end, "_") || decimal == nil
}
