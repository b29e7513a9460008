package trust

import (
	"context"
	"fmt"

	"github.com/sealbus/sealbus/internal/fetch"
)

type httpsOrigin struct{ *fetch.HTTPS }

var _ Directory = httpsOrigin{}

// HTTPSOrigin is the Origin at that URL, as FetchBundle uses it. Of the options it reads Client and
// UnsafeAllowHTTP.
func HTTPSOrigin(rawURL string, opts *Options) (Origin, error) {
	if opts == nil {
		opts = &Options{}
	}
	o, err := fetch.New(rawURL, "bundle", opts.Client, opts.UnsafeAllowHTTP)
	if err != nil {
		return nil, fmt.Errorf("trust: %w", err)
	}
	return httpsOrigin{o}, nil
}

// Beside is the URL of the other file, with the same query, in which a token may stand (RFC 3986 section
// 5.2).
func (o httpsOrigin) Beside(name string) Origin { return httpsOrigin{o.HTTPS.Beside(name)} }

// Fetch asks with If-None-Match (RFC 9110 section 13.1.2).
func (o httpsOrigin) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	got, err := o.HTTPS.Fetch(ctx, etag)
	return (*Fetched)(got), err
}
