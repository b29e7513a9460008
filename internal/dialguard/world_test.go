package dialguard

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func addrs(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// fakeDNS gives the answers for a name in turn, the last one again and again.
type fakeDNS struct {
	mu      sync.Mutex
	answers map[string][][]netip.Addr
	asked   []string
	err     error // in the place of an answer
}

func (f *fakeDNS) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, network+" "+host)
	list := f.answers[host]
	if f.err != nil || len(list) == 0 {
		return nil, errors.Join(f.err, &net.DNSError{Err: "no such host", Name: host, Server: "10.0.0.2:53"})
	}
	if len(list) > 1 {
		f.answers[host] = list[1:]
	}
	return list[0], nil
}

func dns(host string, answers ...[]netip.Addr) *fakeDNS {
	return &fakeDNS{answers: map[string][][]netip.Addr{host + ".": answers}}
}

// sockets sees each socket of a guard that is about to connect. Of these, only those to 127.0.0.0/8 and ::1
// may: no test leaves the machine.
type sockets struct {
	mu    sync.Mutex
	seen  []netip.AddrPort
	until []time.Time // the deadlines of the connections
}

var errStays = errors.New("no test leaves the machine")

func watched(opts Options) (*Guard, *sockets) {
	g, s := New(&opts), new(sockets)
	g.connecting = func(ctx context.Context, to netip.AddrPort) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		deadline, _ := ctx.Deadline()
		s.until = append(s.until, deadline)
		if s.seen = append(s.seen, to); !to.Addr().IsLoopback() {
			return errStays
		}
		return nil
	}
	return g, s
}

func (s *sockets) take() []netip.AddrPort {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

// inside is a service at several addresses of this machine, at one port. It counts connections.
type inside struct {
	port     uint16
	accepted atomic.Int32
}

func newInside(t testing.TB, hosts ...string) *inside {
	t.Helper()
	in := new(inside)
	for _, host := range hosts {
		l, err := net.Listen("tcp", net.JoinHostPort(host, portText(in.port)))
		if err != nil {
			t.Fatal(err)
		}
		in.port = l.Addr().(*net.TCPAddr).AddrPort().Port()
		server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.NotFoundHandler(),
			ConnState: func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					in.accepted.Add(1)
				}
			}}
		go func() { _ = server.Serve(l) }()
		t.Cleanup(func() { _ = server.Close() })
	}
	return in
}

// outside is a server over TLS at 127.0.0.1, which stands for one of the public Internet. Its certificate is
// for example.com.
func outside(t testing.TB, handler http.HandlerFunc) (*httptest.Server, Options) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, near(server)
}

// near has a guard go to a server at 127.0.0.1, too.
func near(s *httptest.Server) Options {
	return Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Ports: []uint16{portOf(s)},
		Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

func portText(port uint16) string { return strconv.Itoa(int(port)) }

func portOf(s *httptest.Server) uint16 { return s.Listener.Addr().(*net.TCPAddr).AddrPort().Port() }

// urlOf is the address of the server under another name.
func urlOf(s *httptest.Server, host string) string {
	return "https://" + net.JoinHostPort(host, portText(portOf(s))) + "/"
}

// get makes a request, and reads and closes the body.
func get(g *Guard, address string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	resp, err := g.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// refusedAs checks that an error is a refusal for exactly this reason.
func refusedAs(t testing.TB, what string, err error, want Reason, rule string) {
	t.Helper()
	refused, ok := err.(*RefusedError)
	if !ok || refused.Reason != want || refused.Rule != rule {
		t.Errorf("%s: %v %+v; want %s %q", what, err, refused, want, rule)
	}
}

// hosts are the addresses that sockets would have connected to, in order.
func hosts(seen []netip.AddrPort) (list []string) {
	for _, to := range seen {
		list = append(list, to.Addr().String())
	}
	slices.Sort(list)
	return list
}
