package keys

import (
	"errors"
	"time"

	"github.com/sealbus/sealbus/internal/nilcheck"
)

// SignerSource returns the signers to sign with. Implementations are safe for concurrent use.
type SignerSource interface {
	// Signers are the signers to use at now. Each of them signs the event. An empty list comes with an error.
	Signers(now time.Time) ([]Signer, error)
}

// ErrNoSigner is (wrapped in) the error of a SignerSource that has no signer at that time.
var ErrNoSigner = errors.New("no key signs now")

// SignWith is the SignerSource of these signers, at all times. producer.New refuses it if one of them is nil.
func SignWith(signers ...Signer) SignerSource { return fixedSigners(signers) }

type fixedSigners []Signer

var _, _ nilcheck.Holder = fixedSigners(nil), fixedIdentities(nil)

// CheckNil is called by producer.New.
func (s fixedSigners) CheckNil() error { return nilcheck.Each("signers", s) }

func (s fixedSigners) Signers(time.Time) ([]Signer, error) {
	if len(s) == 0 {
		return nil, ErrNoSigner
	}
	return s, nil
}

// IdentitySource returns the identities to decrypt with.
type IdentitySource interface {
	// Identities are the identities whose keys have not expired at now. There may be none.
	Identities(now time.Time) []Identity
}

// OpenWith is the IdentitySource of these identities, at all times. envelope.NewDecrypter refuses it if one
// of them is nil.
func OpenWith(identities ...Identity) IdentitySource { return fixedIdentities(identities) }

type fixedIdentities []Identity

func (s fixedIdentities) Identities(time.Time) []Identity { return s }

// CheckNil is called by envelope.NewDecrypter.
func (s fixedIdentities) CheckNil() error { return nilcheck.Each("identities", s) }
