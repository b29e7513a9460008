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
func TestClosedTerminalEnds(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("the signal is ignored, as with nohup")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	(&Env{}).EndOnSignal(ctx, cancel)
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
}
