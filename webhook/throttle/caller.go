package throttle

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/sealbus/sealbus/envelope"
	"github.com/sealbus/sealbus/webhook"
)

// forwardedFor is the header to which each proxy appends the address of the one who called it.
const forwardedFor = "X-Forwarded-For"

// MaxTrustedHops bounds the trusted hops of Caller.
const MaxTrustedHops = 16

// Caller is the address of the caller of a request, without a zone. With no trusted hops it is the Peer: the
// RemoteAddr of net/http, or the sourceIp of API Gateway. Behind N proxies of your own give N: it is the N-th
// address from the right of all lines of X-Forwarded-For. Everything to the left of it was written by the
// caller. An Application Load Balancer is such a proxy.
//
// Each of the N proxies must append to X-Forwarded-For, and no request may come past them. A request with
// fewer addresses, or with another text in that place, is a *webhook.Error of the Reason malformed.
func Caller(r *webhook.Request, trustedHops int) (netip.Addr, error) {
	if trustedHops < 0 || trustedHops > MaxTrustedHops {
		return netip.Addr{}, fmt.Errorf("throttle: %d trusted hops: give 0 to %d", trustedHops, MaxTrustedHops)
	}
	if trustedHops == 0 {
		return parseAddress(r.Peer)
	}
	left := trustedHops
	for i := len(r.Header) - 1; i >= 0; i-- {
		if !strings.EqualFold(r.Header[i].Name, forwardedFor) {
			continue
		}
		rest, more := r.Header[i].Value, true
		for more {
			cut := strings.LastIndexByte(rest, ',')
			if left--; left == 0 {
				return parseAddress(rest[cut+1:])
			}
			if more = cut >= 0; more {
				rest = rest[:cut]
			}
		}
	}
	return netip.Addr{}, &webhook.Error{Reason: envelope.ReasonMalformed,
		Err: fmt.Errorf("X-Forwarded-For has fewer addresses than the %d trusted hops write", trustedHops)}
}

var errAddress = errors.New("the address of the caller is none")

// parseAddress reads 192.0.2.1, 192.0.2.1:80, 2001:db8::1, [2001:db8::1] and [2001:db8::1]:80.
func parseAddress(text string) (netip.Addr, error) {
	text = strings.Trim(text, " \t")
	const longest = 64 // an address of IPv6 with a zone and a port
	if len(text) > longest {
		return netip.Addr{}, &webhook.Error{Reason: envelope.ReasonMalformed, Err: errAddress}
	}
	if port, err := netip.ParseAddrPort(text); err == nil {
		return port.Addr().WithZone("").Unmap(), nil
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text, ok = strings.CutSuffix(inner, "]")
		if !ok || !strings.Contains(text, ":") {
			text = ""
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, &webhook.Error{Reason: envelope.ReasonMalformed, Err: errAddress}
	}
	return addr.WithZone("").Unmap(), nil
}
