package onefetch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sealbus/sealbus/internal/dialguard"
	"github.com/sealbus/sealbus/internal/onefetch"
)

// TestGetTakesOneAnswer: 200, and nothing that redirects, is empty or is over the bound.
func TestGetTakesOneAnswer(t *testing.T) {
	followed := false
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "yes") })
	mux.HandleFunc("/largest", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, onefetch.MaxBytes))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(make([]byte, onefetch.MaxBytes+1))
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X", strings.Repeat("a", 64<<10))
	})
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/followed", http.StatusFound)
	})
	mux.HandleFunc("/followed", func(w http.ResponseWriter, r *http.Request) { followed = true })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "yes")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for path, want := range map[string]int{"/ok": 3, "/largest": onefetch.MaxBytes, "/large": 0, "/header": 0,
		"/empty": 0, "/redirect": 0, "/broken": 0, "/missing": 0} {
		got, err := onefetch.Get(context.Background(), near(server), server.URL+path)
		if len(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	if followed {
		t.Error("the redirect was followed")
	}
}

// near is a guard that also goes to a server on this machine.
func near(server *httptest.Server) *dialguard.Guard {
	to := server.Listener.Addr().(*net.TCPAddr).AddrPort()
	return dialguard.New(&dialguard.Options{Allow: []netip.Prefix{netip.PrefixFrom(to.Addr(), to.Addr().BitLen())},
		Ports: []uint16{to.Port()}, PlainHTTP: true})
}

// TestDirectAndPublic: only over TLS is a private address dialled, and neither goes to this machine or to a
// metadata service.
func TestDirectAndPublic(t *testing.T) {
	const passes dialguard.Reason = ""
	for address, want := range map[string][2]dialguard.Reason{
		"https://hooks.example/":        {passes, passes},
		"http://hooks.example/":         {dialguard.BadScheme, passes},
		"https://10.1.2.3/":             {passes, dialguard.NotPublic},
		"https://172.31.0.1/":           {passes, dialguard.NotPublic},
		"https://192.168.0.1/":          {passes, dialguard.NotPublic},
		"https://100.64.0.1/":           {passes, dialguard.NotPublic},
		"https://[fd12::1]/":            {passes, dialguard.NotPublic},
		"http://10.1.2.3/":              {dialguard.BadScheme, dialguard.NotPublic},
		"https://[64:ff9b::8.8.8.8]/":   {passes, passes},
		"http://[64:ff9b::8.8.8.8]/":    {dialguard.BadScheme, passes},
		"https://[64:ff9b::10.1.2.3]/":  {passes, dialguard.NotPublic},
		"https://[64:ff9b::127.0.0.1]/": {dialguard.NotPublic, dialguard.NotPublic},
		"https://[64:ff9b::a9fe:a9fe]/": {dialguard.NotPublic, dialguard.NotPublic},
		"https://127.0.0.1/":            {dialguard.NotPublic, dialguard.NotPublic},
		"https://[::1]/":                {dialguard.NotPublic, dialguard.NotPublic},
		"https://169.254.169.254/":      {dialguard.NotPublic, dialguard.NotPublic},
		"https://100.100.100.200/":      {dialguard.NotPublic, dialguard.NotPublic},
		"https://[fd00:ec2::254]/":      {dialguard.NotPublic, dialguard.NotPublic},
		"https://hooks.example:8443/":   {dialguard.PortRefused, dialguard.PortRefused},
	} {
		for i, guard := range []*dialguard.Guard{onefetch.Direct(), onefetch.Public()} {
			got := passes
			if _, err := guard.Check(address); err != nil {
				refused, _ := errors.AsType[*dialguard.RefusedError](err)
				got = refused.Reason
			}
			if got != want[i] {
				t.Errorf("%s: %q, want %q", address, got, want[i])
			}
		}
	}
	for _, guard := range []*dialguard.Guard{onefetch.Direct(), onefetch.Public()} {
		_, err := onefetch.Get(context.Background(), guard, "https://127.0.0.1/")
		if refused, _ := errors.AsType[*dialguard.RefusedError](err); refused == nil {
			t.Error(err)
		}
	}
}

// TestServerIsVerified: a server whose certificate no authority signed is not read.
func TestServerIsVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	if got, err := onefetch.Get(context.Background(), near(server), server.URL); err == nil {
		t.Errorf("%q", got)
	}
}

// silent is a transport that answers nothing, or a body that never ends.
type silent struct{ body io.Reader }

func (s silent) RoundTrip(req *http.Request) (*http.Response, error) {
	if s.body == nil {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(s.body)}, nil
}

func TestDoEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := onefetch.Get(context.Background(), silent{}, "https://a.example/")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	endless := bytes.NewReader(make([]byte, 10<<20))
	if _, err := onefetch.Get(context.Background(), silent{endless}, "https://a.example/"); err == nil {
		t.Error("accepted")
	}
	if read := endless.Size() - int64(endless.Len()); read > 2*onefetch.MaxBytes {
		t.Error("read", read)
	}
	if _, err := onefetch.Get(context.Background(), silent{}, "://"); err == nil {
		t.Error("no URL")
	}
}
