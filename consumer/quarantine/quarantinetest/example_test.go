package quarantinetest_test

import (
	"testing"

	"github.com/sealbus/sealbus/consumer/quarantine/quarantinetest"
)

// The test of a quarantine of your own: it opens a new, empty place. Here the place is the one in memory.
func Example() {
	var t *testing.T // of the test function: func TestStore(t *testing.T)
	quarantinetest.Run(t, func(*testing.T) *quarantinetest.Place { return quarantinetest.NewMemory() })
}
