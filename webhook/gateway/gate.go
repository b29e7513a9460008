package gateway

import (
	"context"

	"github.com/sealbus/sealbus/webhook"
)

// defaultSealing is 0 of Options.Sealing, in bytes.
const defaultSealing = 8 << 20

// gateUnit is what a body is rounded up to, in bytes.
const gateUnit = 64 << 10

// gate bounds the bodies that are sealed and put at one time. They make copies of each body, which the Budget
// does not count. Only verified deliveries come to it, in their order.
type gate struct {
	turn chan struct{} // who has it takes units: two that each hold a part would wait for each other
	free chan struct{} // units that are in use
}

func newGate(bytes int64) *gate {
	return &gate{make(chan struct{}, 1), make(chan struct{}, max(1, bytes/gateUnit))}
}

// around lets next wait for its turn. A body that is larger than the gate passes alone.
func (g *gate) around(next func(context.Context, *webhook.Verified) error) func(context.Context,
	*webhook.Verified) error {
	return func(ctx context.Context, v *webhook.Verified) error {
		units, err := g.enter(ctx, len(v.Body))
		defer g.leave(units)
		if err != nil {
			return err
		}
		return next(ctx, v)
	}
}

// enter gives how many units were taken, also with an error.
func (g *gate) enter(ctx context.Context, bytes int) (units int, err error) {
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	defer func() { <-g.turn }()
	for want := min(cap(g.free), bytes/gateUnit+1); units < want; units++ {
		select {
		case g.free <- struct{}{}:
		case <-ctx.Done():
			return units, context.Cause(ctx)
		}
	}
	return units, nil
}

func (g *gate) leave(units int) {
	for range units {
		<-g.free
	}
}
