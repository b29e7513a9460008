package errtext

import (
	"errors"
	"io"
	"net"
	"testing"
)

// TestServerClosedIdle: net/http has words of its own for a connection that was closed just when a request
// began.
func TestServerClosedIdle(t *testing.T) {
	err := &net.OpError{Op: "read", Err: errors.New(closedIdle)}
	if got := ReachedAt("h:1", "KMS", err).Error(); got != "cannot reach h:1 for KMS: "+whyUnreached(io.EOF) {
		t.Errorf("%s", got)
	}
}
