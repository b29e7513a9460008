package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/internal/testbed/program"
)

// A new user's consumer, which is a Lambda bootstrap, gets verified events through `sealbus dev`. It ends
// with the server.
func TestDevRunsAConsumer(t *testing.T) {
	dir := t.TempDir()
	billing := filepath.Join(dir, "billing")
	if err := program.Build(billing, "cmd/sealbus/testdata/billing", "lambda.norpc"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "orders", "--source", "https://orders.example/*", "--type", "com.example.*", "--dir", "shop"},
		{"init", "billing", "--consumer", "--dir", "shop"},
	} {
		runs(t, dir, nil, args...)
	}
	env := append(os.Environ(), "SEALBUS_HOME=shop", "AWS_SECRET_ACCESS_KEY=of-the-person")
	dev, err := startBackground(dir, env, "sealbus", "dev", "--port", "0", "--function", "billing=./billing")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dev.cmd.Process.Kill() // it may have ended
		<-dev.ended
	})
	wants := func(pattern string) []string {
		t.Helper()
		groups, err := dev.await(regexp.MustCompile(pattern))
		if err != nil {
			t.Fatal(err)
		}
		return groups
	}
	url := wants(`at (http://127\.0\.0\.1:\d+)\n`)[1]
	wants(`Ctrl-C ends it`)
	env = append(env, "AWS_ENDPOINT_URL="+url, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=dev",
		"AWS_SECRET_ACCESS_KEY=dev")
	for _, id := range []string{"o-1", "o-2"} {
		file := filepath.Join(dir, id+".json")
		event := `{"specversion":"1.0","id":"` + id + `","source":"https://orders.example/eu","type":"com.example.order"}`
		if err := os.WriteFile(file, []byte(event), 0o600); err != nil {
			t.Fatal(err)
		}
		runs(t, dir, env, "publish", "--bus", "central", file)
		wants(`✓ verified com\.example\.order ` + id + ` by orders → billing`)
		judged := dev.from
		pid, err := strconv.Atoi(wants(`billing \| order ` + id + ` in process (\d+) with ` + url)[1])
		if err != nil {
			t.Fatal(err)
		}
		dev.from = judged // the output and the end of an invocation come in any order
		if id == "o-1" {
			wants(`billing +✓ handled o-1`)
			continue
		}
		wants(`billing +✗ failed o-2, it comes again`)
		if code, err := dev.end(syscall.SIGINT); code != 0 || err != nil {
			t.Errorf("exit %d, %v\n%s", code, err, dev.all())
		}
		if process, err := os.FindProcess(pid); err == nil && process.Signal(syscall.Signal(0)) == nil {
			t.Errorf("the function goes on as process %d", pid)
		}
	}
	if text := dev.all(); strings.Contains(text, "of-the-person") {
		t.Error(text)
	}
}

// runs runs a command that has to succeed.
func runs(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	b, err := startBackground(dir, env, "sealbus", args...)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.ended:
	case <-time.After(time.Minute):
		_ = b.cmd.Process.Kill() // the failure is said
		t.Fatalf("%v does not end", args)
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("%v: exit %d\n%s", args, code, b.all())
	}
}
