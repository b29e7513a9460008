package throttletest_test

import (
	"testing"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/throttle"
	"github.com/sealbus/sealbus/webhook/throttle/throttletest"
)

// The test of a limiter of your own: it opens a new, empty one with that clock. Here it is the one in memory.
func Example() {
	var t *testing.T // of the test function: func TestLimiter(t *testing.T)
	throttletest.Run(t, func(t *testing.T, clock *replaytest.Clock) throttle.Limiter {
		l, err := throttle.NewMemory(&throttle.MemoryOptions{Now: clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		return l
	})
}
