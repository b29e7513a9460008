package awslambda

import (
	"context"
	"sync"

	"github.com/sealbus/sealbus/internal/inhand"
)

// A batch may hold several copies of one event. The first copy that reaches its claim gets it, and the
// others are parked: they hold neither a worker nor a claim. When the first has ended, one of them is judged
// again, from the beginning, and after it the next one. So each copy is judged at most twice. It waits only
// for a message that a worker is handling, and such a message waits for no other: there is no deadlock.
//
// If a copy is still parked when no worker has anything to do, the first copy failed or the time is up. The
// parked copy is then refused as in progress.

// parking is what the workers of a batch share.
type parking struct {
	workers sync.WaitGroup
	mu      sync.Mutex
	active  int                      // workers
	ready   [][]*record              // units, or what is left of them, that a worker may take
	inHand  map[[32]byte][][]*record // the units that are parked behind a message, by the key of its claim
}

// place is where a message stands among the other copies of its event.
type place struct {
	running bool           // a worker has it
	entered bool           // it has the event of this key in hand, or is the next to have it
	key     [32]byte       // of the event that it has in hand, or waits for
	parked  *inhand.Parked // it waits, or waited until it was refused; nil = it does not
}

// staff has as many workers as there is work for. The caller holds mu.
func (b *batch) staff() {
	for n := len(b.ready); n > 0 && b.active < b.opts.Parallel; n-- {
		b.active++
		b.workers.Go(b.work)
	}
}

// work handles units until none is ready. A handler may end the goroutine (runtime.Goexit): staff then
// starts another worker for the units that are ready.
func (b *batch) work() {
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.active--
		b.staff()
	}()
	for unit := b.next(); unit != nil; unit = b.next() {
		b.inOrder(unit)
	}
}

// next is a unit that is ready; nil = none is.
func (b *batch) next() []*record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return nil
	}
	unit := b.ready[0]
	b.ready = b.ready[1:]
	return unit
}

// inOrder handles a unit up to the first message that fails or is parked.
func (b *batch) inOrder(unit []*record) {
	for ; len(unit) > 0; unit = unit[1:] {
		if b.over() != nil {
			return
		}
		b.one(unit[0])
		if unit[0].parked != nil {
			b.park(unit)
			return
		}
		if !unit[0].done {
			return
		}
	}
}

// one handles one message. However it ends, the next copy of its event gets its turn.
func (b *batch) one(r *record) {
	b.mu.Lock()
	r.running = true
	b.mu.Unlock()
	defer b.leave(r)
	r.parked = nil
	err := b.handle(r)
	if p, ok := err.(*inhand.Parked); ok {
		r.parked = p
		return
	}
	r.err, r.done = err, err == nil
}

// messageContext is the context in which a message is handled: it asks here before it claims its event.
func (b *batch) messageContext(r *record) context.Context {
	if len(b.records) == 1 {
		return b.Context
	}
	return inhand.With(b.Context, func(key [32]byte) bool { return b.enter(r, key) })
}

// enter reports whether the message may claim the event: it may if no other message of the batch has the
// event in hand. It may also if it has an event in hand itself. Then it claims again after a lost claim, or
// its handler handles another message.
func (b *batch) enter(r *record, key [32]byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.entered || !r.running {
		return true
	}
	r.key = key
	if _, taken := b.inHand[key]; taken {
		return false
	}
	b.inHand[key] = nil
	r.entered = true
	return true
}

// park puts aside what is left of a unit until the event of its first message is free.
func (b *batch) park(unit []*record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if waiting, taken := b.inHand[unit[0].key]; taken {
		b.inHand[unit[0].key] = append(waiting, unit)
		return
	}
	b.ready = append(b.ready, unit) // it became free in between
	b.staff()
}

// leave is the end of the method one. If the message was handled, the next copy of its event gets its turn.
// If it failed, all other copies stay parked and are refused.
func (b *batch) leave(r *record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r.running = false
	if !r.entered {
		return
	}
	r.entered = false
	waiting := b.inHand[r.key]
	if !r.done || len(waiting) == 0 {
		delete(b.inHand, r.key)
		return
	}
	b.inHand[r.key] = waiting[1:]
	waiting[0][0].entered = true
	b.ready = append(b.ready, waiting[0])
	b.staff()
}

// refuseParked has the messages that are still parked delivered again. It reports them to the log and the
// Observer, as the consumer does.
func (b *batch) refuseParked() {
	for i := range b.records {
		if r := &b.records[i]; r.parked != nil {
			r.err = r.parked.Err
			r.parked.Report()
		}
	}
}
