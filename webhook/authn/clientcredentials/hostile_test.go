package clientcredentials_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/webhook/authn/clientcredentials"
)

// broken is the URL of an endpoint that answers each request with that text, which is no HTTP.
func broken(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				id, password, _ := r.BasicAuth()
				_, _ = io.WriteString(c, strings.ReplaceAll(text, "SECRET", id+password))
			}
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String() + "/token"
}

// The errors of net/http quote an answer that it cannot read. A token, or a secret that the answer repeats,
// would be in a log.
func TestBrokenAnswersAreNotQuoted(t *testing.T) {
	const canary = "canary-of-the-answer"
	for _, answer := range []string{
		`{"access_token":"canary-of-the-answer SECRET"}` + "\r\n\r\n",
		"HTTP/1.1 canary-of-the-answer\r\n\r\n",
		"HTTP/canary-of-the-answer 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\ncanary-of-the-answer SECRET\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: canary-of-the-answer\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: canary-of-the-answer\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ncanary-of-the-answer\r\n",
		"HTTP/1.1 302 Found\r\nLocation: :canary-of-the-answer\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: canary-of-the-answer\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 400 canary-of-the-answer\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 500 canary-of-the-answer\r\nContent-Length: 20\r\n\r\ncanary-of-the-answer",
	} {
		s, err := clientcredentials.New(broken(t, answer), "4client", "the-secret",
			&clientcredentials.Options{UnsafeAllowHTTP: true})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Token(t.Context())
		if err == nil {
			t.Errorf("%q is a token", answer)
		}
		for _, text := range secrettest.Prints(err) {
			secrettest.NotShown(t, answer, text, []byte(canary), "the-secret")
		}
	}
}
