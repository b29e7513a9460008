// Command sealbus makes keys and trust, and seals, opens and explains CloudEvents.
//
// Data goes to standard output, talk to standard error, both without anything that a terminal would obey.
// Errors begin with "sealbus: ", no capital, no period, and are followed by one line that says what to do.
// With --output json each command writes one JSON object per result, errors included:
// {"error","message","fix"}.
//
// Exit status: 0 done; 1 rejected: the input was judged, and is refused; 2 usage: the command has to be
// changed, or what it names (a flag, a file, a passphrase, credentials, a permission); 3 unavailable: try
// again, and nothing else has to be done; 4 something is due; 130 interrupted by Ctrl-C.
package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	cobra.EnableCommandSorting = false // help lists commands in the order in which somebody new needs them
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, systemEnvironment()))
}

// environment is what a run takes from the machine beside its streams and files.
type environment struct {
	now      func() time.Time
	getenv   func(string) string
	prompt   prompter // nil = there is no terminal to ask on
	terminal func(io.Writer) bool
	width    func(io.Writer) int // columns of a terminal, 0 = it does not say; nil = no terminal says
	client   *http.Client        // for https:// URLs; nil = the usual one

	workFactor int // scrypt's, of new private files; 0 = the default of keys. Tests lower it: they guess no passphrase
}

func systemEnvironment() environment {
	return environment{now: time.Now, getenv: os.Getenv, prompt: askTerminal, terminal: isTerminal, width: terminalWidth}
}

// columns is how wide to write on a terminal.
func (s environment) columns(w io.Writer) int {
	if s.width != nil {
		if n := s.width(w); n > 0 {
			return max(n, narrowest)
		}
	}
	return defaultWidth
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

// run is the whole program; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env environment) int {
	a := newApp(stdin, stdout, stderr, env)
	a.json = wantsJSON(args) // known before the flags are read, so that a wrong flag is reported as asked
	root := a.root()
	root.SetArgs(args)
	return a.finish(root.ExecuteContext(ctx))
}
