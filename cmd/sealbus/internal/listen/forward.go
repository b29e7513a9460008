package listen

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/consumer"
	"github.com/sealbus/sealbus/internal/wire"
)

// forwardTimeout is how long the receiver may take: shorter than the visibility timeout that a queue has
// unless told otherwise, so that a message does not come a second time while the first is being handled.
const forwardTimeout = 20 * time.Second

// maxForwardAnswer is how much of an answer is read, so that the connection can be used again;
// shownForwardAnswer of it is shown when it is a refusal.
const (
	maxForwardAnswer   = 64 << 10
	shownForwardAnswer = 200
)

// forwarder posts verified events to one URL.
type forwarder struct {
	url    string
	client *http.Client
}

func newForwarder(to string) *forwarder {
	return &forwarder{url: to, client: &http.Client{
		Timeout: forwardTimeout,
		// A redirect could name any host, and a POST that becomes a GET has lost the event.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post hands the event over: what was signed, and only that. It returns nil if the receiver says that it is
// handled.
func (f *forwarder) post(ctx context.Context, d *consumer.Delivery[[]byte]) error {
	ev, err := wire.FromSDK(&d.Event)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(ev.Append(nil)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "sealbus")
	req.Header.Set("Idempotency-Key", d.IdempotencyKey)
	resp, err := f.client.Do(req)
	if err != nil {
		return forwardFailed(err)
	}
	defer func() { _ = resp.Body.Close() }() // was only read
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxForwardAnswer))
	return answerError(resp, answer)
}

// answerError is the refusal of the receiver. Its words may quote the event, so only the status is safe to
// show.
func answerError(resp *http.Response, answer []byte) error {
	if resp.StatusCode/100 == 2 {
		return nil
	}
	status := consumer.SafeText(fmt.Errorf("--forward-to: it answers %d", resp.StatusCode))
	answer = bytes.TrimSpace(answer)
	switch {
	case resp.StatusCode/100 == 3:
		return fmt.Errorf("%w, a redirect to %.200q, which is not followed", status,
			resp.Header.Get("Location"))
	case len(answer) == 0:
		return status
	}
	return fmt.Errorf("%w: %s", status, bytes.ToValidUTF8(answer[:min(len(answer), shownForwardAnswer)], nil))
}

// forwardFailed is the error of a request without an answer. The network's words quote no event; those of
// net/http about an answer that is none may.
func forwardFailed(err error) error {
	if errtext.IsNetwork(err) {
		return consumer.SafeText(errtext.Reached("--forward-to", err))
	}
	return fmt.Errorf("--forward-to: %w", bareURLError(err))
}

// bareURLError drops the URL, which everybody knows and which may hold a password.
func bareURLError(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}
