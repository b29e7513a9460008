package trust

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

// Origin is a place that signed bundles come from. It is not trusted: its answers are verified, and bounded
// in size and time.
type Origin interface {
	// Fetch gets the signed bundle. etag is the ETag of the bundle that the caller has; "" = none. If the
	// origin still has that bundle, it need not send it again. Fetch is called from one goroutine at a time,
	// unless the process was frozen during a call. It must return when ctx ends. An error says what to do.
	Fetch(ctx context.Context, etag string) (*Fetched, error)
	// String names the origin in errors, without secrets.
	String() string
}

// ErrNotFound is (wrapped in) the error of Origin.Fetch if there is no such file, or if the origin does not
// say whether there is: the answers 404 and 403 of HTTP and S3. It ends a chain of roots. Every other failure
// leaves open whether newer roots exist.
var ErrNotFound = fetch.ErrNotFound

// Directory is an Origin with other files beside the bundle. Sources look there for the roots that follow the
// newest they know: "roots/" and their version, in decimal. They need one where the roots name timestamp
// keys: they ask for the small file "timestamp.dsse", and get the bundle from "bundles/" and the SHA-256 of
// its payload, in hexadecimal.
type Directory interface {
	Origin
	// Beside is the file of that name in the directory of the bundle. If there is none, its Fetch returns
	// ErrNotFound.
	Beside(name string) Origin
}

// Fetched is the answer of an Origin.
type Fetched struct {
	// Body is the signed bundle, which the caller reads within bounds and closes; nil = unchanged since the
	// ETag.
	Body   io.ReadCloser
	Length int64         // of Body, in bytes, as the origin states it; 0 or less = not stated
	ETag   string        // of Body; "" = none
	MaxAge time.Duration // how long the answer is fresh, as the origin states it; 0 = not stated
}

// FetchSigned gets the signed bundle of the origin, and does not verify it.
func FetchSigned(ctx context.Context, origin Origin) ([]byte, error) {
	if err := nilcheck.Check("trust: the origin", origin); err != nil {
		return nil, err
	}
	return fetchBounded(ctx, origin, keydoc.MaxSigned)
}

func fetchBounded(ctx context.Context, origin Origin, most int64) ([]byte, error) {
	got, err := origin.Fetch(ctx, "")
	if err == nil {
		var signed []byte
		if signed, _, err = got.read("", most); err == nil {
			return signed, nil
		}
	}
	return nil, fmt.Errorf("trust: %s: %w", origin, err)
}

// read reads and closes the body, of at most most bytes. The answer that nothing changed is an error if no
// ETag was sent.
func (f *Fetched) read(etag string, most int64) (signed []byte, unchanged bool, err error) {
	if f == nil || f.Body == nil {
		if etag == "" {
			return nil, false,
				errors.New("the origin answered that nothing changed, although it was not asked that: check the caches between it and here")
		}
		return nil, true, nil
	}
	signed, err = fetch.Read(f.Body, f.Length, most)
	if e, ok := errors.AsType[*fetch.TooLargeError](err); ok {
		return nil, false, refuse(WhyTooLarge, "%v", e)
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the bundle: %w", err)
	}
	return signed, false, nil
}
