// Package onefetch makes one small HTTP request to an address that the caller has checked: for certificates
// and keys of senders, whose address a delivery names before anything about it is known to be true.
package onefetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/sealbus/sealbus/internal/dialguard"
)

// The limits of a request. Each fails closed.
const (
	MaxBytes = 64 << 10         // of an answer: a certificate chain has 5 KiB, a set of ten RSA keys 4 KiB
	Timeout  = 10 * time.Second // senders of webhooks wait for 15 s or longer
)

// nat64 is where DNS64 has the names of a provider lead in a subnet without IPv4. The guard judges the IPv4
// address in it. private has the networks of VPCs, too (RFC 1918, RFC 6598, RFC 4193).
var (
	nat64   = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96")}
	private = append([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("fc00::/7")}, nat64...)
)

// Direct goes directly to a provider, over https. In a VPC with an interface endpoint, the name of the
// provider leads to a private address: so these are dialled, because TLS proves who answers there. This
// machine, metadata services and other special addresses are refused. No connection is kept: one that was
// idle while the process was frozen is dead.
func Direct() *dialguard.Guard { return dialguard.New(&dialguard.Options{Allow: private}) }

// Public goes to addresses of the public Internet only, also over http, where nothing proves who answers.
func Public() *dialguard.Guard {
	return dialguard.New(&dialguard.Options{Allow: nat64, PlainHTTP: true})
}

// Do makes the request and returns the body of the answer 200. It goes past http.Client, so that no
// redirect is followed and no cookie kept. It ends with ctx, or after Timeout. The error has nothing of the
// address and of the answer but its status.
func Do(ctx context.Context, via http.RoundTripper, req *http.Request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	resp, err := via.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("no answer from %s: %w", req.URL.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", req.URL.Host, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer of %s breaks off: %w", req.URL.Host, err)
	case len(body) > MaxBytes:
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", req.URL.Host, MaxBytes)
	case len(body) == 0:
		return nil, errors.New("the answer of " + req.URL.Host + " is empty")
	}
	return body, nil
}

// Get is Do for the method GET.
func Get(ctx context.Context, via http.RoundTripper, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("the address is no URL")
	}
	req.Header.Set("User-Agent", "sealbus")
	req.Header.Set("Accept-Encoding", "identity")
	return Do(ctx, via, req)
}
