package scenario

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/sealbus/sealbus/consumer"
)

// books are what became of the events, by their IDs.
type books struct {
	mu        sync.Mutex
	runs      map[string][]string // of the handler: the IdempotencyKey of each
	order     []string            // in which the handler ran
	effects   map[string]int      // by IdempotencyKey: 1, as the effect is conditional on it
	plain     map[string]int      // handled as before there were signatures
	migrating map[string]int      // by the Handle of UnsafeMigration
}

func newBooks() *books {
	return &books{runs: map[string][]string{}, effects: map[string]int{}, plain: map[string]int{},
		migrating: map[string]int{}}
}

// handle has its effect unless it was had: what a handler is to do with an IdempotencyKey.
func (b *books) handle(_ context.Context, d consumer.Delivery[order]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := d.Event.ID()
	b.runs[id] = append(b.runs[id], d.IdempotencyKey)
	b.order = append(b.order, id)
	b.effects[d.IdempotencyKey] = 1
	return nil
}

// note counts an event that was not verified.
func (b *books) note(in map[string]int, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in[id]++
}

func (b *books) handled(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.runs[id]) > 0
}

// unhandled are those of the events that no handler had yet.
func (b *books) unhandled(ids []string) (list []string) {
	for _, id := range ids {
		if !b.handled(id) {
			list = append(list, id)
		}
	}
	return list
}

// wantOnce wants each of these events, and no other, handled exactly once.
func (b *books) wantOnce(t *testing.T, ids []string) {
	t.Helper()
	b.wantRuns(t, ids, nil)
}

// wantRuns wants each of these events, and no other, handled: once, or as often as again says. However often,
// it is one effect, under one key.
func (b *books) wantRuns(t *testing.T, ids []string, again map[string]int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(ids) == 0 {
		t.Fatal("nothing was published: the scenario shows nothing")
	}
	for _, id := range ids {
		want := max(again[id], 1)
		if runs := b.runs[id]; len(runs) != want || len(slices.Compact(slices.Clone(runs))) != 1 {
			t.Errorf("%s was handled %d times, not %d, with the keys %.8q", id, len(runs), want, runs)
		}
	}
	for id := range maps.Keys(b.runs) {
		if !slices.Contains(ids, id) {
			t.Errorf("%s was handled, and should not have been", id)
		}
	}
	if len(b.effects) != len(b.runs) {
		t.Errorf("%d effects of %d events", len(b.effects), len(b.runs))
	}
}
