package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// Every command explains itself, with flags that all have a text, and takes --output json for wrong calls
// too.
func TestEveryCommandIsExplained(t *testing.T) {
	n := 0
	for _, path := range commandPaths(t) {
		n++
		f := &fakeRun{}
		if code := f.run(t, append(path, "--help")...); code != exitDone || !strings.Contains(f.stdout.String(), "Usage") {
			t.Errorf("%v --help: %d\n%s", path, code, f.stdout.String())
		}
		if code := f.run(t, append(path, "--no-such-flag", "--output", "json")...); code != exitUsage {
			t.Errorf("%v: a wrong flag exits %d", path, code)
		}
		if got, err := jsonMember(f.stdout.String(), "error"); got != "usage" || err != nil {
			t.Errorf("%v: error is %q, %v", path, got, err)
		}
		checkTwoLines(t, f.stderr.String())
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
	f := &fakeRun{}
	a := newApp(nil, &f.stdout, &f.stderr, environment{getenv: os.Getenv, terminal: func(io.Writer) bool { return false }})
	walk(a.root(), nil)
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
		{"no terminal", nil, exitUsage, "there is no terminal to ask"},
		{"empty", []string{""}, exitUsage, "empty passphrase"},
		{"typed differently", []string{"one", "two"}, exitUsage, "the two passphrases differ"},
		{"given up", []string{"one"}, exitUsage, "the two passphrases differ"},
		{"twice the same", []string{"sesame", "sesame"}, exitDone, "made "},
		{"for another key, once", []string{"sesame"}, exitDone, "added the Ed25519 key"},
		{"wrong", []string{"Sesame"}, exitUsage, "the passphrase is wrong"},
	} {
		f := &fakeRun{typed: c.typed}
		if code := f.run(t, newKey...); code != c.code || !strings.Contains(f.stderr.String(), c.say) {
			t.Errorf("%s: exit status %d\n%s", c.name, code, f.stderr.String())
		}
		if len(f.typed) != 0 {
			t.Errorf("%s: %d answers were not asked for", c.name, len(f.typed))
		}
		for _, secret := range []string{"esame", "one", "two"} {
			if c.code != exitDone && strings.Contains(f.stdout.String(), secret) {
				t.Errorf("%s: the passphrase is on standard output", c.name)
			}
		}
	}
}

func TestPassphraseFileOfWindows(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	if err := os.WriteFile(file, []byte("sesame\r\nmore\r\n"), privateFile); err != nil {
		t.Fatal(err)
	}
	a := &app{}
	pass, err := a.passphraseFromFile(file, false)
	if pass != "sesame" || err != nil {
		t.Errorf("%q, %v", pass, err)
	}
	if err := os.WriteFile(file, []byte(strings.Repeat("x", maxPassphrase+1)), privateFile); err != nil {
		t.Fatal(err)
	}
	if _, err := a.passphraseFromFile(file, false); err == nil {
		t.Error("a passphrase of any length is read")
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
		f := &fakeRun{terminal: c.terminal, env: c.env}
		f.run(t, "version")
		f.run(t, "version", "nonsense")
		if got := strings.Contains(f.stderr.String(), "\x1b["); got != c.want {
			t.Errorf("%s: colour %t\n%q", c.name, got, f.stderr.String())
		}
		f.run(t, "version", "--output", "json")
		if strings.Contains(f.stdout.String(), "\x1b[") {
			t.Errorf("%s: colour in JSON", c.name)
		}
	}
}

// What a file says must not move the cursor of who reads about it.
func TestUntrustedTextIsHarmless(t *testing.T) {
	const name = "no\x1b[2Jsuch\nfile\u202e"
	f := &fakeRun{}
	if code := f.run(t, "trust", "show", name); code != exitUsage {
		t.Errorf("exit status %d", code)
	}
	if got := f.stderr.String(); strings.ContainsAny(got, "\x1b\u202e") {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]string{
		"plain é 漢": "plain é 漢", "a\tb": `a\tb`, "\x1b[31m": `\x1b[31m`, "\u202egpj": `\u202egpj`, "\x00": `\x00`, "a\xffb": `a\xffb`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, not %q", in, got, want)
		}
	}
}

