package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/dialguard"
	"github.com/sealbus/sealbus/internal/gcra"
)

// The headers of the handshake (CloudEvents HTTP 1.1 Web Hooks for Event Delivery 1.0.2, section 4).
const (
	requestOrigin   = "WebHook-Request-Origin"
	requestRate     = "WebHook-Request-Rate"
	requestCallback = "WebHook-Request-Callback"
	allowedOrigin   = "WebHook-Allowed-Origin"
	allowedRate     = "WebHook-Allowed-Rate"
)

// maxRate is the most requests a minute that are agreed on: above it, a rate bounds nothing.
const maxRate = 1_000_000

// callbackTimeout bounds a callback. The sender waits for the answer to its OPTIONS meanwhile.
const callbackTimeout = 5 * time.Second

// Origin is a sender that may send events.
type Origin struct {
	// Name is the value of WebHook-Request-Origin, such as "orders.example". It is compared byte by byte.
	Name string
	// Rate is how many requests a minute are agreed on, up to 1,000,000; a batch is one request. 0 = any
	// number. Each process counts by itself. A rate that a sender asks for changes nothing: the handshake is
	// not signed, and anyone could lower it. Neither is the name in a request: a sender whose events are
	// verified can use up the rate of another. Behind package webhook/entry give 0: its Limiter counts
	// clients.
	Rate int
}

var (
	errNoOrigin = errors.New("no permitted origin")
	errOverRate = errors.New("over the rate of this origin")
)

// notAllowed is the answer to a method that is not supported.
func (e *EventReceiver) notAllowed() Response {
	resp := refusal(http.StatusMethodNotAllowed, "", 0, errors.New("the method is not POST"))
	allow := http.MethodPost
	if len(e.origins) > 0 {
		allow = "OPTIONS, POST"
	}
	resp.Header = append(resp.Header, Field{"Allow", allow})
	return resp
}

// handshake answers a request for the permission to send. The permission is not an authentication.
func (e *EventReceiver) handshake(ctx context.Context, r Request) Response {
	if len(e.origins) == 0 {
		return e.notAllowed()
	}
	name, err := r.HeaderValue(requestOrigin)
	rate, rateErr := r.HeaderValue(requestRate)
	callback, callbackErr := r.HeaderValue(requestCallback)
	if err = errors.Join(err, rateErr, callbackErr); err == nil && name == "" {
		err = errors.New("no " + requestOrigin)
	}
	if err == nil && rate != "" {
		_, err = parseRate(rate)
	}
	if err != nil {
		return refusal(http.StatusBadRequest, "", 0, err)
	}
	from := e.origins[name]
	if from == nil {
		return refusal(http.StatusForbidden, "", 0, errNoOrigin)
	}
	granted := []Field{{allowedOrigin, name}, {allowedRate, from.text()}}
	resp := Response{Status: http.StatusNoContent, Header: []Field{{"Allow", "OPTIONS, POST"}}}
	to, err := url.Parse(callback)
	if err != nil || callback == "" || to.Scheme != "https" || to.User != nil ||
		!slices.Contains(e.opts.CallbackHosts, to.Host) {
		resp.Header = append(resp.Header, granted...)
		return resp
	}
	// The permission is withheld from the answer then: section 4.2.
	if err := e.call(ctx, to, granted); err != nil {
		e.opts.Logger.WarnContext(ctx, "sealbus: the callback of a handshake failed", "origin", name,
			"error", err)
		return refusal(http.StatusServiceUnavailable, "", retryAfter, err)
	}
	return resp
}

// call sends the permission to a host of CallbackHosts. It follows no redirect, and its error does not have
// the address, which may have a secret.
func (e *EventReceiver) call(ctx context.Context, to *url.URL, granted []Field) error {
	ctx, cancel := context.WithTimeout(ctx, callbackTimeout)
	defer cancel()
	req := (&http.Request{Method: http.MethodPost, URL: to, Header: http.Header{}}).WithContext(ctx)
	for _, f := range granted {
		req.Header.Set(f.Name, f.Value)
	}
	resp, err := e.callback.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("no answer from %.100q: %w", to.Host, err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%.100q answers %d", to.Host, resp.StatusCode)
	}
	return nil
}

