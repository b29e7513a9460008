package envelope

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// DefaultMaxAge is the window of a consumer on a bus: EventBridge retries for 24 hours.
const DefaultMaxAge = 24*time.Hour + 5*time.Minute

// DefaultSkew is how far the clocks of producers and consumers may differ.
const DefaultSkew = 5 * time.Minute

// maxSkew bounds Skew. A clock that is wrong by a day is broken. A larger Skew would accept events from the
// future and keys that are not yet valid.
const maxSkew = 24 * time.Hour

// maxDuration bounds MaxAge: with Skew added, any time must stay far from where 64 bits of nanoseconds end.
// An overflow would be a window that no event passes.
const maxDuration = 10 * 365 * 24 * time.Hour

// Mode says how extension attributes that are not signed are returned. A mode changes only the result, never
// the verification.
type Mode int

// The modes.
const (
	Strict      Mode = iota // they are dropped
	Passthrough             // they come back in Opened.Unverified
	CoreOnly                // every extension attribute is dropped
)

// Policy is the acceptance policy: it says what an event must satisfy. A consumer has one, and Open and
// consumer.New take the same. Everything that weakens a check is in Unsafe. The zero Policy is refused: name
// the Sources.
//
// MaxAge is the window: how old an event may be. It includes the time that a message may wait in a queue and
// in its dead-letter queue, because an event that waited longer is rejected as expired.
type Policy struct {
	// Sources are patterns (keys.MatchSource) of the accepted sources. None is refused: see Unsafe.AnySource.
	Sources []string
	// Types are patterns (keys.MatchType) of the accepted types; nil = every type that the bundle allows.
	Types []string
	// Audience must be among the signed audience; "" = unchecked.
	Audience string

	MaxAge time.Duration // the window; 0 = DefaultMaxAge, at most 10 years
	Skew   time.Duration // tolerated difference of clocks; 0 = DefaultSkew, at most maxSkew

	// Mode says what becomes of extension attributes that are not signed; 0 = Strict, they are dropped.
	Mode Mode
	// RequiredAlgorithms must each have a counted signature of the producer; nil = any one signature.
	RequiredAlgorithms []keys.Algorithm
	// ExtensionTypes are the types of extensions that other implementations signed, and the names that may be
	// Binary; nil = documented types only. A type has its name of CloudEvents 1.0: "Boolean", "Integer",
	// "String", "Binary", "URI", "URI-reference" or "Timestamp".
	ExtensionTypes map[string]string

	// IgnoreMembers are the names of members that hops are known to add to an EventBridge detail, beside the
	// data of the Embedded layout. If the data is not the signed data, it is tried once more without all of
	// them: the signature decides. At most 16 names. nil = "_datadog", which Datadog's instrumentation of the
	// AWS SDKs adds to every PutEvents entry; empty = none. In the Structured layout, and on other
	// transports, a member whose name no attribute can have is ignored without being listed.
	IgnoreMembers []string

	// Decrypter opens encrypted data, after all other checks; nil = encrypted data is not_a_recipient.
	Decrypter *Decrypter
	// RequireEncrypted is true if all of the data must be encrypted, else not_encrypted.
	RequireEncrypted bool
	// RequireEncryptedFields are JSON Pointers (RFC 6901). A member that one of them points to must be
	// encrypted, on its own or within an encrypted member. A member that is absent is no violation.
	RequireEncryptedFields []string

	// NoKeyTables verifies every signature by the standard library alone, and keeps no multiples of public
	// keys: see keys.Verifier.VerifyOften. The verdicts are the same.
	NoKeyTables bool

	Now    func() time.Time // the wall clock; nil = time.Now
	Unsafe Unsafe           // the checks that are switched off; zero = none
}

// Unsafe lists the checks of a Policy that are switched off. The zero value checks everything.
type Unsafe struct {
	// AnySource needs no Sources: the trust bundle alone decides.
	AnySource bool
	// AnyAge does not judge the time of sealing: only a signed expirytime is judged. consumer.New refuses it.
	AnyAge bool
	// IgnoreAccount does not look at the account lists of the trust bundle.
	IgnoreAccount bool
	// AllowUndated accepts an event without a signed time of sealing. A consumer may handle it again after
	// its claim is forgotten.
	AllowUndated bool
	// AcceptBeforeRevocation lets a revoked key count for an event that claims to be sealed before.
	AcceptBeforeRevocation bool
	// AllowUncommitted accepts encrypted data of other libraries that does not commit to its key (kc), is not
	// bound to its event (aad), or neither. The author of such data may have made it to read differently to
	// each recipient, and a producer of the same source may have moved it here.
	AllowUncommitted bool
}

