package jwt

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/flight"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/onefetch"
)

// How long keys are used after they were fetched.
const (
	maxAge = time.Hour        // a key that the provider took away is believed for that long
	minAge = 30 * time.Second // an unknown key ID asks for newer keys no more often
)

// Options are optional settings.
type Options struct {
	// Transport carries the requests for keys; nil = directly to the provider, at an address that is public or
	// private: no proxy, no variable of the environment. No redirect is followed.
	Transport http.RoundTripper
	// Sandbox takes the keys of Plaid from its sandbox; false = from production. It does nothing for Google.
	Sandbox bool
}

func (o *Options) check() error {
	if o == nil {
		return nil
	}
	return nilcheck.Typed("Options.Transport", o.Transport)
}

func (o *Options) transport() http.RoundTripper {
	if o != nil && o.Transport != nil {
		return o.Transport
	}
	return onefetch.Direct()
}

// document is something that is fetched, and kept for a while. One request is under way at a time.
type document[T any] struct {
	fetch func(ctx context.Context) (T, error)

	mu      sync.Mutex
	value   T
	fetched time.Time // when the request for value began; zero = there is none
	flight  *docFlight[T]
}

type docFlight[T any] struct {
	flight.Flight
	value T
	err   error
}

// get is the value, fetched anew if it is older than age. It fails if the request does.
func (d *document[T]) get(ctx context.Context, age time.Duration) (T, error) {
	d.mu.Lock()
	// The clock was set back if the value is from the future: its age is unknown then.
	if old := time.Since(d.fetched); !d.fetched.IsZero() && old >= 0 && old < age {
		defer d.mu.Unlock()
		return d.value, nil
	}
	f := d.flight
	if f == nil {
		f = new(docFlight[T])
		var own context.Context
		own, f.Flight = flight.New(ctx, time.Now(), onefetch.Timeout)
		d.flight = f
		go d.fly(own, f)
	}
	d.mu.Unlock()
	if _, err := f.Wait(ctx, onefetch.Timeout, false); err != nil {
		var none T
		return none, err
	}
	return f.value, f.err
}

func (d *document[T]) fly(ctx context.Context, f *docFlight[T]) {
	defer f.Cancel()
	f.value, f.err = d.fetch(ctx)
	d.mu.Lock()
	if d.flight = nil; f.err == nil {
		d.value, d.fetched = f.value, f.Began.Round(0) // by the wall clock, which goes on in a frozen process
	}
	d.mu.Unlock()
	close(f.Done)
}
