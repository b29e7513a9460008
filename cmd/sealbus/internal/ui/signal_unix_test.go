//go:build unix

package ui

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// A terminal that is closed ends a command as Ctrl-C does, so that it ends what it has started.
// Under nohup it goes on, and Ctrl-C still ends it.
func TestClosedTerminalEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := []syscall.Signal{syscall.SIGHUP}
	if signal.Ignored(syscall.SIGHUP) {
		ends = append(ends, syscall.SIGTERM) // the first one is ignored
	}
	(&Env{}).EndOnSignal(ctx, cancel)
	for _, s := range ends {
		if ctx.Err() != nil {
			t.Fatal("it ended by a signal that is ignored")
		}
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	<-ctx.Done()
}