// clone shares nothing that the caller could change after the check.
func (p *Policy) clone() Policy {
	c := *p
	c.Sources, c.Types = slices.Clone(p.Sources), slices.Clone(p.Types)
	c.RequiredAlgorithms, c.ExtensionTypes = slices.Clone(p.RequiredAlgorithms), maps.Clone(p.ExtensionTypes)
	c.RequireEncryptedFields = slices.Clone(p.RequireEncryptedFields)
	c.IgnoreMembers = slices.Clone(p.IgnoreMembers)
	return c
}

// check refuses what is missing, contradicts itself, or could match no event.
func (p *Policy) check() error {
	switch {
	case len(p.Sources) == 0 && !p.Unsafe.AnySource:
		return errors.New("no Sources: name the sources that are accepted " +
			"(Unsafe.AnySource leaves it to the trust bundle)")
	case len(p.Sources) > 0 && p.Unsafe.AnySource:
		return errors.New("both Sources and Unsafe.AnySource: give one of them")
	case p.Types != nil && len(p.Types) == 0:
		return errors.New("the list of Types is empty: nil accepts every type that the trust bundle allows")
	case strings.ContainsRune(p.Audience, ' '):
		return fmt.Errorf("the Audience %q is not one name", p.Audience)
	case p.Mode < Strict || p.Mode > CoreOnly:
		return fmt.Errorf("the Mode is %d: give Strict, Passthrough or CoreOnly", p.Mode)
	case p.MaxAge != 0 && p.Unsafe.AnyAge:
		return errors.New("both MaxAge and Unsafe.AnyAge: give one of them")
	case p.MaxAge < 0 || p.MaxAge > maxDuration:
		return fmt.Errorf("MaxAge is %v: give a duration of at most %v, or 0 for %v", p.MaxAge, maxDuration,
			DefaultMaxAge)
	case p.Skew < 0 || p.Skew > maxSkew:
		return fmt.Errorf("Skew is %v: give a duration of at most %v, or 0 for %v", p.Skew, maxSkew,
			DefaultSkew)
	}
	for _, pattern := range p.Sources {
		if err := keys.CheckSourcePattern(pattern); err != nil {
			return err
		}
	}
	for _, pattern := range p.Types {
		if err := keys.CheckTypePattern(pattern); err != nil {
			return err
		}
	}
	for _, a := range p.RequiredAlgorithms {
		if a.SignatureSize() == 0 { // a misspelled algorithm would reject every event
			return fmt.Errorf("RequiredAlgorithms has %q: give some of %q", a, keys.Algorithms())
		}
	}
	if err := wire.CheckTypes(p.ExtensionTypes); err != nil {
		return err
	}
	if err := wire.CheckIgnoreMembers(p.IgnoreMembers); err != nil {
		return fmt.Errorf("IgnoreMembers: %w", err)
	}
	return nil
}

// Opener opens events by one Policy and one source of trust. It is safe for concurrent use.
type Opener struct {
	trust  trust.Source
	policy Policy
}

// NewOpener checks the policy, once for all events. A later change of the policy has no effect. The error of
// a policy that is incomplete says what to set.
func NewOpener(trust trust.Source, p *Policy) (*Opener, error) {
	var own Policy
	if p != nil {
		own = p.clone()
	}
	o, err := newOpener(trust, &own)
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	return o, nil
}

// newOpener shares the lists of p, which may be nil.
func newOpener(trust trust.Source, p *Policy) (*Opener, error) {
	o := &Opener{trust: trust}
	if p != nil {
		o.policy = *p
	}
	if err := nilcheck.Check("the trust", trust); err != nil {
		return nil, err
	}
	own := &o.policy
	if err := own.check(); err != nil {
		return nil, fmt.Errorf("the Policy: %w", err)
	}
	if own.MaxAge == 0 && !own.Unsafe.AnyAge {
		own.MaxAge = DefaultMaxAge
	}
	if own.Skew == 0 {
		own.Skew = DefaultSkew
	}
	if own.IgnoreMembers == nil {
		own.IgnoreMembers = wire.DefaultIgnoreMembers
	}
	if own.Now == nil {
		own.Now = time.Now
	}
	for _, text := range o.policy.RequireEncryptedFields {
		if err := jsontext.CheckPointer(text, nil); err != nil {
			return nil, fmt.Errorf("the Policy: RequireEncryptedFields: %w", err)
		}
	}
	return o, nil
}

// Policy is a copy of the acceptance policy, with the defaults filled in.
func (o *Opener) Policy() Policy { return o.policy.clone() }
