package trust

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// The limits of a bundle, beside those of package keydoc. Each is checked before what it bounds is built.
const (
	maxRevokedSessions = 100_000

	// maxBundleVersion is the highest number that every JSON reader keeps exact.
	maxBundleVersion = 1<<53 - 1
	// MaxBundleLifetime is the longest time until a bundle expires, unless its builder sets another. A
	// revocation that an attacker withholds takes effect when the last bundle expires.
	MaxBundleLifetime = 7 * 24 * time.Hour
)

// Bundle is an immutable set of keys, each with the things that it may do.
type Bundle struct {
	version     int64
	issued      time.Time
	expires     time.Time
	refreshHint time.Duration
	cache       time.Duration
	keys        []*Key            // in the order of their IDs
	signing     map[string][]*Key // the signing keys by key ID and by alias
	revoked     []string          // session thumbprints, sorted
	revokedSess map[string]struct{}

	stamp          *Timestamp // by which this view of a signed bundle counts; nil = none
	since          time.Time  // when a timestamp named it first, or not long after; zero = there are none
	needsTimestamp bool
	timestamps     int64 // revocations since up to it are taken over or overruled here; 0 = none
}

var _ Source = (*Bundle)(nil)

// BundleOptions is what a bundle has in addition to its keys. A bundle of the zero value can be used in the
// program that made it. To be signed, a bundle needs Version, Issued and Expires.
type BundleOptions struct {
	Version         int64         // 0 = none; at most 2^53-1
	Issued, Expires time.Time     // cut to whole seconds; zero = absent, and never expires
	RefreshHint     time.Duration // whole seconds, at most 7 days and shorter than the bundle lives; 0 = none
	RevokedSessions []string      // thumbprints of session keys
	// Cache is the longest time for which a cache between the host and a consumer may serve an old file;
	// whole seconds, at most 7 days; 0 = absent.
	Cache time.Duration

	// TimestampRequired is for a bundle that lives for more than 7 days: it counts only with a Timestamp.
	TimestampRequired bool
	// Timestamps is the version of a Timestamp: this bundle takes over or overrules each Withdrawal whose
	// Since is not higher; 0 = none.
	Timestamps int64
}

// NewBundle makes a bundle of these keys. It checks and copies them, cuts their times to whole seconds and
// sorts them by key ID.
func NewBundle(opts BundleOptions, list ...*Key) (*Bundle, error) {
	b := &Bundle{
		version: opts.Version, issued: keydoc.WholeSecond(opts.Issued),
		expires:     keydoc.WholeSecond(opts.Expires),
		refreshHint: opts.RefreshHint, cache: opts.Cache, revoked: slices.Sorted(slices.Values(opts.RevokedSessions)),
		needsTimestamp: opts.TimestampRequired, timestamps: opts.Timestamps,
	}
	for _, k := range list {
		if k == nil || k.KeyID() == "" {
			return nil, errors.New("trust: a key of a bundle without a Verifier or a Recipient")
		}
		b.keys = append(b.keys, k.clone())
	}
	if err := errors.Join(b.checkHint(), b.index()); err != nil {
		return nil, fmt.Errorf("trust: bundle: %w", err)
	}
	return b, nil
}

// checkHint refuses a new bundle whose refresh hint leads past its expiry. A bundle that is read needs no
// such check, because sources also look for a newer bundle when theirs expires.
func (b *Bundle) checkHint() error {
	if b.issued.IsZero() || b.expires.IsZero() || b.refreshHint == 0 {
		return nil
	}
	switch lifetime := b.expires.Sub(b.issued); {
	case lifetime <= 0:
		return fmt.Errorf("it is issued at %s and expires at %s, which is not later",
			b.issued.Format(keydoc.TimeFormat), b.expires.Format(keydoc.TimeFormat))
	case b.refreshHint >= lifetime:
		return fmt.Errorf("the refresh hint %s is not shorter than the %s that the bundle lives",
			howlong.Text(b.refreshHint), howlong.Text(lifetime))
	}
	return nil
}

