package clientcredentials

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/sealbus/sealbus/internal/fetch"
	"github.com/sealbus/sealbus/internal/jsontext"
)

const (
	// maxAnswer bounds an answer of the token endpoint, in bytes. A token of Cognito has 1 to 4 KiB.
	maxAnswer = 64 << 10
	// maxToken is the longest token, in bytes: package authn takes no longer one.
	maxToken = 16 << 10
)

// newClient is what package oauth2 asks with. It follows no redirect.
func newClient(base http.RoundTripper) *http.Client { return &http.Client{Transport: strict{base}} }

// strict is a transport that lets only an answer through which package oauth2, which is lenient, can read in
// one way. It refuses others by an answerError. An error of the endpoint loses its text, but for its code.
type strict struct{ base http.RoundTripper }

// answerError is an error of our own about an answer. It has no text of the answer.
type answerError struct{ error }

func (e answerError) Unwrap() error { return e.error }

// RoundTrip is the method of http.RoundTripper.
func (t strict) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "sealbus")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	text, err := fetch.Read(resp.Body, resp.ContentLength, maxAnswer)
	if err != nil {
		if _, ok := errors.AsType[*fetch.TooLargeError](err); ok {
			return nil, answerError{fmt.Errorf("the answer has %w: check the URL of the token endpoint", err)}
		}
		return nil, err
	}
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return nil, answerError{fmt.Errorf("%w: it redirects (%d), and the secret does not follow: "+
			"give the URL where the token endpoint is", ErrRefused, code)}
	case code >= 400:
		text = fmt.Appendf(nil, `{"error":%q}`, errorCode(text))
	case !readable(resp.Header, text):
		return nil, answerError{errors.New("the answer is no strict JSON with a token (RFC 6749, section 5.1): " +
			"check the URL of the token endpoint")}
	}
	resp.Header.Set("Content-Type", "application/json")
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return resp, nil
}

// readable reports whether the text of an answer is strict JSON with members of the right types.
func readable(header http.Header, text []byte) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	encoding := header.Get("Content-Encoding")
	if err != nil || media != "application/json" || encoding != "" && !strings.EqualFold(encoding, "identity") {
		return false
	}
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		name := string(o.Name)
		switch {
		case slices.Contains([]string{"access_token", "token_type", "scope", "refresh_token", "error"}, name):
			_ = d.String()
		case name == "expires_in" && d.PeekKind() != '"' && d.PeekKind() != '0':
			return false
		case slices.ContainsFunc(members, func(m string) bool { return m != name && strings.EqualFold(m, name) }):
			return false // package oauth2 would take it for the member
		default:
			d.SkipValue()
		}
	}
	return d.End() == nil
}

// members are the members of an answer that package oauth2 reads.
var members = []string{"access_token", "token_type", "refresh_token", "expires_in", "error",
	"error_description", "error_uri"}

// codes are the errors of a token endpoint (RFC 6749, section 5.2; RFC 8707, section 2), and what to do.
var codes = map[string]string{
	"invalid_request":        "check the parameters, and whether the secret goes into the body",
	"invalid_client":         "check the client ID and the secret",
	"invalid_grant":          "have the issuer allow client credentials for this client",
	"unauthorized_client":    "have the issuer allow client credentials for this client",
	"unsupported_grant_type": "check the URL: the endpoint has no client credentials",
	"invalid_scope":          "check the scopes, and which the issuer gives this client",
	"invalid_target":         "check the resource or the audience in the parameters",
}

// errorCode is the code of an error, if it is one of codes; else "".
func errorCode(text []byte) string {
	code := ""
	d := jsontext.NewDecoder(text)
	for o := d.Object(); d.Member(&o); {
		if string(o.Name) == "error" && d.PeekKind() == '"' {
			code = d.String()
		} else {
			d.SkipValue()
		}
	}
	if d.End() != nil || codes[code] == "" {
		return ""
	}
	return code
}

// request asks for a token once, and gives how long it is good from the request on.
func (s *source) request(ctx context.Context) (*oauth2.Token, time.Duration, error) {
	t, err := s.config.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	if err != nil {
		return nil, 0, failed(err)
	}
	life, ok := lifeOf(t.Extra("expires_in"))
	scope, _ := t.Extra("scope").(string)
	switch {
	case !strings.EqualFold(t.TokenType, "Bearer"): // RFC 6749, section 7.1
		return nil, 0, errors.New("the token is not of the type Bearer, which is the only one that is known here")
	case !isBearer(t.AccessToken):
		return nil, 0, fmt.Errorf("the answer has no token of at most %d bytes that RFC 6750 (section 2.1) allows",
			maxToken)
	case !ok:
		return nil, 0, errors.New("the token is expired already: check the clock of the issuer")
	}
	if scope != "" { // otherwise it is the one that was asked for (RFC 6749, section 5.1)
		for _, want := range s.config.Scopes {
			if !slices.Contains(strings.Split(scope, " "), want) {
				return nil, 0, fmt.Errorf("%w: the token lacks the scope %.80q: "+
					"have the issuer give it to this client", ErrRefused, want)
			}
		}
	}
	return &oauth2.Token{AccessToken: t.AccessToken, TokenType: "Bearer"}, life, nil
}

// lifeOf is how long a token is good, as expires_in says: seconds, as a number or, of some issuers, a text.
func lifeOf(expiresIn any) (time.Duration, bool) {
	var seconds float64
	switch v := expiresIn.(type) {
	case nil:
		return defaultLife, true
	case float64:
		seconds = v
	case string:
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return 0, false
		}
		seconds = float64(n)
	}
	return time.Duration(math.Min(seconds, maxLife.Seconds())) * time.Second, seconds >= 1
}

// isBearer is the grammar of RFC 6750, section 2.1.
func isBearer(token string) bool {
	text := strings.TrimRight(token, "=")
	return text != "" && len(token) <= maxToken && strings.IndexFunc(text, func(r rune) bool {
		return (r|0x20 < 'a' || 'z' < r|0x20) && (r < '0' || '9' < r) && !strings.ContainsRune("-._~+/", r)
	}) < 0
}

// failed is the error without what it quotes: package oauth2 has the answer in its errors, and net/http the
// URL.
func failed(err error) error {
	if e, ok := errors.AsType[answerError](err); ok {
		return e.error
	}
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return statusError(e.Response.StatusCode, e.ErrorCode)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return unquoted(e.Err)
	}
	return errors.New("the answer has no token: check the URL of the token endpoint")
}

// unquoted is an error of a transport, if it is of a kind that quotes nothing of an answer. net/http quotes
// the lines of one that it cannot read, and these may have the token, or the secret that was sent.
func unquoted(err error) error {
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF, io.EOF,
		http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return known
		}
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[net.Error](err); ok {
		return e
	}
	return errors.New(
		"the endpoint cannot be reached, or its answer is no HTTP: check the URL and the transport")
}

func statusError(status int, code string) error {
	name := strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		return fmt.Errorf("the token endpoint answers %s: it is asked again", name)
	case codes[code] != "":
		return fmt.Errorf("%w: %s (%d): %s", ErrRefused, code, status, codes[code])
	case status < 400:
		return errors.New("the token endpoint answers with an error in the place of a token")
	}
	return fmt.Errorf("%w: %s: check the URL of the token endpoint", ErrRefused, name)
}
