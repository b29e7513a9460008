package dialguard

import (
	"io"
	"net/http"
	"testing"
)

// TestNoOtherProtocol: with an answer 101 the connection itself becomes the body, which no context ends. The
// guard hands none out and closes the connection.
func TestNoOtherProtocol(t *testing.T) {
	ended := make(chan error, 1)
	server, opts := outside(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			ended <- err
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" +
			"Upgrade: x\r\n\r\nSECRET")
		_ = rw.Flush()
		_, err = io.Copy(io.Discard, conn) // until the guard hangs up
		ended <- err
		_ = conn.Close()
	})
	opts.Resolver = dns("www.example.com", addrs("127.0.0.1"))
	g, _ := watched(opts)
	g.transport.ForceAttemptHTTP2 = false // a server over HTTP/2 has no such answer
	req := must(http.NewRequest(http.MethodPost, urlOf(server, "www.example.com"), nil))
	resp, err := g.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	var first [1]byte
	if n, err := resp.Body.Read(first[:]); n != 0 || err != io.EOF {
		t.Fatalf("read %q, %v", first[:n], err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