// parseRate reads a rate: a positive number of requests a minute.
func parseRate(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%.20q is no rate: a number of requests a minute", text)
	}
	return min(n, maxRate), nil
}

// meter counts the requests of one origin. In any minute it lets at most twice the rate through, and the rate
// on the average: a sender that keeps to its rate is never refused.
type meter struct {
	*gcra.Meter
	rate int // a minute; 0 = no rate: each request is free
}

func newMeters(origins []Origin) (map[string]*meter, error) {
	meters := make(map[string]*meter, len(origins))
	for _, o := range origins {
		switch {
		case o.Name == "" || len(o.Name) > MaxHeaderValue || !isVisible(o.Name):
			return nil, fmt.Errorf("the origin %.80q is no name: give what the sender sends, such as %q",
				o.Name, "orders.example")
		case meters[o.Name] != nil:
			return nil, fmt.Errorf("the origin %.80q is there twice", o.Name)
		case o.Rate < 0 || o.Rate > maxRate:
			return nil, fmt.Errorf("the Rate of %.80q is %d: give up to %d requests a minute, "+
				"or 0 for any number", o.Name, o.Rate, maxRate)
		}
		m := &meter{new(gcra.Meter), o.Rate}
		if o.Rate > 0 {
			m.Meter = gcra.NewMeter(gcra.Every(time.Minute/time.Duration(o.Rate), o.Rate))
		}
		meters[o.Name] = m
	}
	return meters, nil
}

// isVisible reports whether the text is printable ASCII without spaces. "*" stands for any origin, and is
// none.
func isVisible(text string) bool {
	isOther := func(r rune) bool { return r <= ' ' || r > '~' }
	return text != "*" && !strings.ContainsFunc(text, isOther)
}

// text is the rate for WebHook-Allowed-Rate.
func (m *meter) text() string {
	if m.rate == 0 {
		return "*"
	}
	return strconv.Itoa(m.rate)
}

// toll is what a request costs its origin: one, when the first of its events is handed to the handler. The
// name of an origin is not signed. So requests without a verified event cost nothing, and hold nothing up
// while they are read and judged: otherwise anyone could use up the rate of an origin.
type toll struct {
	meter   *meter // nil = there are no Origins
	now     func() time.Time
	paid    bool
	refused time.Duration // above 0: it could not be paid, and no event of the request is handled
}

type tollKey struct{}

// tolled is the handler, behind the toll of the request.
func tolled(handler consumer.Handler) consumer.Handler {
	return func(ctx context.Context, d consumer.Delivery[[]byte]) error {
		if t, _ := ctx.Value(tollKey{}).(*toll); t != nil && !t.pay() {
			return errOverRate
		}
		return handler(ctx, d)
	}
}

func (t *toll) pay() bool {
	if !t.paid && t.refused == 0 {
		t.refused = t.meter.Take(t.now())
		t.paid = t.refused == 0
	}
	return t.paid
}

// settle counts a request whose verified events did not come to the handler, such as duplicates. It returns
// how long the sender is to wait if the toll could not be paid.
func (t *toll) settle(authentic bool) time.Duration {
	if t.meter != nil && authentic && !t.paid && t.refused == 0 {
		t.meter.Force(t.now())
	}
	return t.refused
}

// guardFor goes to the ports of these hosts, and to addresses of the public Internet only: the name of an
// allowed host may lead inside. It keeps connections for idle.
func guardFor(idle time.Duration, hosts ...string) *dialguard.Guard {
	ports := []uint16{}
	for _, host := range hosts {
		_, text, err := net.SplitHostPort(host)
		if err != nil {
			text = "443"
		}
		if port, err := strconv.ParseUint(text, 10, 16); err == nil {
			ports = append(ports, uint16(port))
		}
	}
	return dialguard.New(&dialguard.Options{Ports: ports, Idle: idle})
}