// Bundle returns b, so that every Bundle is a static Source.
func (b *Bundle) Bundle(context.Context) (*Bundle, error) { return b, nil }

// Lookup is every signing key whose ID or alias is keyID: at most one for an ID, at most 8 for an
// alias. Do not change the slice.
func (b *Bundle) Lookup(keyID string) []*Key { return b.signing[keyID] }

// Candidates are the first most signing keys, in the order of their IDs, that may sign this source and type
// and whose signatures have size bytes. It is for signatures that name no key.
func (b *Bundle) Candidates(source, typ string, size, most int) (list []*Key) {
	isSize := func(a keys.Algorithm) bool { return a.SignatureSize() == size }
	if keys.CheckSource(source) != nil || !slices.ContainsFunc(keys.Algorithms(), isSize) {
		return nil
	}
	for _, k := range b.keys {
		if len(list) == most {
			break
		}
		if k.Verifier != nil && isSize(k.Verifier.Algorithm()) && keys.MatchType(k.Types, typ) &&
			keys.MatchSource(k.Sources, source) {
			list = append(list, k)
		}
	}
	return list
}

// SigningKeys are the keys of the producers, in the order of their IDs. Do not change them or their fields.
func (b *Bundle) SigningKeys() []*Key { return b.ofUse(true) }

// EncryptionKeys are the keys of the consumers, in the order of their IDs. Do not change them or their
// fields.
func (b *Bundle) EncryptionKeys() []*Key { return b.ofUse(false) }

func (b *Bundle) ofUse(signing bool) []*Key {
	list := []*Key{}
	for _, k := range b.keys {
		if (k.Verifier != nil) == signing {
			list = append(list, k)
		}
	}
	return list
}

// Key is the key of that ID, whatever its use; nil = the bundle has none.
func (b *Bundle) Key(keyID string) *Key {
	i, ok := slices.BinarySearchFunc(b.keys, keyID,
		func(k *Key, id string) int { return strings.Compare(k.KeyID(), id) })
	if !ok {
		return nil
	}
	return b.keys[i]
}

// Version is the bundle's version, which only grows; 0 = none (only for bundles made in the program).
func (b *Bundle) Version() int64 { return b.version }

// Issued is when the bundle was made.
func (b *Bundle) Issued() time.Time { return b.issued }

// Expires is when the bundle may no longer be used; zero = never (only for bundles made in the program).
func (b *Bundle) Expires() time.Time { return b.expires }

// RefreshHint is how often to look for a newer bundle; 0 = the bundle does not say.
func (b *Bundle) RefreshHint() time.Duration { return b.refreshHint }

// Cache is how long a cache between the host and a consumer may serve an old file; 0 = the bundle does not
// say.
func (b *Bundle) Cache() time.Duration { return b.cache }

// KnownAt is from when every consumer that can refresh knows the key k of this bundle, with all that it may
// do: 3 x RefreshHint + Cache after that was first vouched for, and 5 minutes more for clocks that differ.
// Without Since it was vouched for when a timestamp first named this bundle or, without timestamps, when the
// bundle was issued. A RefreshHint of 0 counts as the 1 minute after which sources look of themselves. A
// bundle that was made in the program gives the zero time.
func (b *Bundle) KnownAt(k *Key) time.Time {
	if b.issued.IsZero() {
		return time.Time{}
	}
	from := b.issued
	switch {
	case !k.Since.IsZero():
		from = k.Since
	case !b.since.IsZero():
		from = b.since
	}
	return from.Add(keydoc.KnownAfter(b.refreshHint, b.cache))
}

// Timestamps is the version up to which the bundle decided on the revocations of timestamps: it takes over or
// overrules each Withdrawal whose Since is not higher; 0 = none.
func (b *Bundle) Timestamps() int64 { return b.timestamps }

// Timestamp is the timestamp that names the bundle, whose revocations it has; nil = the roots name no
// timestamp keys, or the newest timestamp names another bundle, which is not at hand.
func (b *Bundle) Timestamp() *Timestamp { return b.stamp }

// RevokedSessions are the thumbprints of the revoked session keys, sorted.
func (b *Bundle) RevokedSessions() []string { return slices.Clone(b.revoked) }

