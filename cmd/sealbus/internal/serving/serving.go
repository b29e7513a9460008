// Package serving listens on an address of this machine, for the commands that take requests.
package serving

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/errtext"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// Address is where to serve: another machine reaches it only if a host was given. Flag names the flag.
func Address(flag, text string) (string, error) {
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil || port == "" {
		return "", ui.Usage("give a port, such as 8080, or HOST:PORT", "--%s: %q is no address", flag, text)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// Listen listens on the address.
func Listen(flag, text string) (net.Listener, error) {
	addr, err := Address(flag, text)
	if err != nil {
		return nil, err
	}
	listening, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, ui.Usage("give another port or address with --"+flag+
			", or end the program that uses this one", "cannot listen on %s: %w", addr,
			errtext.Innermost(err))
	}
	return listening, nil
}

// Loopback reports whether only this machine reaches the address.
func Loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// Until serves until ctx ends. Then it accepts no more, and finishes what is under way, for so long at most.
func Until(ctx context.Context, server *http.Server, on net.Listener, patience time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(on) }()
	select {
	case err := <-ended:
		return ui.Unavailable("start it again", "serving: %w", err)
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		return ui.Unavailable("what was not answered comes again", "ending: %w", err)
	}
	return nil
}
