package clientcredentials

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
	"golang.org/x/oauth2"
)

// maxDrained bounds what is read of a 401, so that the connection can be used again, in bytes.
const maxDrained = 64 << 10

// Transport adds the token to requests to those origins, each as https://HOST or https://HOST:PORT. A request
// to another one is an error, and is not sent: also one that follows a redirect. So is a request that has an
// Authorization already.
//
// After a 401 it gets one new token, if none was asked for in the last 30 s, and sends the request again. It
// does not send a request again whose body cannot be read twice (http.Request.GetBody).
//
// base sends the requests; nil = http.DefaultTransport.
func (s *Source) Transport(base http.RoundTripper, origins ...string) (http.RoundTripper, error) {
	if err := nilcheck.Typed("clientcredentials: the transport", base); err != nil {
		return nil, err
	}
	if base == nil {
		base = http.DefaultTransport
	}
	t := &bearer{base: base, source: s.hidden}
	for _, text := range origins {
		u, err := fetch.ParseURL(text, "API", s.hidden().unsafeAllowHTTP)
		switch {
		case err != nil:
			return nil, fmt.Errorf("clientcredentials: %w", err)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "":
			return nil, errors.New("clientcredentials: an origin has a path or a query, which would not bound " +
				"where the token goes: write it as https://HOST")
		}
		t.origins = append(t.origins, originOf(u))
	}
	if len(t.origins) == 0 {
		return nil, errors.New("clientcredentials: no origin: say where the token may go, as https://HOST")
	}
	return t, nil
}

type bearer struct {
	base    http.RoundTripper
	source  redact.Hidden[*source]
	origins []string
}

// originOf is the origin of a URL (RFC 6454, section 4), with its port.
func originOf(u *url.URL) string {
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + " " + fetch.Port(u)
}

// RoundTrip is the method of http.RoundTripper.
func (t *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case !slices.Contains(t.origins, originOf(req.URL)):
		closeBody(req)
		return nil, fmt.Errorf("clientcredentials: the token is not for %.100q: "+
			"give its origin to Transport if it is the one you mean", req.URL.Host)
	case req.Header["Authorization"] != nil:
		closeBody(req)
		return nil, errors.New("clientcredentials: the request has an Authorization already: remove it")
	}
	source := t.source()
	token, err := source.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp, err := t.base.RoundTrip(with(req, token))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	next := source.renewed(req.Context(), token) // for those that follow, if this one cannot be sent again
	if next == nil {
		return resp, nil
	}
	again := with(req, next)
	if req.Body != nil && req.Body != http.NoBody {
		if req.GetBody == nil {
			return resp, nil
		}
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil //nolint:nilerr // the 401 is the answer
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained) // a connection that is not drained is not used again
	_ = resp.Body.Close()                              // is not read further
	return t.base.RoundTrip(again)
}

// with is the request with the token. A transport does not change the request that it is given.
func with(req *http.Request, token *oauth2.Token) *http.Request {
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	return req
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // RoundTripper closes it, also if it fails
	}
}
