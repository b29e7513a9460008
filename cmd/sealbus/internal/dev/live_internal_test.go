package dev

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/localaws"
)

// gate is a terminal that stands still until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(p)
}

func testEnv(stdout, stderr io.Writer) *ui.Env {
	return ui.NewEnv(strings.NewReader(""), stdout, stderr, ui.System{
		Now: time.Now, Getenv: func(string) string { return "" }, Terminal: func(io.Writer) bool { return false },
	})
}

// A terminal that stands still makes no one wait. The lines that it missed are counted, and that is said.
func TestSlowTerminalStopsNothing(t *testing.T) {
	out, talk := &gate{open: make(chan struct{})}, &gate{open: make(chan struct{})}
	close(talk.open)
	w := newWatcher(testEnv(out, talk))
	ended := make(chan error, 1)
	go func() { ended <- w.tell(t.Context()) }()
	const all = 3 * mostWaiting
	for i := range all {
		w.add(happening{kind: onBus, where: "central", body: fmt.Sprintf(`{"id":"%d"}`, i)})
	}
	big := strings.Repeat("x", mostWaitingBytes)
	w.add(happening{kind: onBus, where: "central", body: big})
	w.mu.Lock()
	if w.bytes > mostWaitingBytes || len(w.waiting) > mostWaiting || w.lost < all-2*mostWaiting {
		t.Errorf("%d bytes and %d lines wait, %d are lost", w.bytes, len(w.waiting), w.lost)
	}
	w.mu.Unlock()
	close(out.open)
	w.close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var lost int
	for line := range strings.Lines(talk.text.String()) {
		var n int
		if _, err := fmt.Sscanf(line, "sealbus: warning: %d", &n); err == nil {
			lost += n
		}
	}
	if shown := strings.Count(out.text.String(), "\n"); shown+lost != all+1 {
		t.Errorf("%d lines and %d lost, of %d", shown, lost, all+1)
	}
}

// The output of a function is cut into lines of bounded length, with its name.
func TestFunctionOutputIsLines(t *testing.T) {
	var talk bytes.Buffer
	w := newWatcher(testEnv(io.Discard, &talk))
	o := &outputOf{w: w, name: "billing"}
	for _, part := range []string{"one\ntw", "o\r\n", strings.Repeat("x", 3*maxOutputLine),
		"\n\x1b[31mred\nrest"} {
		if n, err := o.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d %v", n, err)
		}
	}
	w.close()
	if err := w.tell(t.Context()); err != nil {
		t.Error(err)
	}
	lines := strings.Split(talk.String(), "\n")
	if len(lines) != 5 || lines[0] != "billing | one" || lines[1] != "billing | two" ||
		len(lines[2]) > maxOutputLine+20 || !strings.HasSuffix(lines[2], "…") ||
		lines[3] != `billing | \x1b[31mred` {
		t.Errorf("%d lines: %.200q", len(lines), lines)
	}
}

// An address that other machines reach is warned of, and programs of this machine get one that leads there.
func TestOtherMachinesAreWarnedOf(t *testing.T) {
	for ip, warned := range map[string]bool{"127.0.0.1": false, "::1": false, "192.0.2.1": true,
		"0.0.0.0": true} {
		var talk bytes.Buffer
		warnOfOthers(testEnv(io.Discard, &talk), net.JoinHostPort(ip, "4570"))
		if got := strings.Contains(talk.String(), "warning: any machine that reaches"); got != warned {
			t.Errorf("%s: %s", ip, talk.String())
		}
	}
	for addr, want := range map[string]string{"0.0.0.0:4570": "http://127.0.0.1:4570",
		"[::]:1":       "http://127.0.0.1:1",
		"192.0.2.1:80": "http://192.0.2.1:80", "[::1]:2": "http://[::1]:2"} {
		if got := endpointOf(addr); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
}

// The rule of a consumer matches the sources that it takes.
func TestPatternOfSources(t *testing.T) {
	for want, sources := range map[string][]string{
		`{"source":[{"prefix":""}]}`: nil,
		`{"source":[{"prefix":"https://shop.example/"},"https://other.example/exact"]}`: {"https://shop.example/*", "https://other.example/exact"},
	} {
		if got := patternOf(sources); got != want {
			t.Errorf("%v: %s", sources, got)
		}
	}
}

// A function gets what leads to this server, and no credentials of the person.
func TestEnvironmentOfAFunction(t *testing.T) {
	got := environment([]string{"PATH=/bin", "AWS_PROFILE=prod", "AWS_SECRET_ACCESS_KEY=secret",
		"SEALBUS_HOME=/x", "SEALBUS_QUARANTINE_QUEUE=x"},
		"http://127.0.0.1:1", "/shop")
	want := []string{"PATH=/bin", "AWS_ENDPOINT_URL=http://127.0.0.1:1", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=dev",
		"AWS_SECRET_ACCESS_KEY=dev", "SEALBUS_QUARANTINE_QUEUE=http://127.0.0.1:1/000000000000/quarantine",
		"SEALBUS_HOME=/shop"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
}

// The line of a failure begins with its cause.
func TestCauseOfAFailure(t *testing.T) {
	const many = "of 2 messages are to be delivered again, the first because: consumer: c"
	for want, failure := range map[string]error{
		"consumer: c":             &localaws.FunctionError{Type: "wrapError", Message: "awslambda: 1 of 1 messages are to be delivered again, the first because: consumer: c"},
		"2 " + many:               &localaws.FunctionError{Type: "wrapError", Message: "awslambda: 2 " + many},
		"Sandbox.Timedout: 6 s":   &localaws.FunctionError{Type: "Sandbox.Timedout", Message: "6 s"},
		"the function was closed": errors.New("localaws: the function was closed"),
		"no":                      &localaws.FunctionError{Type: "errorString", Message: "no"},
	} {
		if got := causeOf(failure, 1); got != want {
			t.Errorf("%v: %q", failure, got)
		}
	}
}
