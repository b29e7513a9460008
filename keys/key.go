package keys

import "time"

// Schedule is a key's life as a function of time. A zero time is absent: no bound on that side.
// Accept iff Published - skew <= now < Expired and Active - skew <= the time of sealing < Retired;
// sign from Active to Retired.
type Schedule struct {
	Published time.Time // verifiers may know the key from here on
	Active    time.Time // signers use it from here on
	Retired   time.Time // signers no longer use it
	Expired   time.Time // verifiers no longer accept it
}

// Revocation withdraws a key, whatever its schedule says.
type Revocation struct {
	At     time.Time
	Reason string
}

// Key is what the trust bundle says of one signing key. It is immutable once in a Bundle.
type Key struct {
	*Verifier

	Producer string
	Sources  []string // patterns, see MatchSource; none = nothing is allowed
	Types    []string // patterns, see MatchType; none = nothing is allowed
	Accounts []string // AWS accounts; nil = unchecked, empty = none is allowed
	Schedule Schedule
	Revoked  *Revocation // nil = not revoked
	Aliases  []string    // key IDs under which other implementations name this key; at most MaxAliases
}

// MarshalJSON is the key's entry in the bundle: a public JWK with members of ours.
func (k *Key) MarshalJSON() ([]byte, error) { return k.append(nil), nil }
