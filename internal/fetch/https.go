// Package fetch follows a document at an HTTPS address: a trust bundle, or the key set of an issuer of
// tokens. HTTPS makes one request, bounded in bytes. Shared makes one request at a time for all callers.
//
// The address is the operator's own. An address that a stranger can influence is for internal/onefetch.
package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// ErrNotFound is (wrapped in) the error of HTTPS.Fetch for the answers 404 and 403: there is no such file, or
// the origin does not say whether there is.
var ErrNotFound = errors.New("there is no such file")

// Answer is the answer of an origin.
type Answer struct {
	Body   io.ReadCloser // nil = unchanged since the ETag
	Length int64         // of Body, in bytes, as the origin states it; 0 or less = not stated
	ETag   string        // of Body; "" = none
	MaxAge time.Duration // how long the answer is fresh, as the origin states it; 0 = not stated
}

// TooLargeError is the error of Read.
type TooLargeError struct {
	Stated int64 // bytes, as the origin states them; 0 = more bytes came than are read
	Most   int64 // bytes that are read
}

// Error says how many bytes there are, if that is known.
func (e *TooLargeError) Error() string {
	if e.Stated > 0 {
		return fmt.Sprintf("%d bytes, more than %d", e.Stated, e.Most)
	}
	return fmt.Sprintf("more than %d bytes", e.Most)
}

// Read reads and closes the body of an answer, of at most most bytes.
func Read(body io.ReadCloser, length, most int64) ([]byte, error) {
	defer func() { _ = body.Close() }() // was only read
	if length > most {
		return nil, &TooLargeError{length, most}
	}
	text, err := io.ReadAll(io.LimitReader(body, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > most:
		return nil, &TooLargeError{0, most}
	}
	return text, nil
}

// HTTPS is an origin at a URL.
type HTTPS struct {
	url    *url.URL
	client *http.Client
	noun   string
}

// ParseURL reads a URL of the operator's, which must be https, or also http with unsafeAllowHTTP. The noun
// says in errors what is there, such as "bundle".
func ParseURL(rawURL, noun string, unsafeAllowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("the URL of the %s cannot be parsed: write it as https://HOST/PATH", noun)
	}
	switch {
	case u.Scheme == "http" && !unsafeAllowHTTP:
		return nil,
			fmt.Errorf("the URL of the %s is http://: use https:// (UnsafeAllowHTTP permits it)", noun)
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "", u.Opaque != "":
		return nil, fmt.Errorf("the URL of the %s is not https://HOST/PATH", noun)
	case u.User != nil:
		return nil, fmt.Errorf("the URL of the %s has user information: "+
			"send credentials by the transport of Options.Client", noun)
	case u.Fragment != "":
		return nil, fmt.Errorf("the URL of the %s has a fragment, which no server sees: remove it", noun)
	}
	return u, nil
}

// New is the origin at that URL, which ParseURL reads. The client is nil, or one of the operator's own; it
// follows a redirect only to the same host and only over HTTPS.
func New(rawURL, noun string, client *http.Client, unsafeAllowHTTP bool) (*HTTPS, error) {
	u, err := ParseURL(rawURL, noun, unsafeAllowHTTP)
	if err != nil {
		return nil, err
	}
	if c := client; c != nil {
		if err := errors.Join(nilcheck.Typed("the Transport of Options.Client", c.Transport),
			nilcheck.Typed("the Jar of Options.Client", c.Jar)); err != nil {
			return nil, err
		}
	}
	return &HTTPS{url: u, client: bounded(client, u, noun), noun: noun}, nil
}

// bounded is the client, with our rules for redirects.
func bounded(client *http.Client, origin *url.URL, noun string) *http.Client {
	c := http.Client{Transport: NewTransport()}
	if client != nil {
		c = *client
	}
	theirs := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if err := checkRedirect(origin, req.URL, len(via), noun); err != nil || theirs == nil {
			return err
		}
		return theirs(req, via)
	}
	return &c
}

// NewTransport keeps no idle connections. A connection that was idle while the process was frozen is dead,
// and noticing that takes longer than making a new one.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, DisableCompression: true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: maxHeader,
	}
}

func checkRedirect(origin, to *url.URL, times int, noun string) error {
	switch {
	case to.Scheme != origin.Scheme && to.Scheme != "https":
		return fmt.Errorf("it redirects to a URL that is not https: have it name the %s's own URL", noun)
	case !strings.EqualFold(to.Hostname(), origin.Hostname()) || to.Scheme == origin.Scheme &&
		Port(to) != Port(origin):
		return fmt.Errorf("it redirects to another host, %q: name that host's URL if it is the one you mean",
			keydoc.Clip(to.Host))
	case to.User != nil:
		return errors.New("it redirects to a URL with user information")
	case times > maxRedirects:
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// Port is the port of a URL, also if it is the usual one of its scheme.
func Port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
}

// String is the URL without its query, in which a token may stand.
func (o *HTTPS) String() string {
	return o.url.Scheme + "://" + o.url.Host + o.url.EscapedPath()
}

// URL is the whole URL, for tests: it may have a token in its query.
func (o *HTTPS) URL() string { return o.url.String() }

// Beside is the URL of the other file, with the same query, in which a token may stand (RFC 3986 section
// 5.2).
func (o *HTTPS) Beside(name string) *HTTPS {
	return &HTTPS{url: o.url.ResolveReference(&url.URL{Path: name, RawQuery: o.url.RawQuery}),
		client: o.client, noun: o.noun}
}

// Fetch asks with If-None-Match (RFC 9110 section 13.1.2). It accepts no compressed answer, so that the bound
// on the bytes that are read is also the bound on the bytes that are kept.
func (o *HTTPS) Fetch(ctx context.Context, etag string) (*Answer, error) {
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
	got, err := o.answered(resp)
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

func (o *HTTPS) answered(resp *http.Response) (*Answer, error) {
	got := &Answer{MaxAge: maxAgeOf(resp.Header)}
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode == http.StatusNotModified:
		return got, nil
	case resp.StatusCode != http.StatusOK:
		return nil, statusError(resp.StatusCode, o.noun)
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return nil, fmt.Errorf("the answer is encoded as %q, which was not asked for: "+
			"have the origin serve the %s as it is", keydoc.Clip(encoding), o.noun)
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

// statusError says what to do about an answer that is not the document.
func statusError(code int, noun string) error {
	fix := "check the URL and what serves it"
	switch {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		fix = fmt.Sprintf("the origin does not allow it: give this program access, or make the %s public, "+
			"which it may be", noun)
	case code == http.StatusNotFound || code == http.StatusGone:
		fix = fmt.Sprintf("there is no %s: check the URL, and that one was published there", noun)
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
