package interop_test

import (
	"bytes"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"
)

// server is a process that listens on a port of 127.0.0.1. It is killed at the end of the test at the latest.
type server struct {
	tb      testing.TB
	command func(port string) *exec.Cmd
	port    string
	cmd     *exec.Cmd
	output  *locked
	ended   chan struct{}
}

// locked is a buffer that a process writes while a test may read it.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Bounds of what a server may take: generous, since the machine may be busy.
const (
	startAttempts = 5 // another program may take a port in between
	startPatience = time.Minute
)

// startServer starts the process on a free port and waits until it listens.
func startServer(tb testing.TB, command func(port string) *exec.Cmd) *server {
	tb.Helper()
	s := &server{tb: tb, command: command}
	tb.Cleanup(s.kill)
	for range startAttempts {
		if s.port = freePort(tb); s.start() {
			return s
		}
	}
	tb.Fatalf("the server does not start:\n%s", s.output)
	return nil
}

func freePort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func (s *server) addr() string { return net.JoinHostPort("127.0.0.1", s.port) }

// start starts the process and tells whether it came to listen before it ended.
func (s *server) start() bool {
	s.tb.Helper()
	cmd := s.command(s.port)
	s.output, s.ended = &locked{}, make(chan struct{})
	cmd.Stdout, cmd.Stderr = s.output, s.output
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.cmd = cmd
	ended := s.ended
	go func() {
		cmd.Wait()
		close(ended)
	}()
	for deadline := time.Now().Add(startPatience); time.Now().Before(deadline); {
		if conn, err := net.DialTimeout("tcp", s.addr(), time.Second); err == nil {
			conn.Close()
			return s.alive()
		}
		if !s.alive() {
			return false
		}
	}
	s.kill()
	return false
}

// alive waits for a moment, so that a process that ends for want of its port is not taken for one that
// listens on it.
func (s *server) alive() bool {
	select {
	case <-s.ended:
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}

// kill ends the process as a crash does, and waits for its end.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	if s.tb.Failed() {
		select {
		case <-s.ended:
			s.tb.Logf("the server had ended: %v", s.cmd.ProcessState)
		default:
		}
		text := s.output.String()
		s.tb.Logf("the server said:\n%s", text[max(0, len(text)-4000):])
	}
	s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// restart starts it again, on the same port.
func (s *server) restart() {
	s.tb.Helper()
	if !s.start() {
		s.tb.Fatalf("the server does not start again:\n%s", s.output)
	}
}
