package ui

import (
	"context"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// A stream without a reader ends the command, and its exit status says so. Without EndOnClosedPipe the write
// fails, and no more.
func TestClosedPipeEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a write to a closed pipe fails in another way")
	}
	for name, write := range map[string]func(*Env){
		"standard output":     func(env *Env) { _ = env.WriteOut([]byte("{}\n")) },
		"standard error":      func(env *Env) { env.Sayf("x") },
		"log on standard err": func(env *Env) { _, _ = io.WriteString(env.TalkWriter(), "x\n") },
	} {
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_ = reader.Close() // it was never read
		env := NewEnv(strings.NewReader(""), writer, writer, System{Getenv: func(string) string { return "" },
			Terminal: func(io.Writer) bool { return false }})
		ctx, cancel := context.WithCancel(t.Context())
		write(env)
		if code := env.Finish(nil); ctx.Err() != nil || code != ExitDone {
			t.Errorf("%s: without it: %v, exit status %d", name, ctx.Err(), code)
		}
		env.EndOnClosedPipe(cancel)
		write(env)
		if code := env.Finish(nil); ctx.Err() == nil || code != ExitUnavailable {
			t.Errorf("%s: %v, exit status %d", name, ctx.Err(), code)
		}
		cancel()
		_ = writer.Close() // nothing is in it
	}
}
