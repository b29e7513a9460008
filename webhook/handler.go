package webhook

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/envelope"
)

// Handler is a Receiver for net/http: see NewReceiver.
func Handler(
	v *Verifier, store replay.Store, next func(ctx context.Context, v *Verified) error, opts *ReceiverOptions,
) (http.Handler, error) {
	c, err := NewReceiver(v, store, next, opts)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// FromHTTP is the delivery in a request of net/http with that body. The target is that of the request line,
// also behind http.StripPrefix. The names of header lines are in alphabetical order, because net/http does
// not keep theirs; lines of one name keep their order. Nothing comes from the header Host.
func FromHTTP(r *http.Request, body []byte) Request {
	target := r.RequestURI
	if target == "" { // a request that no server has read
		target = r.URL.RequestURI()
	}
	if _, rest, absolute := strings.Cut(target, "://"); absolute && !strings.HasPrefix(target, "/") {
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
	}
	lines := make([]Field, 0, len(r.Header))
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			lines = append(lines, Field{name, value})
		}
	}
	return Request{Method: r.Method, Target: target, Header: lines, Body: body}
}

// ServeHTTP reads the body once, within the limits, and takes the delivery through all steps. A delivery that
// is refused by its headers, or over its limit, is refused without reading the body.
func (c *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, now := r.Context(), c.now()
	// Without a deadline, a sender of single bytes would hold its connection for as long as it likes. A
	// ResponseWriter that knows no deadlines leaves that to the server.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(c.opts.ReadTimeout))
	in := FromHTTP(r, nil)
	resp := c.admit(&in, now)
	if resp.Status == 0 {
		resp = c.serve(w, r, &in, now)
	}
	c.report(ctx, &in, now, &resp)
	for _, f := range resp.Header {
		w.Header().Set(f.Name, f.Value)
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body)
}

// serve reads the body into in and handles the delivery.
func (c *Receiver) serve(w http.ResponseWriter, r *http.Request, in *Request, now time.Time) Response {
	body, held, err := readBody(r.Body, r.ContentLength, c.verifier.MaxBody(), c.opts.Budget)
	defer c.opts.Budget.give(held)
	switch {
	case err == nil:
	case errors.Is(err, errTooLarge):
		return refused(envelope.ReasonTooLarge, err)
	case errors.Is(err, errBusy):
		return refusal(http.StatusServiceUnavailable, "", retryAfter, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal(c.again(http.StatusRequestTimeout), envelope.ReasonMalformed, 0, err)
	default:
		return refused(envelope.ReasonMalformed, err)
	}
	// Else the connection would count as broken while next works.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	in.Body = body
	return c.handle(r.Context(), in, now, false)
}
