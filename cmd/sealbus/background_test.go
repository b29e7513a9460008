package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// backgrounds are the programs that scripts started, by script and name.
var backgrounds sync.Map

type backgroundKey struct {
	ts   *testscript.TestScript
	name string
}

// background is a program that goes on while the script does.
type background struct {
	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	text  bytes.Buffer // standard output and standard error, as they come
	from  int          // up to here, await has seen it
}

// Write is the method of io.Writer.
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *background) rest() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()[b.from:]
}

// all is what it wrote.
func (b *background) all() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startBackground starts a program with what it writes kept.
func startBackground(dir string, env []string, command string, args ...string) (*background, error) {
	b := &background{cmd: exec.Command(command, args...), ended: make(chan struct{})}
	b.cmd.Dir, b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = dir, env, b, b
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = b.cmd.Wait() // its status is asked for
		close(b.ended)
	}()
	return b, nil
}

// await waits until what it writes matches, from where the last match ended on, and returns the groups.
func (b *background) await(pattern *regexp.Regexp) ([]string, error) {
	late := time.After(time.Minute)
	for {
		text := b.rest()
		if m := pattern.FindStringSubmatchIndex(text); m != nil {
			b.from += m[1]
			return pattern.FindStringSubmatch(text), nil
		}
		select {
		case <-b.ended:
			if !pattern.MatchString(b.rest()) {
				return nil, errors.New("it ended before it wrote " + pattern.String() + ":\n" + b.all())
			}
		case <-late:
			return nil, errors.New("it does not write " + pattern.String() + ":\n" + b.all())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// end sends the signal, and returns the exit status; -1 = it was killed.
func (b *background) end(signal os.Signal) (int, error) {
	if err := b.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	select {
	case <-b.ended:
		return b.cmd.ProcessState.ExitCode(), nil
	case <-time.After(time.Minute):
		_ = b.cmd.Process.Kill() // the error is that it does not end
		return 0, errors.New("it does not end:\n" + b.all())
	}
}

// scriptBegin is `begin NAME COMMAND ARG...`.
func scriptBegin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: begin NAME COMMAND ARG...")
	}
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "AWS_ENDPOINT_URL", "AWS_REGION",
		"AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "SEALBUS_HOME"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	b, err := startBackground(ts.MkAbs("."), env, args[1], args[2:]...)
	ts.Check(err)
	backgrounds.Store(backgroundKey{ts, args[0]}, b)
	ts.Defer(func() {
		_ = b.cmd.Process.Kill() // it may have ended
		<-b.ended
	})
}

func backgroundOf(ts *testscript.TestScript, name string) *background {
	b, ok := backgrounds.Load(backgroundKey{ts, name})
	if !ok {
		ts.Fatalf("no program %s was begun", name)
	}
	return b.(*background)
}

// scriptAwait is `await NAME PATTERN [VARIABLE...]`.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await NAME PATTERN [VARIABLE...]")
	}
	groups, err := backgroundOf(ts, args[0]).await(regexp.MustCompile(args[1]))
	ts.Check(err)
	for i, name := range args[2:] {
		ts.Setenv(name, groups[1+i])
	}
}

// scriptEnd is `end NAME STATUS` or `end NAME killed`.
func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: end NAME STATUS|killed")
	}
	signal, want := os.Signal(syscall.SIGTERM), args[1]
	if want == "killed" {
		signal, want = os.Kill, "-1"
	}
	b := backgroundOf(ts, args[0])
	got, err := b.end(signal)
	ts.Check(err)
	if strconv.Itoa(got) != want {
		ts.Fatalf("%s ended with %d, not %s:\n%s", args[0], got, want, b.all())
	}
}
