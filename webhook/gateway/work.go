package gateway

import "context"

// Work in hand: a body that is sealed and sent is there several times, in its canonical form, as the event
// and as the request to the bus.
const (
	workUnit  = 2 << 10 // bytes
	workUnits = 1024    // 2 MiB of bodies: two large ones, or as many small ones as wait for a slow bus
)

// work bounds how many bytes of bodies are sealed and sent at one time. Deliveries wait in their order.
type work struct {
	turn  chan struct{} // has one element: the delivery that holds it takes its units
	units chan struct{}
}

func newWork() *work {
	w := &work{turn: make(chan struct{}, 1), units: make(chan struct{}, workUnits)}
	w.turn <- struct{}{}
	return w
}

// do calls f when there is room for a body of so many bytes, unless ctx ends before.
func (w *work) do(ctx context.Context, bytes int, f func() error) error {
	need := min(1+bytes/workUnit, workUnits)
	select {
	case <-w.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	taken := 0
	defer func() {
		for range taken {
			<-w.units
		}
	}()
	for taken < need {
		select {
		case w.units <- struct{}{}:
			taken++
			continue
		case <-ctx.Done():
		}
		break
	}
	w.turn <- struct{}{}
	if taken < need {
		return ctx.Err()
	}
	return f()
}
