// Package errtext says in plain words what went wrong: which host was not reached and for what, what AWS
// said, and the rest without the names of the packages that an error came through. It is the only place that
// looks into the text of an error.
package errtext

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Unreached is the error of a network: which host and port was not reached, for what, and why.
type Unreached struct {
	where string // HOST:PORT
	what  string // for what
	err   error
}

func (e *Unreached) Error() string {
	text := fmt.Sprintf("cannot reach %s for %s", e.where, e.what)
	if e.where == "" {
		text = "cannot reach " + e.what
	}
	return text + ": " + whyUnreached(e.err)
}

func (e *Unreached) Unwrap() error { return e.err }

// Reached is err, or what says which host was not reached, if that is what went wrong.
func Reached(what string, err error) error {
	if done, ok := errors.AsType[*Unreached](err); ok {
		return done
	}
	if !IsNetwork(err) {
		return err
	}
	return &Unreached{where: whereTo(err), what: what, err: err}
}

// ReachedAt is reached for an error that may not say where the connection was to.
func ReachedAt(where, what string, err error) error {
	err = Reached(what, err)
	if u, ok := err.(*Unreached); ok && u.where == "" {
		u.where = where
	}
	return err
}

// IsNetwork reports whether there was no complete answer.
func IsNetwork(err error) bool {
	if _, answered := errors.AsType[smithy.APIError](err); answered {
		return false
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return true
	}
	return isCertificate(err) || isBrokenOff(err) || errors.Is(err, context.DeadlineExceeded)
}

// isBrokenOff reports whether the connection ended before there was an answer.
func isBrokenOff(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return err != nil && strings.Contains(err.Error(), closedIdle)
}

// closedIdle is in the text of an error that net/http does not export.
const closedIdle = "http: server closed idle connection"

func isCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

// whereTo is the HOST:PORT of a connection that failed; "" = nothing in the error says so.
func whereTo(err error) string {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if where := HostPort(e.URL); where != "" {
			return where
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Addr != nil {
		return e.Addr.String()
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e.Name
	}
	return ""
}

// HostPort is HOST:PORT of a URL; "" = it has none.
func HostPort(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return ""
	case u.Port() != "":
		return u.Host
	case u.Scheme == "http":
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return net.JoinHostPort(u.Hostname(), "443")
}

// whyUnreached is a network's error in plain words.
func whyUnreached(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "there is no host of that name"
		}
		return "its name cannot be looked up now"
	}
	switch timeout, ok := errors.AsType[net.Error](err); {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case isBrokenOff(err):
		return "the connection was broken off"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to it from this machine"
	case errors.Is(err, context.DeadlineExceeded), ok && timeout.Timeout():
		return "no answer in time"
	case isCertificate(err):
		return "its certificate is not trusted: " + Innermost(err).Error()
	}
	return Innermost(err).Error()
}

func Innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// answered finds the status of an answer that trust.HTTPSOrigin gives as text.
var answered = regexp.MustCompile(`the answer is (\d{3}) `)

// MayPass reports whether a call that failed may succeed when it is made again, without anything being
// changed.
func MayPass(err error) bool {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return WorthRetrying(api) || statusOf(err) >= 500 || statusOf(err) == http.StatusTooManyRequests
	}
	if m := answered.FindStringSubmatch(err.Error()); m != nil {
		status, _ := strconv.Atoi(m[1]) // three digits
		return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
	}
	return IsNetwork(err) && !isCertificate(err)
}

func statusOf(err error) int {
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return answer.HTTPStatusCode()
	}
	return 0
}
