package webhook

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// calls is a transport that notes where callbacks go.
type calls struct {
	made   []string
	status int
	err    error
}

func (c *calls) RoundTrip(r *http.Request) (*http.Response, error) {
	c.made = append(c.made, r.Method+" "+r.URL.String()+" "+r.Header.Get(allowedOrigin)+" "+
		r.Header.Get(allowedRate))
	if c.err != nil {
		return nil, c.err
	}
	return &http.Response{StatusCode: c.status, Body: http.NoBody,
		Header: http.Header{"Location": {"https://inside.example/"}}}, nil
}

// A callback goes to an allowed host over https, once, and follows no redirect. Any other is never made: the
// permission is in the answer then, and nowhere else.
func TestCallbackOnlyToAllowedHosts(t *testing.T) {
	origins := []Origin{{Name: "orders.example", Rate: 60}}
	meters, err := newMeters(origins)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		callback string
		calls    calls
		status   int
		called   bool
	}{
		"allowed":       {"https://hooks.example/confirm?key=1", calls{status: 200}, 204, true},
		"with its port": {"https://hooks.example:8443/x", calls{status: 204}, 204, true},
		"redirect":      {"https://hooks.example/", calls{status: 302}, 503, true},
		"refused":       {"https://hooks.example/", calls{status: 404}, 503, true},
		"no answer":     {"https://hooks.example/", calls{err: errors.New("down")}, 503, true},
		"another host":  {"https://evil.example/", calls{status: 200}, 204, false},
		"suffix":        {"https://hooks.example.evil.example/", calls{status: 200}, 204, false},
		"prefix":        {"https://evil-hooks.example/", calls{status: 200}, 204, false},
		"another port":  {"https://hooks.example:22/", calls{status: 200}, 204, false},
		"user":          {"https://hooks.example@evil.example/", calls{status: 200}, 204, false},
		"of a user":     {"https://me:pw@hooks.example/", calls{status: 200}, 204, false},
		"http":          {"http://hooks.example/", calls{status: 200}, 204, false},
		"no scheme":     {"//hooks.example/", calls{status: 200}, 204, false},
		"file":          {"file:///etc/passwd", calls{status: 200}, 204, false},
		"an address":    {"https://127.0.0.1/", calls{status: 200}, 204, false},
		"backslash":     {`https://hooks.example\@evil.example/`, calls{status: 200}, 204, false},
	} {
		e := &EventReceiver{origins: meters, callback: &c.calls, opts: EventOptions{Origins: origins,
			CallbackHosts: []string{"hooks.example", "hooks.example:8443"},
			Logger:        slog.New(slog.DiscardHandler)}}
		resp := e.handshake(context.Background(), Request{Header: []Field{
			{requestOrigin, "orders.example"}, {requestCallback, c.callback}}})
		granted := false
		for _, f := range resp.Header {
			granted = granted || strings.HasPrefix(f.Name, "WebHook-Allowed-")
		}
		if resp.Status != c.status || granted == c.called {
			t.Errorf("%s: %d %v", name, resp.Status, resp.Header)
		}
		var want []string
		if c.called {
			want = []string{"POST " + c.callback + " orders.example 60"}
		}
		if !slices.Equal(c.calls.made, want) {
			t.Errorf("%s: called %q", name, c.calls.made)
		}
	}
}

// An origin that is not permitted gets no callback.
func TestNoCallbackForAnotherOrigin(t *testing.T) {
	c := &calls{status: 200}
	meters, err := newMeters([]Origin{{Name: "orders.example"}})
	if err != nil {
		t.Fatal(err)
	}
	e := &EventReceiver{origins: meters, callback: c,
		opts: EventOptions{CallbackHosts: []string{"hooks.example"}}}
	resp := e.handshake(context.Background(), Request{Header: []Field{
		{requestOrigin, "evil.example"}, {requestCallback, "https://hooks.example/"}}})
	if resp.Status != 403 || c.made != nil {
		t.Errorf("%d, called %q", resp.Status, c.made)
	}
}

// The addresses that Svix' sender refuses, and those that it allows.
func TestPublicAddresses(t *testing.T) {
	f, err := os.Open("testdata/ssrf-addresses.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	counts := map[bool]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		verdict, address, found := strings.Cut(lines.Text(), " ")
		if !found || verdict == "#" {
			continue
		}
		public := verdict == "allow"
		if counts[public]++; isPublic(netip.MustParseAddr(address)) != public {
			t.Errorf("%s: want %s", address, verdict)
		}
	}
	if counts[true] < 3 || counts[false] < 30 {
		t.Errorf("only %v addresses were tried", counts)
	}
	for _, address := range []string{"::7f00:1", "fec0::1", "2002:7f00:1::", "2001::1", "fe80::1%eth0",
		"2606:4700::1111%eth0", "255.255.255.255", "::", "ff02::1", "fd00::1"} {
		if isPublic(netip.MustParseAddr(address)) {
			t.Errorf("%s counts as public", address)
		}
	}
	if !isPublic(netip.MustParseAddr("2606:4700::1111")) {
		t.Error("2606:4700::1111 is public")
	}
}

// The transport of callbacks does not connect to an address inside, whichever name leads there.
func TestCallbackTransportStaysOutside(t *testing.T) {
	for _, address := range []string{"https://localhost:1/", "https://127.0.0.1:1/", "https://[::1]:1/"} {
		req, err := http.NewRequest(http.MethodPost, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := publicTransport().RoundTrip(req); !errors.Is(err, errNotPublic) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if publicTransport().Proxy != nil {
		t.Error("callbacks go through a proxy")
	}
}
