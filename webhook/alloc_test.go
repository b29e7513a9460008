//go:build !race

package webhook_test

import (
	"context"
	"testing"
)

// The race detector makes sync.Pool forget at random.

// TestVerifyAllocatesTwice: at most two allocations, whatever the size of the body.
func TestVerifyAllocatesTwice(t *testing.T) {
	ctx := context.Background()
	for _, size := range []int{1 << 10, 16 << 10} {
		for _, c := range benchCases(t, size) {
			v := c.verifier(t)
			n := testing.AllocsPerRun(200, func() {
				if _, err := v.Verify(ctx, c.request, benchTime); err != nil {
					t.Fatal(err)
				}
			})
			if n > 2 {
				t.Errorf("%s at %d bytes: %v allocations", c.provider, size, n)
			}
		}
	}
}
