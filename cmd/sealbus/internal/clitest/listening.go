package clitest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// liveText is a stream that is read while it is written.
type liveText struct {
	mu    sync.Mutex
	b     bytes.Buffer
	fault error // of each write; nil = none
}

func (l *liveText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return 0, l.fault
	}
	return l.b.Write(p)
}

// Cut is the end of who reads the stream.
func (l *liveText) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = syscall.EPIPE
}

// Fill is the end of the space for the stream.
func (l *liveText) Fill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = syscall.ENOSPC
}

func (l *liveText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Listening is a listen command that runs.
type Listening struct {
	*Bench
	Stdout, Stderr liveText
	url            string // of --http
	stop           context.CancelFunc
	ended          chan int
}

func (b *Bench) Listen(more ...string) *Listening {
	b.T.Helper()
	return b.Start(append([]string{"listen", "--trust", b.Path("trust.dsse"), "--roots", b.Path("roots.json"),
		"--allow-source", OrderSource}, more...)...)
}

// Start starts a command that goes on until End.
func (b *Bench) Start(args ...string) *Listening {
	b.T.Helper()
	l := &Listening{Bench: b, ended: make(chan int, 1)}
	ctx, cancel := context.WithCancel(b.T.Context())
	l.stop = cancel
	env := ui.System{
		Now: func() time.Time { return b.Now }, Getenv: func(string) string { return "" },
		Terminal: func(io.Writer) bool { return b.Terminal },
	}
	go func() { l.ended <- cli.Run(ctx, args, strings.NewReader(""), &l.Stdout, &l.Stderr, env) }()
	b.T.Cleanup(func() { l.End() })
	return l
}

// Serve listens on a free port.
func (b *Bench) Serve(more ...string) *Listening {
	b.T.Helper()
	l := b.Listen(append([]string{"--http", "127.0.0.1:0"}, more...)...)
	l.Address()
	return l
}

// Address waits until the command listens, and is its URL.
func (l *Listening) Address() string {
	l.T.Helper()
	address := regexp.MustCompile(`listening on (http://\S+/)`)
	l.Until("it listens", func() bool {
		if m := address.FindStringSubmatch(l.Stderr.String()); m != nil {
			l.url = m[1]
		}
		return l.url != ""
	})
	return l.url
}

// Until waits for what is sure to come.
func (l *Listening) Until(what string, done func() bool) {
	l.T.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		select {
		case code := <-l.ended:
			l.ended <- code
			if !done() {
				l.T.Fatalf("%s: ended with %d\n%s%s", what, code, l.Stdout.String(), l.Stderr.String())
			}
			return
		default:
		}
		if time.Now().After(deadline) {
			l.T.Fatalf("%s: not in time\n%s%s", what, l.Stdout.String(), l.Stderr.String())
		}
	}
}

// End is Ctrl-C; it returns the exit status.
func (l *Listening) End() int {
	l.T.Helper()
	l.stop()
	return l.Wait()
}

func (l *Listening) Wait() int {
	l.T.Helper()
	select {
	case code := <-l.ended:
		l.ended <- code
		return code
	case <-time.After(time.Minute):
		l.T.Fatalf("it does not end\n%s", l.Stderr.String())
		return -1
	}
}

func (l *Listening) Post(body string) (int, *HeardResult) {
	l.T.Helper()
	status, answer := l.Send(http.MethodPost, body,
		http.Header{"Content-Type": {"application/cloudevents+json"}})
	var h HeardResult
	if err := json.Unmarshal(answer, &h); err != nil {
		l.T.Fatalf("%d %s: %v", status, answer, err)
	}
	return status, &h
}

func (l *Listening) Send(method, body string, header http.Header) (int, []byte) {
	l.T.Helper()
	req, err := http.NewRequestWithContext(l.T.Context(), method, l.url, strings.NewReader(body))
	l.Check(err)
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	l.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	l.Check(err)
	return resp.StatusCode, answer
}

// receiver is what --forward-to posts to.
type receiver struct {
	*httptest.Server
	Mu     sync.Mutex
	Status []int // of the answers; the last one stays
	Answer string
	Got    []*http.Request
	bodies []string
}

func NewReceiver(t *testing.T, status ...int) *receiver {
	r := &receiver{Status: status}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.Mu.Lock()
	defer r.Mu.Unlock()
	r.Got, r.bodies = append(r.Got, req), append(r.bodies, string(body))
	status := r.Status[0]
	if len(r.Status) > 1 {
		r.Status = r.Status[1:]
	}
	if status/100 == 3 {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, r.Answer)
}

func (r *receiver) Received() []string {
	r.Mu.Lock()
	defer r.Mu.Unlock()
	return append([]string(nil), r.bodies...)
}

func NewListenBench(t *testing.T) *Bench {
	b := New(t)
	b.Org(nil, OrderSource)
	return b
}

func (b *Bench) Sealed(id string) string { return b.Must(Order(id), b.Seal()...) }
