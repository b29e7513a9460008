// Package lossy is an HTTP proxy for tests. It loses one answer in twenty after the server has acted, as the
// AWS SDK does now and then (aws-sdk-go-v2 issue 2737): the request is forwarded as a whole, the answer is
// read as a whole, and then the client's connection is cut, before the head of the answer, after it, or in
// the middle of the body.
//
// It counts requests and looks at no clock: which answers are lost depends only on the phase that the test
// chooses. Over all phases, each request of a test that makes them one after another loses its answer once.
package lossy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"github.com/sealbus/sealbus/internal/testbed/cases"
)

// Phases is how many requests there are to one lost answer: 5 % are lost.
const Phases = 20

// Runs are the phases to run a test with, evenly spread: as many as most with SEALBUS_ALL_TESTS=1, otherwise
// a tenth of them, but at least two.
func Runs(most int) (phases []int) {
	n := max(2, cases.Of(min(most, Phases)))
	for i := range n {
		phases = append(phases, i*Phases/n)
	}
	return phases
}

// Proxy is the proxy. It is safe for concurrent use.
type Proxy struct {
	URL string // of the proxy, for clients in place of the server's

	target string
	client *http.Client
	server *httptest.Server

	mu       sync.Mutex
	phase    int
	requests int
	lost     int
}

// Start makes a proxy for the server with that URL. Of each Phases requests it loses the answer to the one
// with the number phase, counted from 0. It ends with the test.
func Start(t testing.TB, target string, phase int) *Proxy {
	t.Helper()
	p := &Proxy{target: target, phase: phase % Phases}
	// A connection for each request: a transport that finds a kept one closed repeats some requests by itself.
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	p.server = httptest.NewServer(p)
	p.URL = p.server.URL
	t.Cleanup(p.server.Close)
	return p
}

// Lost is how many answers were lost up to now.
func (p *Proxy) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// Retryer tries a call up to six times and does not wait in between. The SDK tries three times by default. Of
// some thousand concurrent calls, one would lose three answers in a row now and then, which no test is about.
func Retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 6
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
	})
}

// ServeHTTP forwards one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, body, err := p.forward(r)
	if err != nil { // the server is down: so is the proxy
		panic(http.ErrAbortHandler)
	}
	if way, lose := p.next(); lose {
		cut(w, answer, body, way)
		return
	}
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	if answer.Header.Get("Date") == "" {
		w.Header()["Date"] = nil // else the proxy's own
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(body) // a client that has gone away misses it
}

// forward makes the request and reads the whole answer.
func (p *Proxy) forward(r *http.Request) (*http.Response, []byte, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, nil, err
	}
	// The server acts even if the client goes away, as one behind a network does.
	out, err := http.NewRequest(r.Method, p.target+r.URL.RequestURI(), bytes.NewReader(sent))
	if err != nil {
		return nil, nil, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	out.Header.Del("Accept-Encoding") // the body comes as it is
	answer, err := p.client.Do(out)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// next counts a request, and says whether to lose its answer and in which of the three ways.
func (p *Proxy) next() (way int, lose bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.requests
	p.requests++
	if n%Phases != p.phase {
		return 0, false
	}
	p.lost++
	return (n/Phases + p.phase) % 3, true
}

// cut closes the connection before the answer (0), after its head (1), or in the middle of its body (2). An
// answer without a body is complete with its head: it is lost before.
func cut(w http.ResponseWriter, answer *http.Response, body []byte, way int) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if way == 0 || len(body) == 0 {
		return
	}
	head := answer.Header.Clone()
	head.Set("Content-Length", strconv.Itoa(len(body)))
	head.Del("Transfer-Encoding")
	b := bufio.NewWriter(conn)
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\n", answer.StatusCode, http.StatusText(answer.StatusCode))
	_ = head.Write(b) // to a buffer
	b.WriteString("\r\n")
	if way == 2 {
		b.Write(body[:len(body)/2])
	}
	_ = b.Flush() // a client that has gone away misses it all the same
}
