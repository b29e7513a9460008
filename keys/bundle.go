package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/howlong"
)

// The limits of a bundle. Each is checked before what it bounds is built.
const (
	MaxBundle          = 16 << 20 // bytes of the payload
	MaxKeys            = 20_000   // of any use
	MaxAliases         = 8        // per key: other implementations' names for it
	MaxSharedAlias     = 8        // keys of one alias: each costs a verification per signature that names it
	MaxAlias           = 256      // bytes of an alias
	MaxPatterns        = 1_000    // source or type patterns per key: each is looked at per event
	MaxAccounts        = 1_000    // per key
	MaxReason          = 1_024    // bytes of a revocation's reason
	MaxRevokedSessions = 100_000

	// MaxBundleVersion is the highest number that every JSON reader keeps exact.
	MaxBundleVersion = 1<<53 - 1
	// MaxRefreshHint bounds how long a consumer may go without looking for a newer bundle.
	MaxRefreshHint = 7 * 24 * time.Hour
	// MaxBundleLifetime is how far ahead a bundle expires at most unless its builder says otherwise: a
	// revocation that an attacker withholds takes effect then.
	MaxBundleLifetime = 7 * 24 * time.Hour
)

// Bundle is an immutable set of keys with what each may do.
type Bundle struct {
	version     int64
	issued      time.Time
	expires     time.Time
	refreshHint time.Duration
	keys        []*Key
	encryption  []*EncryptionKey
	byID        map[string][]*Key // by key ID and by alias
	revoked     []string          // session thumbprints, sorted
	revokedSess map[string]struct{}
}

var _ Source = (*Bundle)(nil)

// BundleOptions is what a bundle says beside its signing keys. The zero value is a bundle for use in the
// program that made it; to be signed it needs Version, Issued and Expires.
type BundleOptions struct {
	Version         int64            // 0 = none; at most MaxBundleVersion
	Issued, Expires time.Time        // cut to whole seconds; zero = absent, and never expires
	RefreshHint     time.Duration    // whole seconds, at most MaxRefreshHint and shorter than the bundle lives; 0 = none
	RevokedSessions []string         // thumbprints of session keys
	EncryptionKeys  []*EncryptionKey // of the consumers, copied and checked as the signing keys are; nil = none
}

// NewBundle makes a bundle of these keys, which it copies and checks: times are cut to whole seconds, and the
// order becomes that of the key IDs.
func NewBundle(opts BundleOptions, keys ...*Key) (*Bundle, error) {
	b := &Bundle{
		version: opts.Version, issued: wholeSecond(opts.Issued), expires: wholeSecond(opts.Expires),
		refreshHint: opts.RefreshHint, revoked: sortedCopy(opts.RevokedSessions),
	}
	for _, k := range keys {
		if k == nil || k.Verifier == nil {
			return nil, errors.New("keys: a bundle key without a Verifier")
		}
		b.keys = append(b.keys, k.clone())
	}
	for _, k := range opts.EncryptionKeys {
		if k == nil || k.Recipient == nil {
			return nil, errors.New("keys: an encryption key of a bundle without a Recipient")
		}
		b.encryption = append(b.encryption, k.clone())
	}
	if err := errors.Join(b.checkHint(), b.index()); err != nil {
		return nil, fmt.Errorf("keys: bundle: %w", err)
	}
	return b, nil
}

// checkHint keeps a new bundle from being looked after too late. One that is read needs no such check: a hint
// is no promise, and FileSource looks at the expiry anyway.
func (b *Bundle) checkHint() error {
	if b.issued.IsZero() || b.expires.IsZero() || b.refreshHint == 0 {
		return nil
	}
	switch lifetime := b.expires.Sub(b.issued); {
	case lifetime <= 0:
		return fmt.Errorf("it is issued at %s and expires at %s, which is not later",
			b.issued.Format(timeFormat), b.expires.Format(timeFormat))
	case b.refreshHint >= lifetime:
		return fmt.Errorf("the refresh hint %s is not shorter than the %s that the bundle lives",
			howlong.Text(b.refreshHint), howlong.Text(lifetime))
	}
	return nil
}

