package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/internal/testbed/program"
)

// TestCurl is a reader: it starts the program, and enters each printed command into bash. The program curl
// prints what the program said it would, and each deletion reaches the consumer.
func TestCurl(t *testing.T) {
	for _, name := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED: %s is not installed", name)
		}
	}
	printed, next := start(t)
	if got := anywhere(printed); got != story {
		t.Fatalf("got\n%s\nwant\n%s", got, story)
	}
	var script, want strings.Builder
	script.WriteString("set -u\n")
	for line := range strings.Lines(printed) {
		text, isInside := strings.CutPrefix(line, "  ")
		command, isCommand := strings.CutPrefix(text, "$ ")
		switch {
		case isCommand:
			script.WriteString(command)
		case isInside && !strings.HasPrefix(text, "consumer:"):
			want.WriteString(text)
		}
	}
	bash := exec.CommandContext(t.Context(), "bash")
	bash.Stdin = strings.NewReader(script.String())
	bash.Env = append(os.Environ(), "no_proxy=*", "CURL_HOME="+t.TempDir()) // not the settings of this machine
	var stderr strings.Builder
	bash.Stderr = &stderr
	got, err := bash.Output()
	if err != nil || string(got) != want.String() {
		t.Errorf("%v %s\ncurl printed\n%s\nnot\n%s", err, &stderr, got, &want)
	}
	if line := next(); line != "  consumer: news \"1\" deleted for an app_user, vouched for by newsroom\n" {
		t.Errorf("the consumer said %q", line)
	}
}

// start starts the program on a free port, until the test ends. It returns what it prints before it waits for
// a reader, and what gives the next line.
func start(t *testing.T) (printed string, next func() string) {
	t.Helper()
	news := filepath.Join(t.TempDir(), "news")
	if err := program.Build(news, "examples/news", ""); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), news, "--listen", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(stdout)
	next = func() string {
		t.Helper()
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the program ended after %q", line)
		}
		return line
	}
	for line := next(); !strings.HasPrefix(line, "serving "); line = next() {
		printed += line
	}
	return printed, next
}
