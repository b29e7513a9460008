package sendertest_test

import (
	"testing"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

// A store takes its time from the clock of the contract.
func Example() {
	var t *testing.T // of the test function: func TestStore(t *testing.T)
	sendertest.Contract{}.Run(t, func(_ *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return sender.NewMemory(&sender.MemoryOptions{Now: clock.Now})
	})
}