func TestTableIsAligned(t *testing.T) {
	p := &printer{style: style{colour: true}}
	tab := table{header: []string{"A", "LONG", "C"}}
	tab.add(cell{"é", p.bold}, cell{"x\n", p.red}, cell{"end", nil})
	tab.add(plain("漢字ab", "", "end")...)
	tab.print(p)
	plainText := stripColour(p.String())
	want := "A       LONG  C\né       x\\n   end\n漢字ab        end\n" // a character of Chinese is two columns wide
	if plainText != want {
		t.Errorf("got\n%swant\n%s", plainText, want)
	}
}

func stripColour(text string) string {
	for _, code := range []string{"0", "1", "2", "31", "32", "33", "36"} {
		text = strings.ReplaceAll(text, "\x1b["+code+"m", "")
	}
	return text
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"7d": 7 * day, "1d12h": 36 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute, "0d": 0, "36500d": 36500 * day, "1d1h1m1s": day + time.Hour + time.Minute + time.Second,
	} {
		if got, err := parseDuration(text); got != want || err != nil {
			t.Errorf("parseDuration(%q) = %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "7", "-1d", "-1h", "1d-2h", "1.5d", "36501d", "9999999d", "1h7d", "106751d999999h", "7 d", "36500d2500000h"} {
		if d, err := parseDuration(text); err == nil {
			t.Errorf("parseDuration(%q) = %s", text, d)
		}
	}
	for want, d := range map[string]time.Duration{
		"7d": 7 * day, "6d23h": 7*day - time.Second, "1h30m": 90 * time.Minute, "59s": 59*time.Second + 999*time.Millisecond, "0s": 999 * time.Millisecond, "-2d": -2 * day,
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("formatDuration(%s) = %s, not %s", d, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T01:00:00+02:00": "2026-01-30T23:00:00Z",
		"now": "2026-03-01T12:00:00Z", "+7d": "2026-03-08T12:00:00Z", "+90m": "2026-03-01T13:30:00Z",
	} {
		if got, err := parseMoment(text, base); formatTime(got) != want || err != nil {
			t.Errorf("parseMoment(%q) = %s, %v", text, formatTime(got), err)
		}
	}
	for _, text := range []string{"", "tomorrow", "+", "+7", "-7d", "7d", "2026-02-30", "0001-01-01", "2026-01-31 12:00", "1767225600"} {
		if got, err := parseMoment(text, base); err == nil {
			t.Errorf("parseMoment(%q) = %s", text, got)
		}
	}
	for _, text := range []string{"now", "+7d"} { // --now itself is relative to nothing
		if _, err := parseMoment(text, time.Time{}); err == nil {
			t.Errorf("parseMoment(%q) without a base", text)
		}
	}
}

func TestMatchID(t *testing.T) {
	ids := []string{"AAAAAAAAAAAA1", "AAAAAAAAAAAA2", "BBBBBBBBBBBB"}
	for given, want := range map[string]string{"BBBBBBBB": ids[2], "BBBBBBBBBBBB": ids[2], "AAAAAAAAAAAA2": ids[1]} {
		if got, err := matchID(ids, given, "x"); got != want || err != nil {
			t.Errorf("matchID(%q) = %q, %v", given, got, err)
		}
	}
	for _, given := range []string{"", "BBBBBBB", "AAAAAAAAAAAA", "CCCCCCCC", "BBBBBBBBBBBBB"} {
		if got, err := matchID(ids, given, "x"); err == nil {
			t.Errorf("matchID(%q) = %q", given, got)
		}
	}
}

func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	writeTestFile(t, file, "old", 0o640)
	if err := os.Symlink("file", link); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(link, []byte("old"), []byte("new")); err != nil {
		t.Fatal(err)
	}
	checkTestFile(t, file, "new", 0o640)
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v", err)
	}
	if err := replaceFile(file, []byte("old"), []byte("mine")); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("another's change is lost: %v", err)
	}
	checkTestFile(t, file, "new", 0o640)
	left := filepath.Join(dir, ".file.new")
	if exists(left) {
		t.Error("a temporary file is left behind")
	}
	writeTestFile(t, left, "theirs", privateFile)
	if err := replaceFile(file, []byte("new"), []byte("mine")); err == nil {
		t.Error("two commands at once")
	}
	checkTestFile(t, file, "new", 0o640)
	checkTestFile(t, left, "theirs", privateFile)
}

func writeTestFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func checkTestFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	info, other := os.Stat(path)
	if err != nil || other != nil || string(got) != content || info.Mode().Perm() != mode {
		t.Errorf("%s: %q, %v, %v", path, got, err, other)
	}
}
