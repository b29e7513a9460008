package sender_test

import (
	"testing"

	"github.com/sealbus/sealbus/consumer/replay/replaytest"
	"github.com/sealbus/sealbus/internal/testbed/cases"
	"github.com/sealbus/sealbus/webhook/sender"
	"github.com/sealbus/sealbus/webhook/sender/sendertest"
)

func TestCrashes(t *testing.T) {
	sendertest.Contract{}.Crashes(t, cases.Of(1000), func(_ *testing.T, clock *replaytest.Clock) sender.BackEnd {
		return sender.NewMemory(&sender.MemoryOptions{Now: clock.Now})
	})
}
