package main

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/keys"
)

// maxPassphrase bounds a passphrase, in bytes, so that a key file named by mistake is refused.
const maxPassphrase = 1 << 10

// privateFlags say how private files are protected.
type privateFlags struct {
	passphraseFile string
	insecure       bool
}

// options are those of a new private file.
func (f *privateFlags) options(a *app) keys.PrivateFileOptions {
	return keys.PrivateFileOptions{InsecureNoPassphrase: f.insecure, ScryptWorkFactor: a.workFactor()}
}

func (f *privateFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "read the passphrase from the first line of `FILE` instead of the terminal")
	cmd.Flags().BoolVar(&f.insecure, "insecure-no-passphrase", false, "the private key is not encrypted")
}

// passphrase is the passphrase that protects path; "" = none, as --insecure-no-passphrase says. A new one
// is asked for twice.
func (a *app) passphrase(f *privateFlags, path string, isNew bool) (string, error) {
	switch {
	case f.insecure && f.passphraseFile != "":
		return "", usage("drop one of the two", "--insecure-no-passphrase contradicts --passphrase-file")
	case f.insecure:
		return "", nil
	case f.passphraseFile != "":
		return a.passphraseFromFile(f.passphraseFile, isNew)
	}
	pass, err := a.ask("passphrase for " + clean(path) + ": ")
	if err != nil {
		return "", noTerminal(path)
	}
	if len(pass) == 0 {
		return "", usage("type one; --insecure-no-passphrase goes without", "empty passphrase")
	}
	if !isNew {
		return string(pass), nil
	}
	again, err := a.ask("the same again: ")
	if err != nil || subtle.ConstantTimeCompare(pass, again) != 1 {
		return "", usage("start again", "the two passphrases differ")
	}
	return string(pass), nil
}

func noTerminal(path string) error {
	return usage("use --passphrase-file FILE (--insecure-no-passphrase if the file is not encrypted)", "there is no terminal to ask for the passphrase of %s", path)
}

// passphraseFromFile reads the first line. A byte order mark, or UTF-16, would become part of the passphrase,
// which could then not be typed: a new passphrase is refused with it. One that was made so before must still
// open its file: openWith tries it as it is first.
func (a *app) passphraseFromFile(path string, isNew bool) (string, error) {
	data, err := a.readFile(path, maxPassphrase)
	if err != nil {
		return "", err
	}
	if path != "-" {
		a.warnShared(path)
	}
	if damage := filekind.Damage(data); damage != nil && isNew {
		return "", usage("write the passphrase with another editor, or in PowerShell with Set-Content -Encoding ascii", "%s: %w", nameOf(path), damage)
	} else if damage != nil {
		a.warnf("%s: %v", nameOf(path), damage)
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) == 0 {
		return "", usage("write the passphrase on its first line", "%s holds no passphrase: its first line is empty", nameOf(path))
	}
	return string(line), nil
}

// openWith opens a private file with the passphrase as it is, and else without the byte order mark that an
// editor put before it.
func openWith[T any](pass string, open func(pass string) (T, error)) (T, error) {
	opened, err := open(pass)
	rest, marked := strings.CutPrefix(pass, "\ufeff")
	if !marked || rest == "" || !errors.Is(err, keys.ErrPassphrase) {
		return opened, err
	}
	return open(rest)
}

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
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return func() { signal.Stop(interrupted); close(done) }
}
