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
	return Request{Method: r.Method, Target: target, Header: lines, Body: body, Peer: r.RemoteAddr}
}

// ServeHTTP reads the body once, within the limits, and takes the delivery through all steps. A delivery that
// is refused by its headers is refused without reading the body.
func (c *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, now := r.Context(), c.now()
	setReadDeadline(w, c.opts.ReadTimeout)
	in := FromHTTP(r, nil)
	resp := c.admit(&in)
	if resp.Status == 0 {
		late := c.again(http.StatusRequestTimeout)
		resp = withBody(w, r, c.verifier.MaxBody(), c.opts.Budget, late, func(body []byte) Response {
			in.Body = body
			return c.handle(ctx, &in, now, false)
		})
	}
	c.report(ctx, &in, now, &resp)
	resp.Write(w)
}

// setReadDeadline bounds how long a body may take to arrive, also one that is not read. Otherwise a sender of
// single bytes would hold its connection for as long as it likes. A ResponseWriter that knows no deadlines
// leaves that to the server.
func setReadDeadline(w http.ResponseWriter, timeout time.Duration) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(timeout))
}

// withBody reads a body of at most so many bytes and hands it to handle, which does not keep it. Late is the
// status if it does not arrive in time.
func withBody(w http.ResponseWriter, r *http.Request, most int, b *Budget, late int,
	handle func(body []byte) Response) Response {
	body, held, err := readBody(r.Body, r.ContentLength, most, b)
	defer b.give(held)
	switch {
	case err == nil:
	case errors.Is(err, errTooLarge):
		return refused(envelope.ReasonTooLarge, err)
	case errors.Is(err, errBusy):
		return refusal(http.StatusServiceUnavailable, "", retryAfter, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal(late, envelope.ReasonMalformed, 0, err)
	default:
		return refused(envelope.ReasonMalformed, err)
	}
	// Else the connection would count as broken while handle works.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return handle(body)
}

// Write answers the sender. If that fails, the sender has gone.
func (r *Response) Write(w http.ResponseWriter) {
	for _, f := range r.Header {
		w.Header().Set(f.Name, f.Value)
	}
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body)
}
