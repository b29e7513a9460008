package sender

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/sealbus/sealbus/internal/dialguard"
)

// idle is how long a connection is kept for the next request to the same host.
const idle = 30 * time.Second

// Network says which addresses a Sender may call. The guard judges each address that is dialled, after DNS:
// an endpoint cannot lead the sender to the metadata service of its cloud, or to a database beside it.
type Network struct {
	Allow []netip.Prefix // networks that may be called although they are not public; nil = none
	Deny  []netip.Prefix // networks that may not be called although they are public, as your own; nil = none
	Ports []uint16       // nil = 443, and 80 with UnsafePlainHTTP
	Roots *x509.CertPool // certification authorities; nil = those of the system
	// UnsafePlainHTTP also allows http: everyone on the way reads the messages.
	UnsafePlainHTTP bool
}

// newGuard is the transport of a Sender.
func newGuard(n *Network) *dialguard.Guard {
	o := &dialguard.Options{Idle: idle}
	if n != nil {
		o.Allow, o.Deny, o.Ports, o.Roots, o.PlainHTTP = n.Allow, n.Deny, n.Ports, n.Roots, n.UnsafePlainHTTP
	}
	return dialguard.New(o)
}

// Check says what is wrong with an endpoint, for the moment when a tenant sets it up: what Endpoint.Check
// says, and a URL that the guard refuses without asking DNS. Each attempt is judged again, after DNS.
func (s *Sender) Check(e *Endpoint) error {
	if err := e.Check(); err != nil {
		return err
	}
	if guard, ok := s.transport.(*dialguard.Guard); ok {
		if _, err := guard.Check(e.URL); err != nil {
			return fmt.Errorf("sender: endpoint %q: the URL is %w", e.ID, err)
		}
	}
	return nil
}

// isRefused reports whether the guard refused the address.
func isRefused(err error) bool {
	_, refused := errors.AsType[*dialguard.RefusedError](err)
	return refused
}
