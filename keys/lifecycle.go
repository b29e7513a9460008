package keys

import (
	"strings"
	"time"
)

// AcceptedAt reports whether the schedule lets a verifier accept, at now, what was sealed at sealed.
// Skew is tolerated only at the two beginnings: an end is an end.
func (s *Schedule) AcceptedAt(now, sealed time.Time, skew time.Duration) bool {
	return notBefore(now, s.Published, skew) && before(now, s.Expired) &&
		notBefore(sealed, s.Active, skew) && before(sealed, s.Retired)
}

// SignsAt reports whether a signer uses the key at now.
func (s *Schedule) SignsAt(now time.Time) bool {
	return notBefore(now, s.Active, 0) && before(now, s.Retired) && before(now, s.Expired)
}

func notBefore(t, bound time.Time, skew time.Duration) bool {
	return bound.IsZero() || !t.Before(bound.Add(-skew))
}

func before(t, bound time.Time) bool { return bound.IsZero() || t.Before(bound) }

// State is where a key stands at a moment.
type State string

// The states of a key, in the order of its life.
const (
	StatePending   State = "pending"   // before Published
	StatePublished State = "published" // known to verifiers, not yet signing
	StateActive    State = "active"    // signing
	StateRetired   State = "retired"   // no longer signing, what it signed is still accepted
	StateExpired   State = "expired"   // no longer accepted
	StateRevoked   State = "revoked"   // withdrawn
)

// StateAt is the key's state: a pure function of the key and the time.
func (k *Key) StateAt(now time.Time) State {
	if k.Revoked != nil {
		return StateRevoked
	}
	return k.Schedule.StateAt(now)
}

// StateAt is the state of a key with this schedule that is not revoked.
func (s *Schedule) StateAt(now time.Time) State {
	switch {
	case !before(now, s.Expired):
		return StateExpired
	case !before(now, s.Retired):
		return StateRetired
	case !notBefore(now, s.Published, 0):
		return StatePending
	case !notBefore(now, s.Active, 0):
		return StatePublished
	}
	return StateActive
}

// AllowsSource reports whether the key may speak for source.
func (k *Key) AllowsSource(source string) bool { return MatchSource(k.Sources, source) }

// AllowsType reports whether the key may sign events of that type.
func (k *Key) AllowsType(typ string) bool { return MatchType(k.Types, typ) }

// AllowsAccount reports whether the key may be used from that AWS account; "" is an account that no
// service named, which only a key without an account list allows.
func (k *Key) AllowsAccount(account string) bool {
	if k.Accounts == nil {
		return true
	}
	for _, a := range k.Accounts {
		if a == account && account != "" {
			return true
		}
	}
	return false
}

// MatchSource reports whether one of the patterns allows source, byte by byte and without any
// normalisation. A pattern is exact or ends in "/*" ("urn:" patterns: ":*"), and then is a prefix that includes
// the "/" (":"), followed by at least one byte. A source that could mean another place than it says (see
// CheckSource) matches nothing.
func MatchSource(patterns []string, source string) bool {
	if CheckSource(source) != nil {
		return false
	}
	for _, p := range patterns {
		if matchOne(p, source, sourceWildcard(p)) {
			return true
		}
	}
	return false
}

// MatchType reports whether one of the patterns allows the event type: exact, a prefix that ends in ".*",
// or "*" for any.
func MatchType(patterns []string, typ string) bool {
	for _, p := range patterns {
		if p == "*" || matchOne(p, typ, strings.HasSuffix(p, ".*")) {
			return true
		}
	}
	return false
}

// matchOne compares exactly or, for a wildcard pattern, against the prefix before its "*".
func matchOne(pattern, s string, wildcard bool) bool {
	if !wildcard {
		return pattern == s && s != ""
	}
	prefix := pattern[:len(pattern)-1]
	return len(s) > len(prefix) && s[:len(prefix)] == prefix
}

func sourceWildcard(pattern string) bool {
	return strings.HasSuffix(pattern, "/*") ||
		len(pattern) >= 4 && strings.EqualFold(pattern[:4], "urn:") && strings.HasSuffix(pattern, ":*")
}
