package keys

import (
	"errors"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

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
