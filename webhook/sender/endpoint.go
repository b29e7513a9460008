package sender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// The bounds and defaults of an Endpoint.
const (
	defaultTimeout     = 20 * time.Second // Standard Webhooks recommends 15 to 30 s
	maxTimeout         = 60 * time.Second
	defaultConcurrency = 4
	maxConcurrency     = 256
	maxURL             = 2048 // bytes
)

// Endpoint is where deliveries go. It prints as its ID: the URL may hold a token.
type Endpoint struct {
	ID      string // 1 to MaxEndpoint visible ASCII characters; for ever of this one endpoint
	URL     string // https
	Signing Signing
	// Timeout bounds one attempt, from DNS to the end of the answer; 0 = 20 s, at most 60 s.
	Timeout time.Duration
	// Concurrency is how many attempts are under way at a time in one process; 0 = 4, at most 256.
	Concurrency int
	// Rate is how many attempts a second one process makes in the long run; 0 = no limit. Burst is how many of
	// them at once; 0 = 1.
	Rate  float64
	Burst int
	// Ordered true: one attempt at a time among all processes, in the order in which the messages were
	// accepted. One that must be tried again holds up those behind it, until it is delivered or dead. It counts
	// for the messages that are accepted from then on.
	Ordered bool
	// Disabled true: what is due dies with CauseDisabled and without an attempt.
	Disabled bool
}

// Format prints the ID, whatever the verb.
func (e Endpoint) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "sender.Endpoint("+e.ID+")") }

// MarshalText gives encoding/json and log/slog the text that is printed.
func (e Endpoint) MarshalText() ([]byte, error) { return fmt.Append(nil, e), nil }

// Check says what is wrong with an endpoint, for the moment when a tenant sets it up. It does not ask DNS.
func (e *Endpoint) Check() error {
	u, err := url.Parse(e.URL)
	switch {
	case !isVisible(e.ID, MaxEndpoint):
		return fmt.Errorf("sender: the ID of the endpoint must have 1 to %d visible ASCII characters", MaxEndpoint)
	case err != nil || len(e.URL) > maxURL || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("sender: endpoint %q: the URL is not https://HOST/PATH", e.ID)
	case u.User != nil:
		return fmt.Errorf("sender: endpoint %q: the URL has user information", e.ID)
	case e.Timeout < 0 || e.Timeout > maxTimeout:
		return fmt.Errorf("sender: endpoint %q: a timeout of %v: give at most %v", e.ID, e.Timeout, maxTimeout)
	case e.Concurrency < 0 || e.Concurrency > maxConcurrency:
		return fmt.Errorf("sender: endpoint %q: %d attempts at a time: give at most %d", e.ID, e.Concurrency,
			maxConcurrency)
	case e.Rate < 0 || math.IsNaN(e.Rate) || e.Burst < 0 || e.Burst > 0 && e.Rate == 0:
		return fmt.Errorf("sender: endpoint %q: Rate and Burst must not be negative, and Burst needs a Rate", e.ID)
	}
	if err := nilcheck.Check("the Signing", e.Signing); err != nil {
		return fmt.Errorf("sender: endpoint %q: %w: use StandardWebhooks, HTTPSignature or Unsigned", e.ID, err)
	}
	return nil
}

func (e *Endpoint) timeout() time.Duration {
	if e.Timeout == 0 {
		return defaultTimeout
	}
	return e.Timeout
}

func (e *Endpoint) concurrency() int {
	switch {
	case e.Ordered:
		return 1
	case e.Concurrency == 0:
		return defaultConcurrency
	}
	return e.Concurrency
}

// Endpoints finds endpoints: in a map, or in a database of tenants. It is asked for each message and for each
// attempt, so that a new secret counts at once. It is safe for concurrent use.
type Endpoints interface {
	// Endpoint is the endpoint with that ID, not to be changed. The error wraps ErrNoEndpoint if there is none
	// and will be none: its deliveries die. After any other error they are tried again.
	Endpoint(ctx context.Context, id string) (*Endpoint, error)
}

// fixed is what NewEndpoints makes.
type fixed map[string]*Endpoint

// NewEndpoints are these endpoints and no others.
func NewEndpoints(list ...Endpoint) (Endpoints, error) {
	all := fixed{}
	var errs []error
	for _, e := range list {
		errs = append(errs, e.Check())
		if all[e.ID] != nil {
			errs = append(errs, fmt.Errorf("sender: two endpoints have the ID %q", e.ID))
		}
		all[e.ID] = &e
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

func (f fixed) Endpoint(_ context.Context, id string) (*Endpoint, error) {
	if e := f[id]; e != nil {
		return e, nil
	}
	return nil, ErrNoEndpoint
}