// SessionRevoked reports whether the bundle revokes the session key of that thumbprint.
func (b *Bundle) SessionRevoked(thumbprint string) bool {
	_, yes := b.revokedSess[thumbprint]
	return yes
}

// index checks the bundle, sorts its keys and builds the look-up tables.
func (b *Bundle) index() error {
	if err := b.checkHead(); err != nil {
		return err
	}
	slices.SortFunc(b.keys, func(x, y *Key) int { return strings.Compare(x.KeyID(), y.KeyID()) })
	b.signing = make(map[string][]*Key, len(b.keys))
	for i, k := range b.keys {
		id := k.KeyID()
		if i > 0 && b.keys[i-1].KeyID() == id {
			return fmt.Errorf("key %s stands twice", id)
		}
		if k.Verifier != nil {
			b.signing[id] = b.keys[i : i+1 : i+1]
		}
	}
	for _, k := range b.keys {
		err := k.check(b.issued)
		if err == nil {
			err = b.indexAliases(k)
		}
		if err != nil {
			return fmt.Errorf("key %s: %w", k.KeyID(), err)
		}
	}
	return b.indexSessions()
}

func (b *Bundle) checkHead() error {
	switch {
	case b.version < 0 || b.version > maxBundleVersion:
		return fmt.Errorf("version %d is not within 0 to 2^53-1", b.version)
	case b.timestamps < 0 || b.timestamps > maxBundleVersion:
		return fmt.Errorf("timestamps %d is not within 0 to 2^53-1", b.timestamps)
	case b.refreshHint < 0 || b.refreshHint > keydoc.MaxRefreshHint || b.refreshHint%time.Second != 0:
		return fmt.Errorf("the refresh hint %s is not in whole seconds up to %s", b.refreshHint,
			keydoc.MaxRefreshHint)
	case b.cache < 0 || b.cache > keydoc.MaxCache || b.cache%time.Second != 0:
		return fmt.Errorf("the cache time %s is not in whole seconds up to %s", b.cache, keydoc.MaxCache)
	case !writable(b.issued) || !writable(b.expires):
		return errors.New("the year of issued or expires is not within 1 to 9999")
	case !b.issued.IsZero() && !b.expires.IsZero() && !b.issued.Before(b.expires):
		return errors.New("expires is not after issued")
	case len(b.keys) > keydoc.MaxKeys:
		return fmt.Errorf("more than %d keys", keydoc.MaxKeys)
	case len(b.revoked) > maxRevokedSessions:
		return fmt.Errorf("more than %d revoked sessions", maxRevokedSessions)
	}
	return nil
}

func writable(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

func (b *Bundle) indexAliases(k *Key) error {
	if len(k.Aliases) > maxAliases {
		return fmt.Errorf("more than %d aliases", maxAliases)
	}
	for i, alias := range k.Aliases {
		switch isID := b.Key(alias) != nil; {
		case alias == "" || len(alias) > maxAlias || !keydoc.Printable(alias):
			return fmt.Errorf("an alias is not 1 to %d printable bytes", maxAlias)
		case isID:
			return fmt.Errorf("alias %q is the ID of a key", alias)
		case slices.Contains(k.Aliases[:i], alias):
			return fmt.Errorf("alias %q stands twice", alias)
		case len(b.signing[alias]) == maxSharedAlias:
			return fmt.Errorf("alias %q is shared by more than %d keys", alias, maxSharedAlias)
		}
		b.signing[alias] = append(b.signing[alias], k)
	}
	return nil
}

func (b *Bundle) indexSessions() error {
	b.revokedSess = make(map[string]struct{}, len(b.revoked))
	for _, s := range b.revoked {
		if !keydoc.IsThumbprint(s) {
			return fmt.Errorf("revoked session %q is not a thumbprint", keydoc.Clip(s))
		}
		if _, dup := b.revokedSess[s]; dup {
			return fmt.Errorf("revoked session %s stands twice", s)
		}
		b.revokedSess[s] = struct{}{}
	}
	return nil
}
