package keydoc

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The limits of the documents. Each is checked before what it bounds is built.
const (
	MaxBundle = 16 << 20 // bytes of a bundle's payload
	MaxKeys   = 20_000   // of a bundle, of any use

	// MaxSigned bounds a signed bundle or roots file, in bytes: MaxBundle in base64, and signatures that may all
	// be of ML-DSA.
	MaxSigned = MaxBundle/3*4 + 128<<10

	// MaxRoots bounds signed roots that follow others, in bytes: 32 keys and 16 signatures, all of ML-DSA.
	MaxRoots = 256 << 10

	MaxPolicy = 8 << 20 // bytes of a policy file: room for all keys of a bundle

	MaxPatterns = 1_000 // of a list of sources or types: each is looked at for each event
	MaxAccounts = 1_000 // of one key
	MaxReason   = 1_024 // bytes of a revocation's reason
)

// The limits of a timestamp, and of a bundle that counts only together with one.
const (
	MaxTimestamp  = 256 << 10 // bytes, signed: consumers fetch it every few minutes
	MaxWithdrawn  = 1_000     // revoked keys of one timestamp, and its revoked sessions
	MaxFreshness  = 7 * 24 * time.Hour
	MaxVouchedFor = 400 * 24 * time.Hour // the life of a bundle that needs a timestamp: a year and some weeks

	TimestampSkew = 5 * time.Minute // how far a timestamp may be issued in the future, because clocks differ
	// MaxRemembered bounds the revocations that a consumer remembers. The thief of a timestamp key could
	// otherwise fill its memory.
	MaxRemembered = 5_000
)

// The bounds of how often consumers look for a newer bundle, and of how long a cache may serve an old one.
const (
	DefaultRefresh = time.Minute // of sources, if the bundle does not say
	MaxRefreshHint = 7 * 24 * time.Hour
	MaxCache       = 7 * 24 * time.Hour
)

// KnownAfter is how long after a bundle was first vouched for every consumer has it: three refreshes, of
// which two may fail, what a cache adds, and TimestampSkew, because the clock that counts from then on is not
// the clock that said when that was. A refreshHint of 0 counts as DefaultRefresh.
func KnownAfter(refreshHint, cache time.Duration) time.Duration {
	return 3*cmp.Or(refreshHint, DefaultRefresh) + cache + TimestampSkew
}

// The files beside a published bundle.
const (
	TimestampFile = "timestamp.dsse"
	BundlesDir    = "bundles/" // the file's name is the SHA-256 of the bundle's payload, in hexadecimal
	RootsDir      = "roots/"   // the file's name is the version of the roots, in decimal
)

// The limits of a session key.
const (
	MaxSessionLife = time.Hour // verifiers refuse a longer one
	// MaxDelegation bounds the statement that vouches for a session key, in bytes. Each event carries it, and an
	// event has 64 KiB for its signatures.
	MaxDelegation = 16 << 10
)

// The DSSE payload types of a bundle, of roots, of a timestamp, and of the statement by which a key vouches
// for a session key.
const (
	BundleType     = "application/vnd.sealbus.bundle+json"
	RootsType      = "application/vnd.sealbus.roots+json"
	TimestampType  = "application/vnd.sealbus.timestamp+json"
	DelegationType = "application/vnd.sealbus.delegation+json"
)

// CheckAccounts refuses a list that has anything but AWS account numbers of 12 digits, or one of them twice.
func CheckAccounts(accounts []string) error {
	if len(accounts) > MaxAccounts {
		return fmt.Errorf("more than %d accounts", MaxAccounts)
	}
	for _, a := range accounts {
		if len(a) != 12 || strings.Trim(a, "0123456789") != "" {
			return fmt.Errorf("account %q is not 12 digits", Clip(a))
		}
	}
	return NoRepetition("account", accounts)
}

// CheckRevocation refuses a revocation without a time, or with a reason of more than 1,024 bytes or with
// control characters.
func CheckRevocation(at time.Time, reason string) error {
	switch {
	case at.IsZero() || at.Year() < 1 || at.Year() > 9999:
		return errors.New("a revocation without a time")
	case len(reason) > MaxReason || !Printable(reason):
		return fmt.Errorf("the reason of a revocation is not within %d printable bytes", MaxReason)
	}
	return nil
}
