package dialguard

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxName bounds the name of a host, and maxURL the text of a URL, in bytes.
const (
	maxName = 253 // RFC 1035, section 2.3.4, without the final dot
	maxURL  = 2048
)

// Check parses the URL of an endpoint and refuses what can be refused without DNS: for the moment when an
// endpoint is set up. RoundTrip checks each request again, and the address that is dialled. The error is a
// *RefusedError.
func (g *Guard) Check(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, refuse(BadURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, refuse(BadURL)
	}
	if err := g.check(u); err != nil {
		return nil, err
	}
	return u, nil
}

func (g *Guard) check(u *url.URL) error {
	switch {
	case u == nil || u.Opaque != "":
		return refuse(BadURL)
	case u.Scheme != "https" && !(u.Scheme == "http" && g.opts.PlainHTTP):
		return refuse(BadScheme)
	case u.User != nil:
		return refuse(UserInfo)
	}
	host, port, err := split(u)
	if err != nil {
		return err
	}
	if !slices.Contains(g.opts.Ports, port) {
		return refuse(PortRefused)
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return g.judge(a)
	}
	return checkName(host)
}

// split takes a host apart more strictly than package url does: brackets are around an IPv6 address and
// around nothing else, and a port has one spelling.
func split(u *url.URL) (host string, port uint16, err error) {
	host, text, hasPort := strings.Cut(u.Host, ":")
	if inside, found := strings.CutPrefix(u.Host, "["); found {
		var after string
		host, after, found = strings.Cut(inside, "]")
		text, hasPort = strings.CutPrefix(after, ":")
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || !found || after != "" && !hasPort {
			return "", 0, refuse(BadHost)
		}
	}
	if !hasPort {
		text = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case strings.Contains(text, ":"): // an IPv6 address without brackets
		return "", 0, refuse(BadHost)
	case err != nil || n == 0 || strconv.FormatUint(n, 10) != text:
		return "", 0, refuse(PortRefused)
	}
	return host, uint16(n), nil
}

// checkName refuses a name that a resolver, or a library on the way to it, could take for something else. A
// name in other letters than ASCII is among these: transports map full-width digits and dots to plain ones.
func checkName(host string) error {
	labels := strings.Split(host, ".")
	last := strings.ToLower(labels[len(labels)-1])
	bad := func(label string) bool {
		return label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !isPlain(r) })
	}
	switch {
	case len(host) > maxName || slices.ContainsFunc(labels, bad):
		return refuse(BadHost)
	case '0' <= last[0] && last[0] <= '9':
		// No top-level domain begins with a digit, and inet_aton reads 127.1, 0177.0.0.1 and 0x7f000001.
		return refuse(NumericHost)
	case len(labels) == 1 || last == "localhost": // RFC 6761, section 6.3
		return refuse(LocalName)
	}
	return nil
}

func isPlain(r rune) bool {
	return r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
