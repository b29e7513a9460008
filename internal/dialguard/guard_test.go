package dialguard

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestResolverThatFlips: DNS is asked once for a connection, and the address that was judged is dialled. The
// next connection is judged by its own answer.
func TestResolverThatFlips(t *testing.T) {
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	in := newInside(t, "127.0.0.2")
	resolver := dns("www.example.com", addrs("127.0.0.1"), addrs("127.0.0.2"))
	opts.Resolver, opts.Ports = resolver, append(opts.Ports, in.port)
	g, s := watched(opts)
	address := urlOf(server, "www.example.com")
	if status, err := get(g, address); status != 204 || err != nil || len(resolver.asked) != 1 {
		t.Fatal(status, err, resolver.asked)
	}
	if seen := hosts(s.take()); !slices.Equal(seen, []string{"127.0.0.1"}) {
		t.Error(seen)
	}
	_, err := get(g, address)
	refusedAs(t, "flipped", err, NotPublic, "loopback")
	if seen := s.take(); seen != nil || in.accepted.Load() != 0 || len(resolver.asked) != 2 {
		t.Error(seen, resolver.asked)
	}
}

// TestSocketIsJudged also if nothing before it was: the dialer of the guard refuses by itself.
func TestSocketIsJudged(t *testing.T) {
	in := newInside(t, "127.0.0.1")
	g, s := watched(Options{Ports: []uint16{in.port}})
	for _, address := range []string{"127.0.0.1", "localhost", "::ffff:127.0.0.1"} {
		conn, err := g.dialer.DialContext(t.Context(), "tcp", net.JoinHostPort(address, portText(in.port)))
		refused, _ := errors.AsType[*RefusedError](err)
		if conn != nil || refused == nil || refused.Reason != NotPublic || refused.Rule != "loopback" {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := g.control(t.Context(), "tcp4", "localhost:443", nil); !isRefused(err, BadHost) {
		t.Error(err)
	}
	if s.take() != nil || in.accepted.Load() != 0 {
		t.Error("connected")
	}
}

// TestMixedAnswers: one address that may not be dialled refuses the name, wherever it stands.
func TestMixedAnswers(t *testing.T) {
	server, opts := outside(t, nil)
	for _, answer := range [][]string{{"127.0.0.1", "10.0.0.1"}, {"10.0.0.1", "127.0.0.1"},
		{"1.1.1.1", "::1"}, {"::1", "1.1.1.1"}, {"2606:4700::1111", "127.0.0.2"}, {"1.1.1.1", "8.8.8.8", "::ffff:10.0.0.1"},
		{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "169.254.169.254"}} { // beyond those that are tried
		opts.Resolver = dns("www.example.com", addrs(answer...))
		g, s := watched(opts)
		_, err := get(g, urlOf(server, "www.example.com"))
		if seen := s.take(); !isRefused(err, NotPublic) || seen != nil {
			t.Errorf("%v: %v, connects to %v", answer, err, seen)
		}
	}
}

// TestNextAddress: if an address does not answer, the next one is tried, up to four. Each has a part of the
// time.
func TestNextAddress(t *testing.T) {
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	opts.Allow = append(opts.Allow, netip.MustParsePrefix("127.0.1.0/24"))
	for _, c := range []struct {
		answer, tried []string
		status        int
	}{
		{[]string{"2606:4700::1111", "::ffff:127.0.0.1"}, []string{"127.0.0.1", "2606:4700::1111"}, 204},
		{[]string{"127.0.1.9", "1.1.1.1", "127.0.0.1"}, []string{"1.1.1.1", "127.0.0.1", "127.0.1.9"}, 204},
		{[]string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "127.0.0.1"},
			[]string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"}, 0},
	} {
		opts.Resolver = dns("www.example.com", addrs(c.answer...))
		g, s := watched(opts)
		status, err := get(g, urlOf(server, "www.example.com"))
		seen := hosts(s.take())
		if status != c.status || (err == nil) != (status > 0) || !slices.Equal(seen, c.tried) {
			t.Errorf("%v: %d %v, connects to %v", c.answer, status, err, seen)
		}
		for i := range s.until[1:] {
			if !s.until[i].Before(s.until[i+1]) {
				t.Errorf("%v: address %d has all the time", c.answer, i)
			}
		}
	}
}

// TestTooManyAddresses, and none: the answer is not used.
func TestTooManyAddresses(t *testing.T) {
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	for n, want := range map[int]int{0: 0, maxAddresses: 204, maxAddresses + 1: 0} {
		opts.Resolver = dns("www.example.com", slices.Repeat(addrs("127.0.0.1"), n))
		g, s := watched(opts)
		status, err := get(g, urlOf(server, "www.example.com"))
		_, failed := err.(*NetworkError)
		if status != want || failed != (want == 0) || (s.take() == nil) != failed {
			t.Errorf("%d addresses: %d %v", n, status, err)
		}
	}
}

// TestRedirectsAreResults, of each kind, and where they lead no connection goes.
func TestRedirectsAreResults(t *testing.T) {
	in := newInside(t, "127.0.0.2")
	location := ""
	server, opts := outside(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(must(strconv.Atoi(r.URL.Query().Get("status"))))
	})
	resolver := dns("www.example.com", addrs("127.0.0.1"))
	opts.Resolver, opts.PlainHTTP, opts.Ports = resolver, true, append(opts.Ports, in.port)
	g, s := watched(opts)
	tries := 0
	for _, location = range []string{"http://127.0.0.2:" + portText(in.port) + "/", "//127.0.0.2/",
		"/elsewhere", "http://169.254.169.254/latest/"} {
		for _, status := range []string{"301", "302", "303", "307", "308"} {
			address := urlOf(server, "www.example.com") + "?status=" + status
			got, err := get(g, address)
			resp, clientErr := g.Client(time.Minute).Post(address, "text/plain", strings.NewReader("body"))
			if err != nil || clientErr != nil || strconv.Itoa(got) != status || resp.StatusCode != got ||
				resp.Header.Get("Location") != location {
				t.Errorf("%s to %s: %d %v %v", status, location, got, err, clientErr)
				continue
			}
			_ = resp.Body.Close()
			tries += 2
		}
	}
	if seen := s.take(); len(seen) != tries || in.accepted.Load() != 0 || slices.ContainsFunc(seen,
		func(to netip.AddrPort) bool { return to.Addr() != netip.MustParseAddr("127.0.0.1") }) {
		t.Errorf("%d requests, connects to %v", tries, seen)
	}
}

// TestEnvironmentNamesAProxy, which is not used.
func TestEnvironmentNamesAProxy(t *testing.T) {
	proxy := newInside(t, "127.0.0.2")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy",
		"all_proxy"} {
		t.Setenv(name, "http://127.0.0.2:"+portText(proxy.port))
	}
	t.Setenv("NO_PROXY", "")
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	opts.Resolver, opts.PlainHTTP = dns("www.example.com", addrs("127.0.0.1")), true
	g, s := watched(opts)
	req := must(http.NewRequest(http.MethodGet, urlOf(server, "www.example.com"), nil))
	if via, err := http.ProxyFromEnvironment(req); err != nil || via == nil {
		t.Fatal("the environment names no proxy: the test is blind", via, err)
	}
	if status, err := get(g, req.URL.String()); status != 204 || err != nil {
		t.Error(status, err)
	}
	_, _ = get(g, strings.Replace(req.URL.String(), "https", "http", 1)) // is answered 400, in plain text
	seen := hosts(s.take())
	if !slices.Equal(seen, []string{"127.0.0.1", "127.0.0.1"}) || proxy.accepted.Load() != 0 {
		t.Error(seen)
	}
}

