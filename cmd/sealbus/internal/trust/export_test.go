package trust

import (
	"net/http"
	"time"

	"github.com/sealbus/sealbus/keys/trust"
)

// The tests of this package use these names, which it does not export.

type SignedResult = signedResult

// NewTrustServer serves the JWK Set of the source.
func NewTrustServer(source trust.Source, now func() time.Time) http.Handler {
	return &trustServer{source: source, now: now}
}