func sortedCopy(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// clone copies the key, so that what a bundle holds cannot change. The verifier is immutable.
func (k *Key) clone() *Key {
	c := *k
	c.Sources, c.Types = slices.Clone(k.Sources), slices.Clone(k.Types)
	c.Accounts, c.Aliases = slices.Clone(k.Accounts), slices.Clone(k.Aliases)
	c.Schedule = k.Schedule.wholeSeconds()
	c.Revoked = k.Revoked.clone()
	return &c
}

func (r *Revocation) clone() *Revocation {
	if r == nil {
		return nil
	}
	return &Revocation{At: wholeSecond(r.At), Reason: r.Reason}
}

// Bundle makes every Bundle a static Source of itself.
func (b *Bundle) Bundle(context.Context) (*Bundle, error) { return b, nil }

// Lookup is every key whose ID or alias is keyID: at most one for an ID, at most MaxSharedAlias for an alias.
// The slice is not to be changed.
func (b *Bundle) Lookup(keyID string) []*Key { return b.byID[keyID] }

// Candidates are the signing keys that may speak for source and sign typ, and whose signatures have size
// bytes, in the order of their IDs; the first most of them. It is for signatures that name no key.
func (b *Bundle) Candidates(source, typ string, size, most int) (list []*Key) {
	if CheckSource(source) != nil || !isSignatureSize(size) {
		return nil
	}
	for _, k := range b.keys {
		if len(list) == most {
			break
		}
		if k.Algorithm().SignatureSize() == size && k.AllowsType(typ) && matchesSource(k.Sources, source) {
			list = append(list, k)
		}
	}
	return list
}

func isSignatureSize(size int) bool {
	return slices.ContainsFunc(Algorithms(), func(a Algorithm) bool { return a.SignatureSize() == size })
}

// Keys are the signing keys, in the order of their IDs. Neither they nor what they hold is to be changed.
func (b *Bundle) Keys() []*Key { return slices.Clone(b.keys) }

// Version is the bundle's version, which only grows; 0 = none (only for bundles made in the program).
func (b *Bundle) Version() int64 { return b.version }

// Issued is when the bundle was made.
func (b *Bundle) Issued() time.Time { return b.issued }

// Expires is when the bundle may no longer be used; zero = never (only for bundles made in the program).
func (b *Bundle) Expires() time.Time { return b.expires }

// RefreshHint is how often to look for a newer bundle; 0 = the bundle does not say.
func (b *Bundle) RefreshHint() time.Duration { return b.refreshHint }

// RevokedSessions are the thumbprints of the revoked session keys, sorted.
func (b *Bundle) RevokedSessions() []string { return slices.Clone(b.revoked) }

// SessionRevoked reports whether the bundle revokes the session key of that thumbprint.
func (b *Bundle) SessionRevoked(thumbprint string) bool {
	_, yes := b.revokedSess[thumbprint]
	return yes
}

// index checks everything, sorts and builds the look-up tables.
func (b *Bundle) index() error {
	if err := b.checkHead(); err != nil {
		return err
	}
	slices.SortFunc(b.keys, func(x, y *Key) int { return strings.Compare(x.id, y.id) })
	slices.SortFunc(b.encryption, compareEncryptionKeys)
	ids, err := b.indexIDs()
	if err != nil {
		return err
	}
	for _, k := range b.keys {
		if err := k.check(); err != nil {
			return fmt.Errorf("key %s: %w", k.id, err)
		}
		if err := b.indexAliases(k, ids); err != nil {
			return fmt.Errorf("key %s: %w", k.id, err)
		}
	}
	for _, k := range b.encryption {
		if err := k.check(); err != nil {
			return fmt.Errorf("key %s: %w", k.id, err)
		}
	}
	return b.indexSessions()
}

func (b *Bundle) checkHead() error {
	switch {
	case b.version < 0 || b.version > MaxBundleVersion:
		return fmt.Errorf("version %d is not within 0 to 2^53-1", b.version)
	case b.refreshHint < 0 || b.refreshHint > MaxRefreshHint || b.refreshHint%time.Second != 0:
		return fmt.Errorf("the refresh hint %s is not in whole seconds up to %s", b.refreshHint, MaxRefreshHint)
	case !writable(b.issued) || !writable(b.expires):
		return errors.New("the year of issued or expires is not within 1 to 9999")
	case !b.issued.IsZero() && !b.expires.IsZero() && !b.issued.Before(b.expires):
		return errors.New("expires is not after issued")
	case len(b.keys)+len(b.encryption) > MaxKeys:
		return fmt.Errorf("more than %d keys", MaxKeys)
	case len(b.revoked) > MaxRevokedSessions:
		return fmt.Errorf("more than %d revoked sessions", MaxRevokedSessions)
	}
	return nil
}

func writable(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

// indexIDs enters the keys under their IDs; it returns the IDs of all keys, those for encryption too.
func (b *Bundle) indexIDs() (map[string]struct{}, error) {
	b.byID = make(map[string][]*Key, len(b.keys))
	ids := make(map[string]struct{}, len(b.keys)+len(b.encryption))
	for i, k := range b.keys {
		if _, dup := ids[k.id]; dup {
			return nil, fmt.Errorf("key %s stands twice", k.id)
		}
		ids[k.id] = struct{}{}
		b.byID[k.id] = b.keys[i : i+1 : i+1]
	}
	for _, k := range b.encryption {
		if _, dup := ids[k.id]; dup {
			return nil, fmt.Errorf("key %s stands twice", k.id)
		}
		ids[k.id] = struct{}{}
	}
	return ids, nil
}

func (b *Bundle) indexAliases(k *Key, ids map[string]struct{}) error {
	if len(k.Aliases) > MaxAliases {
		return fmt.Errorf("more than %d aliases", MaxAliases)
	}
	for i, alias := range k.Aliases {
		switch _, isID := ids[alias]; {
		case alias == "" || len(alias) > MaxAlias || !printable(alias):
			return fmt.Errorf("an alias is not 1 to %d printable bytes", MaxAlias)
		case isID:
			return fmt.Errorf("alias %q is the ID of a key", alias)
		case slices.Contains(k.Aliases[:i], alias):
			return fmt.Errorf("alias %q stands twice", alias)
		case len(b.byID[alias]) == MaxSharedAlias:
			return fmt.Errorf("alias %q is shared by more than %d keys", alias, MaxSharedAlias)
		}
		b.byID[alias] = append(b.byID[alias], k)
	}
	return nil
}

func (b *Bundle) indexSessions() error {
	b.revokedSess = make(map[string]struct{}, len(b.revoked))
	for _, s := range b.revoked {
		if !isThumbprint(s) {
			return fmt.Errorf("revoked session %q is not a thumbprint", clip(s))
		}
		if _, dup := b.revokedSess[s]; dup {
			return fmt.Errorf("revoked session %s stands twice", s)
		}
		b.revokedSess[s] = struct{}{}
	}
	return nil
}

// check judges one key on its own.
func (k *Key) check() error {
	if err := CheckProducer(k.Producer); err != nil {
		return err
	}
	if err := CheckScope(k.Sources, k.Types); err != nil {
		return err
	}
	if err := CheckAccounts(k.Accounts); err != nil {
		return err
	}
	if k.Revoked != nil {
		if err := k.Revoked.Check(); err != nil {
			return err
		}
	}
	return k.Schedule.Check()
}

// Check refuses a revocation without a time, or with a reason beyond MaxReason or with control characters.
func (r *Revocation) Check() error {
	switch {
	case r.At.IsZero() || !writable(r.At):
		return errors.New("a revocation without a time")
	case len(r.Reason) > MaxReason || !printable(r.Reason):
		return fmt.Errorf("the reason of a revocation is not within %d printable bytes", MaxReason)
	}
	return nil
}

// CheckScope refuses source patterns that CheckSourcePattern and type patterns that CheckTypePattern refuses,
// repetitions, and more than MaxPatterns of either.
func CheckScope(sources, types []string) error {
	if len(sources) > MaxPatterns || len(types) > MaxPatterns {
		return fmt.Errorf("more than %d patterns", MaxPatterns)
	}
	for _, p := range sources {
		if err := CheckSourcePattern(p); err != nil {
			return err
		}
	}
	for _, p := range types {
		if err := CheckTypePattern(p); err != nil {
			return err
		}
	}
	return errors.Join(noRepetition("source pattern", sources), noRepetition("type pattern", types))
}

func noRepetition(what string, list []string) error {
	sorted := sortedCopy(list)
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return fmt.Errorf("%s %q stands twice", what, clip(sorted[i]))
		}
	}
	return nil
}

// CheckAccounts refuses what is not a list of AWS account numbers, 12 digits each, without repetition.
func CheckAccounts(accounts []string) error {
	if len(accounts) > MaxAccounts {
		return fmt.Errorf("more than %d accounts", MaxAccounts)
	}
	for _, a := range accounts {
		if len(a) != 12 || strings.Trim(a, "0123456789") != "" {
			return fmt.Errorf("account %q is not 12 digits", clip(a))
		}
	}
	return noRepetition("account", accounts)
}
