package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/cli"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// Every command explains itself, with flags that all have a text, and takes --output json for wrong calls
// too.
func TestEveryCommandIsExplained(t *testing.T) {
	n := 0
	for _, path := range commandPaths(t) {
		n++
		f := &clitest.FakeRun{}
		if code := f.Run(t, append(path, "--help")...); code != ui.ExitDone ||
			!strings.Contains(f.Stdout.String(), "Usage") {
			t.Errorf("%v --help: %d\n%s", path, code, f.Stdout.String())
		}
		if code := f.Run(t, append(path, "--no-such-flag", "--output", "json")...); code != ui.ExitUsage {
			t.Errorf("%v: a wrong flag exits %d", path, code)
		}
		if got, err := clitest.JSONMember(f.Stdout.String(), "error"); got != "usage" || err != nil {
			t.Errorf("%v: error is %q, %v", path, got, err)
		}
		checkTwoLines(t, f.Stderr.String())
	}
	if n < 12 {
		t.Errorf("only %d commands", n)
	}
}

func commandPaths(t *testing.T) [][]string {
	var paths [][]string
	var walk func(cmd *cobra.Command, path []string)
	walk = func(cmd *cobra.Command, path []string) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%v: short text %q", path, cmd.Short)
		}
		if len(path) > 0 {
			paths = append(paths, path)
		}
		for _, c := range cmd.Commands() {
			walk(c, append(path[:len(path):len(path)], c.Name()))
		}
	}
	f := &clitest.FakeRun{}
	env := ui.NewEnv(nil, &f.Stdout, &f.Stderr, ui.System{Getenv: os.Getenv,
		Terminal: func(io.Writer) bool { return false }})
	walk(cli.Root(env), nil)
	return paths
}

// checkTwoLines wants one line that says what is wrong and one that says what to do.
func checkTwoLines(t *testing.T, stderr string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	switch {
	case len(lines) != 2 || !strings.HasPrefix(lines[0], "sealbus: ") || !strings.HasPrefix(lines[1], "  "):
		t.Errorf("not two lines:\n%s", stderr)
	case strings.HasSuffix(lines[0], "."):
		t.Errorf("a period at the end:\n%s", stderr)
	}
}

func TestPassphraseIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	ring := filepath.Join(dir, "ring")
	newKey := []string{"keys", "new", "--producer", "orders", "--keyring", ring}
	for _, c := range []struct {
		name  string
		typed []string
		code  int
		say   string
	}{
		{"no terminal", nil, ui.ExitUsage, "there is no terminal to ask"},
		{"empty", []string{""}, ui.ExitUsage, "empty passphrase"},
		{"typed differently", []string{"one", "two"}, ui.ExitUsage, "the two passphrases differ"},
		{"given up", []string{"one"}, ui.ExitUsage, "the two passphrases differ"},
		{"twice the same", []string{"sesame", "sesame"}, ui.ExitDone, "made "},
		{"for another key, once", []string{"sesame"}, ui.ExitDone, "added the Ed25519 key"},
		{"wrong", []string{"Sesame"}, ui.ExitUsage, "the passphrase is wrong"},
	} {
		f := &clitest.FakeRun{Typed: c.typed}
		if code := f.Run(t, newKey...); code != c.code || !strings.Contains(f.Stderr.String(), c.say) {
			t.Errorf("%s: exit status %d\n%s", c.name, code, f.Stderr.String())
		}
		if len(f.Typed) != 0 {
			t.Errorf("%s: %d answers were not asked for", c.name, len(f.Typed))
		}
		for _, secret := range []string{"esame", "one", "two"} {
			if c.code != ui.ExitDone && strings.Contains(f.Stdout.String(), secret) {
				t.Errorf("%s: the passphrase is on standard output", c.name)
			}
		}
	}
}

// Colour is for terminals, and only for those that want it.
func TestColour(t *testing.T) {
	for _, c := range []struct {
		name     string
		terminal bool
		env      map[string]string
		want     bool
	}{
		{"pipe", false, nil, false},
		{"terminal", true, nil, true},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, false},
		{"dumb terminal", true, map[string]string{"TERM": "dumb"}, false},
	} {
		f := &clitest.FakeRun{Terminal: c.terminal, Env: c.env}
		f.Run(t, "version")
		f.Run(t, "version", "nonsense")
		if got := strings.Contains(f.Stderr.String(), "\x1b["); got != c.want {
			t.Errorf("%s: colour %t\n%q", c.name, got, f.Stderr.String())
		}
		f.Run(t, "version", "--output", "json")
		if strings.Contains(f.Stdout.String(), "\x1b[") {
			t.Errorf("%s: colour in JSON", c.name)
		}
	}
}

// The text of a file must not move the cursor of the person who reads about it.
func TestUntrustedTextIsHarmless(t *testing.T) {
	const name = "no\x1b[2Jsuch\nfile\u202e"
	f := &clitest.FakeRun{}
	if code := f.Run(t, "trust", "show", name); code != ui.ExitUsage {
		t.Errorf("exit status %d", code)
	}
	if got := f.Stderr.String(); strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]string{
		"plain é 漢": "plain é 漢", "a\tb": `a\tb`, "\x1b[31m": `\x1b[31m`, "\u202egpj": `\u202egpj`,
		"\x00": `\x00`, "a\xffb": `a\xffb`,
	} {
		if got := ui.Clean(in); got != want {
			t.Errorf("clean(%q) = %q, not %q", in, got, want)
		}
	}
}
