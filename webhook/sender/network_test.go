package sender_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealbus/sealbus/webhook/sender"
)

// networkOf lets a sender call a server of this machine.
func networkOf(t *testing.T, s *httptest.Server) *sender.Network {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &sender.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Ports: []uint16{uint16(port)},
		Roots: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

// realSender is a sender with the guard, which sends one message to the URL and reports the attempt.
func realSender(t *testing.T, to string, n *sender.Network) sender.Attempt {
	t.Helper()
	e := endpoint("a")
	e.URL = to
	endpoints, err := sender.NewEndpoints(e)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.Sender, err = sender.New(sender.NewMemory(nil), endpoints, &sender.Options{Network: n, Observer: w,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.send("a", "m1")
	if n, err := w.Once(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	return w.attempts[0]
}

// A sender without a Network calls nothing of this machine; with it, it does.
func TestGuard(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(204)
	}))
	defer s.Close()
	n := networkOf(t, s)
	closed := *n
	closed.Allow = nil
	if a := realSender(t, s.URL, &closed); a.Cause != sender.CauseRefused || calls.Load() != 0 {
		t.Errorf("reported as %+v, %d calls", a, calls.Load())
	}
	if a := realSender(t, s.URL, nil); a.Cause != sender.CauseRefused || calls.Load() != 0 {
		t.Errorf("reported as %+v, %d calls", a, calls.Load())
	}
	if a := realSender(t, s.URL, n); a.State != sender.Delivered || calls.Load() != 1 {
		t.Errorf("reported as %+v, %d calls", a, calls.Load())
	}
	if a := realSender(t, strings.Replace(s.URL, "https", "http", 1), n); a.Cause != sender.CauseRefused {
		t.Errorf("http is reported as %+v", a)
	}
}

// Check refuses an address that the guard refuses.
func TestCheck(t *testing.T) {
	endpoints, err := sender.NewEndpoints()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sender.New(sender.NewMemory(nil), endpoints, nil)
	if err != nil {
		t.Fatal(err)
	}
	for to, ok := range map[string]bool{
		"https://partner.example/hooks": true, "https://10.0.0.1/": false, "https://localhost/": false,
		"https://169.254.169.254/latest": false, "http://partner.example/": false,
		"https://partner.example:8443/": false, "https://u:p@partner.example/": false, "ftp://a.example/": false,
	} {
		e := endpoint("a")
		e.URL = to
		if err := s.Check(&e); (err == nil) != ok {
			t.Errorf("%s: %v, want accepted: %t", to, err, ok)
		} else if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("the error quotes the password: %v", err)
		}
	}
}

// A redirect is not followed, a body is read up to 16 KiB, and nothing of it is reported.
func TestAnswersAreNotRead(t *testing.T) {
	var elsewhere atomic.Int32
	wrote := make(chan int, 1)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hooks" {
			elsewhere.Add(1)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
		n := 0
		for range 1 << 12 { // 64 MiB, unless the reader hangs up
			m, err := io.WriteString(w, strings.Repeat("SECRET..", 1<<11))
			if n += m; err != nil {
				break
			}
		}
		wrote <- n
	}))
	defer s.Close()
	a := realSender(t, s.URL+"/hooks", networkOf(t, s))
	if a.Cause != sender.CauseRedirect || a.StatusClass != 3 || elsewhere.Load() != 0 {
		t.Errorf("reported as %+v, %d requests elsewhere", a, elsewhere.Load())
	}
	if n := <-wrote; n > 16<<20 {
		t.Errorf("%d bytes of the answer were taken", n)
	}
}

// An answer that switches protocols does not hold the attempt: its body is the connection, which never ends.
func TestSwitchingProtocols(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
		_ = buf.Flush()
		<-release
		_ = conn.Close()
	}))
	defer s.Close()
	defer close(release)
	if a := realSender(t, s.URL, networkOf(t, s)); a.State != sender.Again || a.StatusClass != 1 {
		t.Errorf("reported as %+v", a)
	}
}
