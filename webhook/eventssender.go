package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// askTimeout bounds the handshake, and a request whose client has no timeout of its own.
const askTimeout = 30 * time.Second

// sendIdle is how long a connection is kept for the next request, in a client of its own.
const sendIdle = 90 * time.Second

// maxRetryAfter is the longest wait that a receiver can ask for.
const maxRetryAfter = 24 * time.Hour

// Errors of a Permission.
var (
	// ErrNotPermitted means that the receiver did not permit the sender to send.
	ErrNotPermitted = errors.New("webhook: the receiver gives no permission to send")
	// ErrGone means that the receiver answered 410: it wants no more events, and none is sent.
	ErrGone = errors.New("webhook: the receiver is gone for good")
)

// Permission is what a receiver permits a sender: requests to one address, at a rate. It is safe for
// concurrent use.
type Permission struct {
	client *http.Client
	target string
	origin string
	rate   int

	mu   sync.Mutex
	next time.Time // when the next request may begin
	gone bool
}

// AskPermission asks the receiver at target, an https address, for the permission to send to it in the name
// of origin, at so many requests a minute; 0 = no rate is named (CloudEvents HTTP 1.1 Web Hooks for Event
// Delivery 1.0.2, section 4). No redirect is followed. nil = a client of its own, which goes to addresses of
// the public Internet only, and through no proxy. The error wraps ErrNotPermitted if the receiver answers,
// and does not permit it.
func AskPermission(ctx context.Context, client *http.Client, target, origin string, rate int,
) (*Permission, error) {
	to, err := url.Parse(target)
	switch {
	case err != nil || to.Scheme != "https" || to.Host == "":
		return nil, errors.New("webhook: the receiver's address is not https")
	case origin == "" || !isVisible(origin):
		return nil, fmt.Errorf("webhook: the origin %.80q is no name, such as %q", origin, "orders.example")
	case rate < 0:
		return nil, fmt.Errorf("webhook: a rate of %d requests a minute: give a number, or 0 for none", rate)
	}
	p := &Permission{client: guardFor(sendIdle, to.Host).Client(askTimeout), target: to.String(), origin: origin}
	if client != nil {
		err := errors.Join(nilcheck.Typed("the Transport of the client", client.Transport),
			nilcheck.Typed("the Jar of the client", client.Jar))
		if err != nil {
			return nil, fmt.Errorf("webhook: %w", err)
		}
		own := *client
		p.client = &own
	}
	p.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, target, nil)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	req.Header.Set(requestOrigin, origin)
	if rate > 0 {
		req.Header.Set(requestRate, strconv.Itoa(rate))
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("webhook: the receiver does not answer: %w", withoutAddress(err))
	}
	_ = resp.Body.Close()
	if err := p.read(resp, rate > 0); err != nil {
		return nil, err
	}
	return p, nil
}

// Format prints the origin only, whatever the verb.
func (p *Permission) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "webhook.Permission(%s)", p.origin) }

// withoutAddress is the error of a client without the address, which may have a token in its query.
func withoutAddress(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// read reads the answer to the handshake. A status alone is no consent.
func (p *Permission) read(resp *http.Response, asked bool) error {
	origins, rates := resp.Header.Values(allowedOrigin), resp.Header.Values(allowedRate)
	switch {
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		return fmt.Errorf("%w: it answers %d", ErrNotPermitted, resp.StatusCode)
	case len(origins) != 1 || origins[0] != "*" && origins[0] != p.origin:
		return fmt.Errorf("%w: it does not name the origin %.80q", ErrNotPermitted, p.origin)
	case len(rates) == 0 && !asked, len(rates) == 1 && rates[0] == "*":
		return nil
	case len(rates) != 1:
		return fmt.Errorf("%w: it names no rate", ErrNotPermitted)
	}
	rate, err := parseRate(rates[0])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	p.rate = rate
	return nil
}

// Rate is how many requests a minute the receiver permits; 0 = any number.
func (p *Permission) Rate() int { return p.rate }

// Send sends a request to the receiver, in the name of the origin. Before that it waits until the rate
// permits it, and until a Retry-After of an earlier answer is over. It follows no redirect and sends nothing
// a second time: see the status. The caller closes the body of the response. The error is ErrGone after a
// 410.
func (p *Permission) Send(req *http.Request) (*http.Response, error) {
	if req.URL.String() != p.target {
		return nil, errors.New("webhook: the permission is for another address")
	}
	if err := p.wait(req.Context()); err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set(requestOrigin, p.origin)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("webhook: the receiver does not answer: %w", withoutAddress(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if resp.StatusCode == http.StatusGone {
		p.gone = true
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		until := retryTime(resp.Header.Get("Retry-After"), time.Now())
		if until.After(p.next) {
			p.next = until
		}
	}
	return resp, nil
}

// wait waits for the turn of a request. Requests are spread evenly over a minute.
func (p *Permission) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		now := time.Now()
		left := p.next.Sub(now)
		if p.gone {
			p.mu.Unlock()
			return ErrGone
		}
		if left <= 0 {
			if p.rate > 0 {
				p.next = now.Add(time.Minute / time.Duration(p.rate))
			}
			p.mu.Unlock()
			return nil
		}
		p.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C: // an answer to another request may have put it off meanwhile
		}
	}
}

// retryTime reads Retry-After: seconds, or a date (RFC 9110, section 10.2.3). Anything else is now.
func retryTime(text string, now time.Time) time.Time {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return now.Add(min(time.Duration(seconds)*time.Second, maxRetryAfter))
	}
	at, err := http.ParseTime(text)
	if err != nil || at.Before(now) {
		return now
	}
	return now.Add(min(at.Sub(now), maxRetryAfter))
}
