package dialguard

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
)

// Reason says why the guard refuses, for programs.
type Reason string

// The Reasons. All but NotPublic are found before DNS is asked.
const (
	BadURL      Reason = "bad_url"            // it cannot be parsed, or has no //HOST
	BadScheme   Reason = "scheme_not_allowed" // it is not https
	UserInfo    Reason = "user_info"          // it has a user name or a password
	BadHost     Reason = "bad_host"           // no host, or none that has one reading only
	NumericHost Reason = "numeric_host"       // a number that some programs read as an IPv4 address
	LocalName   Reason = "local_name"         // localhost, or a name without a domain
	ZoneID      Reason = "zone_id"            // an IPv6 address of one network interface
	PortRefused Reason = "port_not_allowed"   // another port
	NotPublic   Reason = "address_not_public" // an address that is not of the public Internet
)

var texts = map[Reason]string{
	BadURL:      "the URL is not https://HOST/PATH",
	BadScheme:   "the URL is not https",
	UserInfo:    "the URL has user information",
	BadHost:     "the host of the URL is no plain name and no address",
	NumericHost: "the host of the URL is a number",
	LocalName:   "the host of the URL is a local name",
	ZoneID:      "the address in the URL has a zone",
	PortRefused: "the port of the URL is not allowed",
	NotPublic:   "the host is at an address that is not of the public Internet",
}

// RefusedError is a refusal by the guard. It is permanent as long as the URL, or the DNS record of its host,
// stays as it is. Its text has no address.
type RefusedError struct {
	Reason Reason
	Rule   string // of NotPublic: the network that was met, for operators; a tenant must not see it
}

func (e *RefusedError) Error() string { return "refused: " + texts[e.Reason] }

func refuse(reason Reason) error { return &RefusedError{Reason: reason} }

// NetworkError is a failure of the network or of the other side. It is transient. Its text has no address, no
// name of a server and no time, because the causes of package net have all of these: the address that a name
// leads to, the own address, the DNS server. Unwrap gives the cause, for operators.
type NetworkError struct{ cause error }

func (e *NetworkError) Unwrap() error { return e.cause }

// Timeout reports whether there was no answer in time.
func (e *NetworkError) Timeout() bool {
	var timeout net.Error
	return errors.Is(e.cause, context.DeadlineExceeded) || errors.As(e.cause, &timeout) && timeout.Timeout()
}

func (e *NetworkError) Error() string {
	_, isDNS := errors.AsType[*net.DNSError](e.cause)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](e.cause)
	switch {
	case errors.Is(e.cause, context.Canceled):
		return "the request was given up"
	case isDNS:
		return "the name of the host cannot be resolved"
	case e.Timeout():
		return "no answer in time"
	case isCertificate:
		return "the certificate of the host is not accepted"
	}
	if errno, ok := errors.AsType[syscall.Errno](e.cause); ok {
		return "the connection failed: " + errno.Error()
	}
	return "the connection failed"
}

// safe is an error whose text a tenant may see.
func safe(err error) error {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused
	}
	return &NetworkError{cause: err}
}
