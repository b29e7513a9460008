package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// `sealbus dev | head -1`: the next line finds no reader. That ends the server, and with it the functions.
func TestDevEndsWithTheReaderOfItsLines(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the function is a shell script, and there is no SIGPIPE")
	}
	// Of each stream, the first line that is read and what has the next one written.
	t.Run("standard output", func(t *testing.T) {
		endsWithItsReader(t, `"endpoint":"(http://[^"]+)"`, func(cmd *exec.Cmd, w *os.File) { cmd.Stdout = w },
			func(url string) { putAny(t, url) })
	})
	t.Run("standard error", func(t *testing.T) { // where the lines of a function go
		endsWithItsReader(t, `x \| (hello)`, func(cmd *exec.Cmd, w *os.File) { cmd.Stderr = w }, func(string) {})
	})
}

// endsWithItsReader reads a stream of dev until it matches, closes it, and looks at the end.
func endsWithItsReader(t *testing.T, pattern string, to func(*exec.Cmd, *os.File), then func(match string)) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho $$ > pid\nwhile :; do echo hello; sleep 0.05; done\n"
	if err := os.WriteFile(filepath.Join(dir, "slow"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sealbus", "dev", "--port", "0", "--output", "json", "--function", "x=./slow")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "SEALBUS_HOME=")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	to(cmd, writer)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close() // the process has its own
	lines, first := bufio.NewScanner(reader), regexp.MustCompile(pattern)
	var match []string
	for match == nil && lines.Scan() {
		match = first.FindStringSubmatch(lines.Text())
	}
	_ = reader.Close() // it was only read
	if match == nil {
		t.Fatalf("no line matches %s: %v", pattern, cmd.Wait())
	}
	pid := pidIn(ctx, t, filepath.Join(dir, "pid"))
	then(match[1])
	_ = cmd.Wait() // its status is looked at
	if code := cmd.ProcessState.ExitCode(); code != ui.ExitUnavailable {
		t.Errorf("%v", cmd.ProcessState)
	}
	if process, err := os.FindProcess(pid); err == nil && process.Signal(syscall.Signal(0)) == nil {
		t.Errorf("the function goes on as process %d", pid)
		_ = process.Kill() // as well as it can
	}
}

// pidIn waits until the function has written its process ID.
func pidIn(ctx context.Context, t *testing.T, file string) int {
	t.Helper()
	for ctx.Err() == nil {
		text, _ := os.ReadFile(file) // not there yet
		if pid, err := strconv.Atoi(strings.TrimSuffix(string(text), "\n")); err == nil && text[len(text)-1] == '\n' {
			return pid
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the function does not start")
	return 0
}

// putAny puts an event, which dev writes a line about. The server may end before it answers.
func putAny(t *testing.T, url string) {
	client := eventbridge.New(eventbridge.Options{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("dev", "dev", "")})
	_, err := client.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		EventBusName: aws.String("central"), Source: aws.String("a"), DetailType: aws.String("b"),
		Detail: aws.String("{}")}}})
	if err != nil {
		t.Logf("the event: %v", err)
	}
}
