package interop_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// requirePeers names the variable that turns a missing peer from a skipped test into a failed one: CI sets it
// to 1.
const requirePeers = "SEALBUS_REQUIRE_PEERS"

// node runs a script with Node, gives it the input and returns what it prints.
func node(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js 20 or later is not installed: install it, then run this test again")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node %v: %v\n%s", args, err, stderr.Bytes())
	}
	return out
}

// needPackages wants the packages of package-lock.json to be installed.
func needPackages(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("node_modules"); err != nil {
		missing(t, "the peers' packages are not installed: run `npm ci --ignore-scripts` in interop/")
	}
}

// missing skips the test for want of a peer, or fails it where peers are required.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(requirePeers) == "1" {
		t.Fatalf("%s (%s=1 requires it)", what, requirePeers)
	}
	t.Skipf("SKIPPED: %s", what)
}
