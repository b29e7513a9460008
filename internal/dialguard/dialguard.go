// Package dialguard makes HTTP requests to addresses that strangers choose, and to none that is not of the
// public Internet.
//
// A stranger who chooses the URL of a request chooses where this program connects to: to the metadata service
// of the cloud, to a database beside it, to itself (server-side request forgery). So the guard judges the
// numeric address of the socket, immediately before the socket connects: a name, a second answer of DNS or a
// spelling of an address cannot deceive it there. It also refuses URLs that can be understood in two ways
// before it asks DNS. If one of the addresses of a name is refused, the name is. It uses no proxy, whatever
// the environment says, follows no redirect, and asks no second host.
//
// The guard does not know a network of the own organisation that has public addresses, such as the IPv6
// networks of a VPC, nor the prefix of a NAT64 of its own: see Options.Deny.
package dialguard

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// The limits of a request. Each fails closed.
const (
	// Timeout bounds resolving and connecting, and the TLS handshake by itself.
	Timeout = 10 * time.Second
	// maxWait bounds the wait for the header of an answer. Callers bound it further, and the body, by the
	// context of the request: a sender of webhooks waits for up to a minute.
	maxWait = time.Minute
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 16 << 10
	// maxAddresses bounds the addresses of one name. Large services have eight.
	maxAddresses = 64
	// maxTries is how many of them are tried, one after the other.
	maxTries = 4
	// idleConnections are kept of all hosts together, and of one host.
	idleConnections, idleOfHost = 256, 4
)

// Resolver resolves names. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are optional settings.
type Options struct {
	// Allow has networks that may be dialled although they are not public: of partners, and of tests. The
	// metadata services of clouds are refused all the same. With 64:ff9b::/96, for a subnet with DNS64, the
	// IPv4 address in it is judged. nil = none.
	Allow []netip.Prefix
	// Deny has networks that may not be dialled although they are public: of the own organisation. It goes
	// before Allow. nil = none.
	Deny []netip.Prefix
	// Ports are the ports that may be dialled; nil = 443, and 80 with PlainHTTP.
	Ports []uint16
	// PlainHTTP also allows http; false = only https.
	PlainHTTP bool
	// Idle is how long a connection is kept for the next request to the same host; 0 = none is kept.
	Idle time.Duration
	// Roots are the certification authorities that are trusted; nil = those of the system.
	Roots *x509.CertPool
	// Resolver resolves names; nil = net.DefaultResolver.
	Resolver Resolver
}

// Guard is an http.RoundTripper that stays outside. It is safe for concurrent use. Its errors are
// *RefusedError (permanent) and *NetworkError (transient); their texts may go to a stranger.
type Guard struct {
	opts       Options
	dialer     net.Dialer
	transport  http.Transport
	connecting func(ctx context.Context, to netip.AddrPort) error // for tests: a socket is about to connect
}

var _ http.RoundTripper = (*Guard)(nil)

// New makes a guard.
func New(opts *Options) *Guard {
	g := &Guard{}
	if opts != nil {
		g.opts = *opts
	}
	if g.opts.Ports == nil {
		if g.opts.Ports = []uint16{443}; g.opts.PlainHTTP {
			g.opts.Ports = append(g.opts.Ports, 80)
		}
	}
	if g.opts.Resolver == nil {
		g.opts.Resolver = net.DefaultResolver
	}
	g.dialer.ControlContext = g.control
	g.transport = http.Transport{
		DialContext: g.dial, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: g.opts.Roots},
		TLSHandshakeTimeout: Timeout, ResponseHeaderTimeout: maxWait, MaxResponseHeaderBytes: maxHeader,
		DisableKeepAlives: g.opts.Idle <= 0, IdleConnTimeout: g.opts.Idle,
		MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleOfHost,
	}
	return g
}

// Client is an http.Client with the guard as its transport. An answer 3xx is a result. 0 = no timeout beyond
// those of the guard and of the request's context. The errors of a client quote the URL, and a Location that
// is no URL: errors.As finds those of the guard inside, but for a timeout of the client. RoundTrip alone has
// none of this.
func (g *Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: g, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip makes one request. It follows no redirect and changes to no other protocol: an answer 101 is
// without a body, and its connection is closed.
func (g *Guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.check(req.URL); err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as a RoundTripper must
		}
		return nil, err
	}
	resp, err := g.transport.RoundTrip(req)
	if err != nil {
		return nil, safe(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// Its body would be the connection itself, which the context of the request does not end any more.
		_ = resp.Body.Close()
		resp.Body = http.NoBody
	}
	resp.Body = &body{resp.Body}
	return resp, nil
}

// CloseIdleConnections closes the connections that are kept.
func (g *Guard) CloseIdleConnections() { g.transport.CloseIdleConnections() }

// body is a body whose errors have no address.
type body struct{ io.ReadCloser }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = safe(err)
	}
	return n, err
}

// dial resolves a name once, judges all its addresses, and connects to the first that answers. Each address
// has an equal part of the time that is left.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, refuse(BadHost)
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	addrs, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs = addrs[:min(len(addrs), maxTries)]
	deadline, _ := ctx.Deadline()
	var failed error
	for i, a := range addrs {
		d := g.dialer
		d.Timeout = time.Until(deadline) / time.Duration(len(addrs)-i)
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// resolve gives the addresses of a host, none of which is refused. The name is absolute: no domain of
// resolv.conf is tried after it.
func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, g.judge(a)
	}
	addrs, err := g.opts.Resolver.LookupNetIP(ctx, "ip", host+".")
	switch {
	case err != nil:
		return nil, err
	case len(addrs) == 0 || len(addrs) > maxAddresses:
		return nil, &net.DNSError{Err: strconv.Itoa(len(addrs)) + " addresses", Name: host}
	}
	for _, a := range addrs {
		if err := g.judge(a); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// control judges the address of a socket that is about to connect. All connections come by here.
func (g *Guard) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return refuse(BadHost)
	}
	if err := g.judge(to.Addr()); err != nil {
		return err
	}
	if g.connecting != nil {
		return g.connecting(ctx, to)
	}
	return nil
}
