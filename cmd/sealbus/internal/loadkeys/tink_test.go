package loadkeys_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/loadkeys"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// A full disk is no fault of the flags: a job tries again.
func TestTinkDiskFull(t *testing.T) {
	err := loadkeys.TinkFailed("o.tink", fmt.Errorf("tinkkeys: %w", syscall.ENOSPC))
	e, ok := errors.AsType[*ui.Error](err)
	if !ok || e.Code != ui.ExitUnavailable || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%#v", err)
	}
}