// TestConnectionsAreKeptForOneHost only, and only if that was asked for: two names of one address have a
// connection each, and a name that now leads inside is refused while another's connection is open.
func TestConnectionsAreKeptForOneHost(t *testing.T) {
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	resolver := &fakeDNS{answers: map[string][][]netip.Addr{"a.example.com.": {addrs("127.0.0.1")},
		"b.example.com.": {addrs("127.0.0.1")}, "c.example.com.": {addrs("127.0.0.2")}}}
	opts.Resolver = resolver
	for idle, want := range map[time.Duration]int{time.Minute: 2, 0: 6} {
		opts.Idle = idle
		g, s := watched(opts)
		for range 3 {
			for _, host := range []string{"a.example.com", "b.example.com"} {
				if status, err := get(g, urlOf(server, host)); status != 204 || err != nil {
					t.Error(host, status, err)
				}
			}
			_, err := get(g, urlOf(server, "c.example.com"))
			refusedAs(t, "inside", err, NotPublic, "loopback")
		}
		if seen := s.take(); len(seen) != want {
			t.Errorf("kept for %v: %d connections, want %d", idle, len(seen), want)
		}
		g.CloseIdleConnections()
	}
}

// TestErrorsTellNothing: neither the address that a name leads to, nor the own one, nor the DNS server, nor
// a time. The cause is inside for operators.
func TestErrorsTellNothing(t *testing.T) {
	server, opts := outside(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/reset" {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X", strings.Repeat("a", 64<<10))
	})
	closed := newInside(t, "127.0.0.1")
	opts.Allow = append(opts.Allow, netip.MustParsePrefix("127.0.3.0/24"))
	opts.Ports = append(opts.Ports, closed.port)
	resolver := &fakeDNS{answers: map[string][][]netip.Addr{"www.example.com.": {addrs("127.0.0.1")},
		"closed.example.com.": {addrs("127.0.3.1", "127.0.3.2")}, "inside.example.com.": {addrs("10.0.0.7")},
		"other.example.": {addrs("127.0.0.1")}}}
	opts.Resolver = resolver
	g, _ := watched(opts)
	refusedByHost := "the connection failed: " + syscall.ECONNREFUSED.Error()
	base := urlOf(server, "www.example.com")
	for name, c := range map[string]struct{ address, want string }{
		"no address":  {urlOf(server, "none.example"), "the name of the host cannot be resolved"},
		"closed":      {urlOf(server, "closed.example.com"), refusedByHost},
		"inside":      {urlOf(server, "inside.example.com"), "refused: " + texts[NotPublic]},
		"certificate": {urlOf(server, "other.example"), "the certificate of the host is not accepted"},
		"no TLS":      {"https://www.example.com:" + portText(closed.port) + "/", "the connection failed"},
		"breaks off":  {base + "reset", "the connection failed"},
		"header":      {base, "the connection failed"},
	} {
		_, err := get(g, c.address)
		if err == nil || err.Error() != c.want || name != "inside" && errors.Unwrap(err) == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.RoundTrip(must(http.NewRequestWithContext(ctx, http.MethodGet, base, nil)))
	if err == nil || err.Error() != "the request was given up" || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for reason, text := range texts {
		if strings.ContainsAny(text, "0123456789") || reason == "" {
			t.Error(text)
		}
	}
}

