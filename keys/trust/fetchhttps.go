package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/nilcheck"
)

const (
	// maxRedirects bounds the redirects of one fetch. All of them lead to the same host.
	maxRedirects = 3
	// maxETag bounds what is kept to be sent back, in bytes.
	maxETag = 1 << 10
	// maxHeader bounds the head of an answer, in bytes.
	maxHeader = 64 << 10
)

type httpsOrigin struct {
	url    *url.URL
	client *http.Client
}

var _ Directory = (*httpsOrigin)(nil)

// HTTPSOrigin is the Origin at that URL, as FetchBundle uses it. Of the options it reads Client and
// UnsafeAllowHTTP.
func HTTPSOrigin(rawURL string, opts *Options) (Origin, error) {
	if opts == nil {
		opts = &Options{}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("trust: the URL of the bundle cannot be parsed: write it as https://HOST/PATH")
	}
	switch {
	case u.Scheme == "http" && !opts.UnsafeAllowHTTP:
		return nil,
			errors.New("trust: the URL of the bundle is http://: use https:// (UnsafeAllowHTTP permits it)")
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return nil, errors.New("trust: the URL of the bundle is not https://HOST/PATH")
	case u.User != nil:
		return nil,
			errors.New("trust: the URL of the bundle has user information: send credentials by the transport of Options.Client")
	case u.Fragment != "":
		return nil, errors.New("trust: the URL of the bundle has a fragment, which no server sees: remove it")
	}
	if c := opts.Client; c != nil {
		if err := errors.Join(nilcheck.Typed("trust: the Transport of Options.Client", c.Transport),
			nilcheck.Typed("trust: the Jar of Options.Client", c.Jar)); err != nil {
			return nil, err
		}
	}
	return &httpsOrigin{url: u, client: bounded(opts.Client, u)}, nil
}

// bounded is the client, with our rules for redirects.
func bounded(client *http.Client, origin *url.URL) *http.Client {
	c := http.Client{Transport: newTransport()}
	if client != nil {
		c = *client
	}
	theirs := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := checkRedirect(origin, req.URL, len(via)); err != nil || theirs == nil {
			return err
		}
		return theirs(req, via)
	}
	return &c
}

// newTransport keeps no idle connections. A connection that was idle while the process was frozen is dead,
// and noticing that takes longer than making a new one.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

func checkRedirect(origin, to *url.URL, times int) error {
	switch {
	case to.Scheme != origin.Scheme && to.Scheme != "https":
		return errors.New("it redirects to a URL that is not https: have it name the bundle's own URL")
	case !strings.EqualFold(to.Hostname(), origin.Hostname()) || to.Scheme == origin.Scheme &&
		port(to) != port(origin):
		return fmt.Errorf("it redirects to another host, %q: name that host's URL if it is the one you mean",
			keydoc.Clip(to.Host))
	case to.User != nil:
		return errors.New("it redirects to a URL with user information")
	case times > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}

// String is the URL without its query, in which a token may stand.
func (o *httpsOrigin) String() string {
	return o.url.Scheme + "://" + o.url.Host + o.url.EscapedPath()
}

// Beside is the URL of the other file, with the same query, in which a token may stand (RFC 3986 section
// 5.2).
func (o *httpsOrigin) Beside(name string) Origin {
	return &httpsOrigin{url: o.url.ResolveReference(&url.URL{Path: name, RawQuery: o.url.RawQuery}),
		client: o.client}
}

// Fetch asks with If-None-Match (RFC 9110 section 13.1.2). It accepts no compressed answer, so that the bound
// on the bytes that are read is also the bound on the bytes that are kept.
func (o *httpsOrigin) Fetch(ctx context.Context, etag string) (*Fetched, error) {
	req := (&http.Request{Method: http.MethodGet, URL: o.url, Header: http.Header{
		"Accept-Encoding": {"identity"}, "User-Agent": {"sealbus"},
	}}).WithContext(ctx)
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	got, err := answered(resp)
	if err != nil || got.Body == nil {
		_ = resp.Body.Close() // is not read
	}
	return got, err
}

// withoutURL is the cause of a *url.Error, which quotes the URL with its query.
func withoutURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func answered(resp *http.Response) (*Fetched, error) {
	got := &Fetched{MaxAge: maxAgeOf(resp.Header)}
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode == http.StatusNotModified:
		return got, nil
	case resp.StatusCode != http.StatusOK:
		return nil, statusError(resp.StatusCode)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return nil,
			fmt.Errorf("the answer is encoded as %q, which was not asked for: have the origin serve the bundle as it is", keydoc.Clip(encoding))
	}
	got.Body, got.Length = resp.Body, resp.ContentLength
	if etag := resp.Header.Get("ETag"); isETag(etag) {
		got.ETag = etag
	}
	return got, nil
}

// isETag reports whether s can be sent back in a header.
func isETag(s string) bool {
	return len(s) <= maxETag && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// statusError says what to do about an answer that is no bundle.
func statusError(code int) error {
	fix := "check the URL and what serves it"
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		fix = "the origin does not allow it: give this program access, or make the bundle public, which it may be"
	case code == http.StatusNotFound || code == http.StatusGone:
		fix = "there is no bundle: check the URL, and that one was published there"
	case code == http.StatusTooManyRequests:
		fix = "the origin is asked too often: lengthen the refresh hint"
	case code >= 500:
		fix = "the origin fails: see its log; it is asked again"
	}
	err := fmt.Errorf("the answer is %d %s: %s", code, http.StatusText(code), fix)
	if code == http.StatusNotFound || code == http.StatusForbidden { // a store may not say which names exist
		return notFound{err}
	}
	return err
}

// notFound is an error that is ErrNotFound in addition.
type notFound struct{ error }

func (notFound) Is(target error) bool { return target == ErrNotFound }
func (e notFound) Unwrap() error      { return e.error }

// maxAgeOf is the max-age of Cache-Control (RFC 9111 section 5.2.2.1); 0 = none. It ignores the header Age of
// a cache, which could only make it shorter.
func maxAgeOf(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
			return time.Duration(seconds) * time.Second
		}
	}
	return 0
}
