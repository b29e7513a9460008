package trust

import (
	"context"
	"errors"
)

// ErrUnavailable is (wrapped in) the error of a Source that has no usable bundle. It is transient: the event
// is neither accepted nor rejected.
var ErrUnavailable = errors.New("trust is unavailable")

// Source returns the trust bundle by which events are judged.
type Source interface {
	// Bundle is the newest bundle that the source has, as an immutable snapshot. The caller checks its
	// expiry.
	Bundle(ctx context.Context) (*Bundle, error)
}

// Refresher is a Source that can look for a newer bundle.
type Refresher interface {
	Source
	// Refresh is called when the bundle does not have keyID; "" stands for the key of a signature that names
	// no key. It returns a bundle that was checked against its origin within the refresh hint, or
	// ErrUnavailable. Only from such a bundle may a caller conclude that the key is unknown. Implementations
	// limit how often they ask the origin.
	Refresh(ctx context.Context, keyID string) (*Bundle, error)
}
