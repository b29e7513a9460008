package keys

import (
	"context"
	"errors"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
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

// SignerSource hands out what to sign with.
type SignerSource interface {
	// Signers are the signers to use at now, each of which signs; never none without an error.
	Signers(now time.Time) ([]Signer, error)
}

// ErrNoSigner is (wrapped in) the error of a SignerSource that has nothing to sign with at that time.
var ErrNoSigner = errors.New("no key signs now")

// SignWith is the SignerSource of these signers, at all times. producer.New refuses it if one of them is nil.
func SignWith(signers ...Signer) SignerSource { return fixedSigners(signers) }

type fixedSigners []Signer

var _, _ nilcheck.Holder = fixedSigners(nil), fixedIdentities(nil)

// CheckNil is what producer.New asks.
func (s fixedSigners) CheckNil() error { return nilcheck.Each("signers", s) }

func (s fixedSigners) Signers(time.Time) ([]Signer, error) {
	if len(s) == 0 {
		return nil, ErrNoSigner
	}
	return s, nil
}

// IdentitySource hands out what to open with.
type IdentitySource interface {
	// Identities are the identities to open with at now: all whose keys have not expired. There may be none.
	Identities(now time.Time) []Identity
}

// OpenWith is the IdentitySource of these identities, at all times. envelope.NewDecrypter refuses it if one
// of them is nil.
func OpenWith(identities ...Identity) IdentitySource { return fixedIdentities(identities) }

type fixedIdentities []Identity

func (s fixedIdentities) Identities(time.Time) []Identity { return s }

// CheckNil is what envelope.NewDecrypter asks.
func (s fixedIdentities) CheckNil() error { return nilcheck.Each("identities", s) }
