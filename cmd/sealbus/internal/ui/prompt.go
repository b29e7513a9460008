package ui

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/term"
)

// prompter asks for a secret without showing what is typed.
type prompter func(prompt string) ([]byte, error)

// askTerminal asks on the terminal itself: standard input may be an event.
func askTerminal(prompt string) ([]byte, error) {
	name := "/dev/tty"
	if runtime.GOOS == "windows" {
		name = "CONIN$"
	}
	tty, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tty.Close() }()
	defer restoreOnInterrupt(int(tty.Fd()))()
	fmt.Fprint(os.Stderr, prompt)
	pass, err := term.ReadPassword(int(tty.Fd()))
	fmt.Fprintln(os.Stderr)
	return pass, err
}

// restoreOnInterrupt keeps an interrupted prompt from leaving a terminal that does not show what is typed.
func restoreOnInterrupt(tty int) (stop func()) {
	state, err := term.GetState(tty)
	if err != nil {
		return func() {}
	}
	interrupted, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		select {
		case <-interrupted:
			_ = term.Restore(tty, state)
			fmt.Fprintln(os.Stderr)
			os.Exit(ExitInterrupted)
		case <-done:
		}
	}()
	return func() { signal.Stop(interrupted); close(done) }
}
