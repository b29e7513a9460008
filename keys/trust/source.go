package trust

import (
	"context"
	"errors"
	"time"
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
	// Refresh is called when the bundle at hand refuses an event, and a newer one may accept it. It returns a
	// bundle that was checked against its origin at since or later, or ErrUnavailable. Only such a bundle
	// refuses the event for good. If since is in the future, it counts as now. The moment of a check is when
	// the origin was asked. Implementations limit how often they ask the origin: anyone can send such events.
	Refresh(ctx context.Context, since time.Time) (*Bundle, error)
}

// isCheckedSince reports whether a check at that moment was made at since or later. A check in the future was
// made before the clock was set back, and counts as none.
func isCheckedSince(checked, since, now time.Time) bool {
	return !checked.Before(since) && !checked.After(now)
}
