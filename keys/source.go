package keys

import (
	"context"
	"errors"
	"time"
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
	// Refresh is called when keyID is in no bundle at hand. It returns a bundle that was checked against
	// its origin within the refresh hint, or ErrUnavailable: only of such a bundle may a caller say
	// that the key is unknown. Implementations limit how often they really ask.
	Refresh(ctx context.Context, keyID string) (*Bundle, error)
}

// Bundle is an immutable set of keys with what each may do.
type Bundle struct {
	version     int64
	issued      time.Time
	expires     time.Time
	refreshHint time.Duration
	keys        []*Key
	byID        map[string][]*Key // by key ID and by alias
	revokedSess map[string]struct{}
}

var _ Source = (*Bundle)(nil)

// Bundle makes every Bundle a static Source of itself.
func (b *Bundle) Bundle(context.Context) (*Bundle, error) { return b, nil }

// Lookup is every key whose ID or alias is keyID: at most one for an ID, at most MaxSharedAlias for an alias.
// The slice is not to be changed.
func (b *Bundle) Lookup(keyID string) []*Key { return b.byID[keyID] }

// Expires is when the bundle may no longer be used; zero = never (only for bundles made in the program).
func (b *Bundle) Expires() time.Time { return b.expires }

// SessionRevoked reports whether the bundle revokes the session key of that thumbprint.
func (b *Bundle) SessionRevoked(thumbprint string) bool {
	_, yes := b.revokedSess[thumbprint]
	return yes
}
