package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealbus/sealbus/webhook"
)

// However many come, no more is inside than fits, and a body that is larger than the gate passes alone.
func TestGate(t *testing.T) {
	g := newGate(4 * gateUnit)
	var inside, passed atomic.Int64
	next := g.around(func(_ context.Context, v *webhook.Verified) error {
		units := int64(min(4, len(v.Body)/gateUnit+1))
		if n := inside.Add(units); n > 4 {
			t.Errorf("%d units are inside", n)
		}
		passed.Add(1)
		inside.Add(-units)
		return nil
	})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if err := next(t.Context(), &webhook.Verified{Body: make([]byte, i%9*gateUnit)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if passed.Load() != 200 || len(g.free) != 0 || len(g.turn) != 0 {
		t.Errorf("%d passed, %d units are left", passed.Load(), len(g.free))
	}
}

// A sender that goes while its delivery waits leaves nothing behind, wherever it waited.
func TestGateIsLeft(t *testing.T) {
	g := newGate(2 * gateUnit)
	if units, err := g.enter(t.Context(), 1); units != 1 || err != nil {
		t.Fatal(units, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 3 { // one has the turn and waits for a unit, the others wait for the turn
		all.Go(func() {
			err := g.around(func(context.Context, *webhook.Verified) error {
				t.Error("next was called")
				return nil
			})(gone, &webhook.Verified{Body: make([]byte, gateUnit)})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	cancel()
	all.Wait()
	g.leave(1)
	if len(g.free) != 0 || len(g.turn) != 0 {
		t.Errorf("%d units are left", len(g.free))
	}
}
