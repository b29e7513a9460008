// Package ui connects a command with the person or the program that runs it. It is the one way to standard
// output and standard error. It has colour and width, the clock, files, the tree of commands, and errors with
// an exit status and a fix.
//
// Text for a terminal holds nothing that a terminal would obey. Commands reach no stream except through Env.
package ui

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"
)

// Env is one run of the program.
type Env struct {
	Stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	system System

	unread atomic.Pointer[context.CancelFunc] // of EndOnClosedPipe; nil = SIGPIPE ends the program
	closed atomic.Bool                        // that was called

	JSON   bool      // --output json
	nowSet time.Time // --now; zero = the clock
	Out    Style     // of standard output
	Talk   Style     // of standard error
}

func NewEnv(stdin io.Reader, stdout, stderr io.Writer, system System) *Env {
	env := &Env{Stdin: stdin, stdout: stdout, stderr: stderr, system: system}
	plain := system.Getenv("NO_COLOR") != "" || system.Getenv("TERM") == "dumb"
	styleOf := func(w io.Writer) Style {
		if !system.Terminal(w) {
			return Style{}
		}
		return Style{Colour: !plain, Width: system.columns(w)}
	}
	env.Out, env.Talk = styleOf(stdout), styleOf(stderr)
	return env
}

// Now is the moment that everything is judged at: that of --now, else the clock's.
func (env *Env) Now() time.Time {
	if !env.nowSet.IsZero() {
		return env.nowSet
	}
	return env.system.Now()
}

// Clock is the clock of the machine, also with --now.
func (env *Env) Clock() time.Time { return env.system.Now() }

// WorkFactor is scrypt's for new private files; 0 = the default of keys.
func (env *Env) WorkFactor() int { return env.system.WorkFactor }

// HTTPClient is for https:// URLs; nil = the usual one.
func (env *Env) HTTPClient() *http.Client { return env.system.Client }

// Getenv is the value of an environment variable; "" = it is not set.
func (env *Env) Getenv(name string) string { return env.system.Getenv(name) }

// onTerminal reports whether standard output is a terminal.
func (env *Env) onTerminal() bool { return env.system.Terminal(env.stdout) }

// Ask asks for a secret on the terminal, without showing what is typed.
func (env *Env) Ask(prompt string) ([]byte, error) {
	if env.system.Prompt == nil {
		return nil, errors.New("there is no terminal")
	}
	return env.system.Prompt(prompt)
}

// EndOnSignal cancels at the first Ctrl-C, or when the terminal is gone; a second one ends the program at
// once, whatever is under way.
func (env *Env) EndOnSignal(ctx context.Context, cancel context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) { // nohup does
		env.EndOnInterrupt(ctx, cancel)
		return
	}
	endOn(ctx, cancel, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

// EndOnInterrupt is EndOnSignal for a program to which SIGHUP says something else.
func (env *Env) EndOnInterrupt(ctx context.Context, cancel context.CancelFunc) {
	endOn(ctx, cancel, os.Interrupt, syscall.SIGTERM)
}

func endOn(ctx context.Context, cancel context.CancelFunc, signals ...os.Signal) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, signals...)
	go func() {
		defer signal.Stop(interrupted)
		select {
		case <-interrupted:
			cancel()
		case <-ctx.Done():
		}
	}()
}

// EndOnClosedPipe cancels when standard output or standard error is a pipe that has no reader any more, as
// with `| head -1`. Otherwise the write ends the program at once, and what it has started goes on. The exit
// status is not 0 then: the program was not told to end.
func (env *Env) EndOnClosedPipe(cancel context.CancelFunc) {
	env.unread.Store(&cancel)
	// With a channel, the write fails. The signal itself says nothing: it also comes of connections that
	// break. Unlike signal.Ignore, this is not inherited by programs that are started.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}

// wrote is told how each write ended.
func (env *Env) wrote(err error) {
	if cancel := env.unread.Load(); cancel != nil && errors.Is(err, syscall.EPIPE) {
		env.closed.Store(true)
		(*cancel)()
	}
}

// System is what a run takes from the machine beside its streams and files.
type System struct {
	Now      func() time.Time
	Getenv   func(string) string
	Prompt   prompter // nil = there is no terminal to ask on
	Terminal func(io.Writer) bool
	Width    func(io.Writer) int // columns of a terminal, 0 = it does not say; nil = no terminal says
	Client   *http.Client        // for https:// URLs; nil = the usual one

	// scrypt's, of new private files; 0 = the default of keys. Tests lower it: they guess no passphrase
	WorkFactor int
}

func NewSystem() System {
	return System{Now: time.Now, Getenv: os.Getenv, Prompt: askTerminal, Terminal: isTerminal,
		Width: terminalWidth}
}

// columns is how wide to write on a terminal.
func (s System) columns(w io.Writer) int {
	if s.Width != nil {
		if n := s.Width(w); n > 0 {
			return max(n, narrowest)
		}
	}
	return DefaultWidth
}

func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
