package replaytest_test

import (
	"testing"

	"github.com/sealbus/sealbus/consumer/replay"
	"github.com/sealbus/sealbus/consumer/replay/replaytest"
)

// The test of a store of your own: it opens the store with the clock of the suite. Here the store is the one
// in memory.
func Example() {
	var t *testing.T // of the test function: func TestStore(t *testing.T)
	replaytest.Contract{}.Run(t, func(_ *testing.T, clock *replaytest.Clock) replay.Store {
		return replay.NewMemory(&replay.MemoryOptions{Now: clock.Now})
	})
}
