package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/dialguard"
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

// Neither a callback nor a request of a sender goes to an address inside, whichever name leads there, nor to
// another port. TestListedAddresses of internal/dialguard tries the addresses.
func TestCallbackTransportStaysOutside(t *testing.T) {
	g := guardFor(0, "hooks.example", "hooks.example:8443", "[::1]:9443", "hooks.example:x")
	for address, want := range map[string]dialguard.Reason{
		"https://localhost:8443/": dialguard.LocalName, "https://127.0.0.1:8443/": dialguard.NotPublic,
		"https://[::1]:9443/": dialguard.NotPublic, "https://127.0.0.1/": dialguard.NotPublic,
		"https://hooks.example:22/": dialguard.PortRefused, "https://hooks.example:0/": dialguard.PortRefused,
		"http://hooks.example/": dialguard.BadScheme,
	} {
		req, err := http.NewRequest(http.MethodPost, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = g.RoundTrip(req)
		if refused, ok := err.(*dialguard.RefusedError); !ok || refused.Reason != want {
			t.Errorf("%s: %v; want %s", address, err, want)
		}
	}
	for _, target := range []string{"https://127.0.0.1:8443/", "https://[::1]/", "https://169.254.169.254/"} {
		_, err := AskPermission(t.Context(), nil, target, "orders.example", 0)
		refused, _ := errors.AsType[*dialguard.RefusedError](err)
		if refused == nil || refused.Reason != dialguard.NotPublic || strings.Contains(err.Error(), "169.254") {
			t.Errorf("%s: %v", target, err)
		}
	}
	if _, err := guardFor(0).Check("https://hooks.example/"); err == nil {
		t.Error("no host has the port 443")
	}
}

// Certificates are fetched over https from where the name of the provider leads, and over http from public
// addresses only.
func TestWayOfCertificates(t *testing.T) {
	c := new(Certificates)
	for address, passes := range map[string]bool{
		"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem": true,
		"https://api.paypal.com/v1/notifications/certs/CERT-1":                true,
		"http://crt.rootca1.amazontrust.com/rootca1.cer":                      true,
		"http://cacerts.digicert.com/DigiCertEVRSACAG2.crt":                   true,
		"https://10.1.2.3/": true, "http://10.1.2.3/": false, "https://127.0.0.1/": false,
	} {
		guard := c.via(address).(*dialguard.Guard)
		if _, err := guard.Check(address); (err == nil) != passes {
			t.Errorf("%s: %v", address, err)
		}
	}
}