// hanging is a resolver, or a dialer's hook, that answers when its context ends.
type hanging struct{}

func (hanging) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestResolverThatHangs ends in time, as a transient failure that says so.
func TestResolverThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := get(New(&Options{Resolver: hanging{}}), "https://hooks.example/")
		failed, ok := err.(*NetworkError)
		if !ok || !failed.Timeout() || failed.Error() != "no answer in time" || time.Since(began) != Timeout {
			t.Error(err, time.Since(began))
		}
	})
}

// TestOldTLS is not spoken, and a compressed answer is not asked for.
func TestOldTLS(t *testing.T) {
	for version, want := range map[uint16]int{tls.VersionTLS11: 0, tls.VersionTLS12: 204,
		tls.VersionTLS13: 204} {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(204 + len(r.Header["Accept-Encoding"]))
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: version}
		server.StartTLS()
		defer server.Close()
		opts := near(server)
		opts.Resolver = dns("www.example.com", addrs("127.0.0.1"))
		g := New(&opts)
		if status, err := get(g, urlOf(server, "www.example.com")); status != want || (err == nil) != (want > 0) {
			t.Errorf("%x: %d %v", version, status, err)
		}
		g.transport.TLSClientConfig.MinVersion = tls.VersionTLS10
		if status, err := get(g, urlOf(server, "www.example.com")); status != 204 {
			t.Errorf("%x: %d %v: the test is blind", version, status, err)
		}
	}
}

// closer notes that a body was closed.
type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }

// TestRefusalClosesTheBody of the request, as a RoundTripper must.
func TestRefusalClosesTheBody(t *testing.T) {
	body := &closer{Reader: strings.NewReader("x")}
	req := must(http.NewRequest(http.MethodPost, "https://127.0.0.1/", body))
	if _, err := New(nil).RoundTrip(req); !isRefused(err, NotPublic) || !body.closed {
		t.Error(err, body.closed)
	}
}
