package gateway

import (
	"math"
	"runtime/debug"

	"github.com/sealbus/sealbus/webhook"
)

// defaultMemory is what the Go runtime may hold where GOMEMLIMIT says nothing, in bytes. With the pages of
// the program itself, which the runtime does not count, the process stays within 64 MiB.
const defaultMemory = 32 << 20

// boundMemory tells the runtime its limit, and gives what of it bodies may have: the Budget of those in
// flight, and the bytes of those that are sealed at one time. Sealing and putting a body takes about ten
// times its size: its canonical form, the sealed event, the entry, the request of the SDK, and buffers that
// grow.
func boundMemory() (b *webhook.Budget, sealing int64, err error) {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		limit = defaultMemory
		debug.SetMemoryLimit(limit)
	}
	b, err = webhook.NewBudget(max(limit/6, 1<<20))
	return b, limit / 16, err
}
