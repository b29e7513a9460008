package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Origin is where signed bundles come from. It is not trusted: what it gives is verified, and bounded in size
// and time.
type Origin interface {
	// Fetch gets the signed bundle. The ETag is that of the bundle at hand, "" = none: if the origin still has
	// that one, it need not give it again. It is called from one goroutine at a time, unless the process was
	// frozen during a call, and must return when ctx ends. An error says what to do.
	Fetch(ctx context.Context, etag string) (*Fetched, error)
	// String names the origin in errors, without secrets.
	String() string
}

// Fetched is what an Origin answered.
type Fetched struct {
	// Body is the signed bundle, which the caller reads within bounds and closes; nil = unchanged since the
	// ETag.
	Body   io.ReadCloser
	Length int64         // of Body, in bytes, as far as the origin says; 0 or less = it does not
	ETag   string        // of Body; "" = none
	MaxAge time.Duration // how long the origin calls its answer fresh; 0 = it does not say
}

// FetchSigned gets what the origin has, at most MaxSigned bytes of it. Nothing of it is verified.
func FetchSigned(ctx context.Context, origin Origin) ([]byte, error) {
	if err := nilcheck.Check("trust: the origin", origin); err != nil {
		return nil, err
	}
	got, err := origin.Fetch(ctx, "")
	if err == nil {
		var signed []byte
		if signed, _, err = got.read(""); err == nil {
			return signed, nil
		}
	}
	return nil, fmt.Errorf("trust: %s: %w", origin, err)
}

// read reads and closes the body. Without an ETag there is nothing that could be unchanged.
func (f *Fetched) read(etag string) (signed []byte, unchanged bool, err error) {
	if f == nil || f.Body == nil {
		if etag == "" {
			return nil, false, errors.New("the origin answered that nothing changed, although it was not asked that: check the caches between it and here")
		}
		return nil, true, nil
	}
	defer func() { _ = f.Body.Close() }() // was only read
	if f.Length > MaxSigned {
		return nil, false, refuse(WhyTooLarge, "%d bytes, more than %d", f.Length, MaxSigned)
	}
	signed, err = io.ReadAll(io.LimitReader(f.Body, MaxSigned+1))
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("reading the bundle: %w", err)
	case len(signed) > MaxSigned:
		return nil, false, refuse(WhyTooLarge, "more than %d bytes", MaxSigned)
	}
	return signed, false, nil
}
