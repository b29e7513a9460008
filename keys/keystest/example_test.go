package keystest_test

import (
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

// The test of a signer of your own: it opens the signer anew for each case. Here the signer is one with a
// fixed key.
func ExampleTestSigner() {
	var t *testing.T // of the test function: func TestSigner(t *testing.T)
	keystest.TestSigner(t, func(t testing.TB) keys.Signer { return keystest.Signer(t, keys.Ed25519, "orders", "my signer") })
}
