package localaws

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// listen opens the port. An address that other machines reach needs Options.UnsafeListen.
func (s *Server) listen() error {
	addr := s.opts.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("localaws: the address %q is not host:port: %w", addr, err)
	}
	if !isLoopback(host) && !s.opts.UnsafeListen {
		return fmt.Errorf("localaws: other machines may reach %q, and could do everything: listen on 127.0.0.1",
			addr)
	}
	if s.listener, err = net.Listen("tcp", addr); err != nil {
		return fmt.Errorf("localaws: %w", err)
	}
	return nil
}

// isLoopback is for hosts that only this machine reaches. A name is looked up nowhere: "localhost" and those
// below it are this machine by RFC 6761, section 6.3.
func isLoopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// isOurs is for names that other machines may call, with Options.UnsafeListen, and that no page in a browser
// can have: addresses, names without a dot, those of private networks, and that of Options.Addr.
func (s *Server) isOurs(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	own, _, _ := net.SplitHostPort(s.opts.Addr) // it was listened at
	private := slices.ContainsFunc([]string{".internal", ".local", ".home.arpa"},
		func(end string) bool { return strings.HasSuffix(host, end) })
	return host != "" && (private || !strings.Contains(host, ".") || strings.EqualFold(host, own) ||
		net.ParseIP(strings.Trim(host, "[]")) != nil)
}

// guard refuses what a page in a browser can send. No SDK sends Origin or Sec-Fetch-Site, and browsers do
// with whatever a page sends elsewhere. A page whose name was pointed at this machine later has that name in
// Host.
func (s *Server) guard(r *http.Request) error {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host // without a port
	}
	switch {
	case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
		return &fault{status: http.StatusForbidden, code: "AccessDeniedException",
			message: "A web page may not call the local AWS."}
	case !isLoopback(host) && !s.opts.UnsafeListen:
		return &fault{status: http.StatusForbidden, code: "AccessDeniedException",
			message: "The local AWS is at an address of this machine: call 127.0.0.1 or localhost."}
	case !isLoopback(host) && !s.isOurs(host):
		return &fault{status: http.StatusForbidden, code: "AccessDeniedException",
			message: "A web page may have any public name: call the local AWS by its IP address, or by the " +
				"name that it listens at."}
	}
	return nil
}
