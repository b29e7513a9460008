package setup

import (
	"context"
	"errors"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// ErrKilled ends a run as SIGKILL does: nothing is cleaned up, and the lock is free.
var ErrKilled = errors.New("killed")

// InitUntil is `sealbus init orders` that is killed after so many steps. It returns ErrKilled, or nil if it
// has fewer.
func InitUntil(ctx context.Context, env *ui.Env, dir string, sources, types []string, steps int) error {
	s, err := begin(env, dir)
	if err != nil {
		return err
	}
	defer s.unlock()
	s.step = func(string) error {
		if steps--; steps < 0 {
			return ErrKilled
		}
		return nil
	}
	_, err = s.add(ctx, &initFlags{sources: sources, types: types}, "orders")
	return err
}
