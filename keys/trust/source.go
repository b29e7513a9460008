package trust

import (
	"context"
	"errors"
)

// ErrUnavailable is (wrapped in) the error of a Source that has no bundle fit to judge with. It is
// transient: the event is neither accepted nor rejected.
var ErrUnavailable = errors.New("trust is unavailable")

// Source hands out the trust bundle to judge with.
type Source interface {
	// Bundle is the newest bundle at hand: one immutable snapshot, whose expiry the caller judges.
	Bundle(ctx context.Context) (*Bundle, error)
}

// Refresher is a Source that can look for a newer bundle.
type Refresher interface {
	Source
	// Refresh is called when keyID is in no bundle at hand; "" is the key of a signature that names none. It
	// returns a bundle that was checked against its origin within the refresh hint, or ErrUnavailable: only of
	// such a bundle may a caller say that the key is unknown. Implementations limit how often they really ask.
	Refresh(ctx context.Context, keyID string) (*Bundle, error)
}
