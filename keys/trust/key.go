package trust

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// The limits of a key, beside those of package keydoc. Each is checked before what it bounds is built.
const (
	maxAliases     = 8   // per key: other implementations' names for it
	maxSharedAlias = 8   // keys of one alias: each costs a verification per signature that names it
	maxAlias       = 256 // bytes of an alias
)

// Key is the entry of one public key in the trust bundle: a producer's signing key, which has a Verifier, or
// a consumer's encryption key, which has a Recipient. It is immutable once in a Bundle.
type Key struct {
	Verifier  *keys.Verifier  // of a signing key; nil = an encryption key
	Recipient *keys.Recipient // of an encryption key; nil = a signing key

	Producer string // owns the signing key
	Consumer string // owns the encryption key
	// Schedule bounds the use of the key. For an encryption key, Published, Active and Retired bound when
	// producers encrypt to it, and Expired also bounds when the consumer opens with it.
	Schedule keys.Schedule
	Revoked  *Revocation // nil = not revoked
	// Tainted asks to go off the key before it is revoked: signers and writers prefer another key of the same
	// owner and warn, and consumers accept it and count.
	Tainted bool
	// Since is when a bundle was first vouched for that had this grant, or one that covers it: the key with its
	// owner, schedule, sources, types and accounts. Whole seconds; zero = with this bundle. See Bundle.KnownAt.
	Since time.Time

	// Only signing keys have these.

	Sources  []string // patterns, see keys.MatchSource; none = nothing is allowed
	Types    []string // patterns, see keys.MatchType; none = nothing is allowed
	Accounts []string // AWS accounts; nil = unchecked, empty = none is allowed
	// Before is the part of the grant that every consumer knew when the bundle was issued: a producer may use it
	// before Bundle.KnownAt. It changes no verdict. nil = none.
	Before  *Grant
	Aliases []string // key IDs under which other implementations name this key; at most 8
}

// Grant is what a signing key may do, and when.
type Grant struct {
	Schedule keys.Schedule
	Sources  []string // as those of Key
	Types    []string
	Accounts []string
}

// Revocation withdraws a key, whatever its schedule says.
type Revocation struct {
	At     time.Time
	Reason string
}

// KeyID is the ID of the key, its JWK thumbprint (RFC 7638); "" = the entry has no key.
func (k *Key) KeyID() string {
	switch {
	case k.Verifier != nil:
		return k.Verifier.KeyID()
	case k.Recipient != nil:
		return k.Recipient.KeyID()
	}
	return ""
}

// StateAt is the key's state: a pure function of the key and the time.
func (k *Key) StateAt(now time.Time) keys.State {
	if k.Revoked != nil {
		return keys.StateRevoked
	}
	return k.Schedule.StateAt(now)
}

// AllowsAccount reports whether the key may be used from that AWS account. "" means that no service named an
// account; only a key without an account list allows that.
func (k *Key) AllowsAccount(account string) bool {
	return k.Accounts == nil || account != "" && slices.Contains(k.Accounts, account)
}

// append writes the key's entry in the bundle: what keys.PublicKey writes, with more members. The key has
// passed check. A bundle may have 20,000 keys, so each is written in one go, with the memory of o.
func (k *Key) append(dst []byte, o *keydoc.Object) []byte {
	o.Reset()
	(&Grant{k.Schedule, k.Sources, k.Types, k.Accounts}).addTo(o)
	if v := k.Verifier; v != nil {
		if v.Algorithm() != keys.MLDSA65 { // whose thumbprint has it
			o.String("alg", string(v.Algorithm()))
		}
		o.Members(v.ThumbprintJWK())
		o.String("kid", v.KeyID())
		o.String("producer", k.Producer)
		o.String("use", "sig")
	} else {
		o.Members(k.Recipient.JWK())
		o.String("consumer", k.Consumer)
	}
	if len(k.Aliases) > 0 {
		o.Strings("aliases", k.Aliases)
	}
	if k.Before != nil {
		var before keydoc.Object
		k.Before.addTo(&before)
		o.Raw("before", before.Append(nil))
	}
	if k.Revoked != nil {
		var r keydoc.Object
		r.Time("at", k.Revoked.At)
		r.String("reason", k.Revoked.Reason)
		o.Raw("revoked", r.Append(nil))
	}
	o.Time("since", k.Since)
	if k.Tainted {
		o.Raw("tainted", []byte("true"))
	}
	return o.Append(dst)
}

// addTo adds the members in their order, which costs least.
func (g *Grant) addTo(o *keydoc.Object) {
	if g.Accounts != nil {
		o.Strings("accounts", g.Accounts)
	}
	o.Time("active", g.Schedule.Active)
	o.Time("expired", g.Schedule.Expired)
	o.Time("published", g.Schedule.Published)
	o.Time("retired", g.Schedule.Retired)
	if g.Sources != nil {
		o.Strings("sources", g.Sources)
	}
	if g.Types != nil {
		o.Strings("types", g.Types)
	}
}

// parseKey reads an entry twice: first the members that the bundle adds, then the public key.
func parseKey(raw []byte) (*Key, error) {
	k := &Key{}
	var kid, use []byte
	r := jsontext.NewDecoder(raw)
	for obj := r.Object(); r.Member(&obj); {
		switch string(obj.Name) {
		case "kid":
			kid = r.Bytes()
		case "use":
			use = r.Bytes()
		default:
			k.readMember(obj.Name, &r)
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if string(use) != "sig" && string(use) != "enc" {
		return nil, errors.New(`"use" is neither "sig" nor "enc"`)
	}
	public, err := keys.ParsePublicKey(raw)
	if err != nil {
		return nil, keydoc.Unprefixed(err)
	}
	if id := public.KeyID(); id != string(kid) {
		return nil, fmt.Errorf("kid %q is not the key's thumbprint, %s", keydoc.Clip(string(kid)), id)
	}
	k.Verifier, k.Recipient, k.Schedule = public.Verifier, public.Recipient, public.Schedule
	k.Producer, k.Consumer = public.Producer, public.Consumer
	return k, nil
}

// readMember reads a member that the bundle adds and skips a member of the public key. It refuses every other
// member, because it may be a restriction.
func (k *Key) readMember(name []byte, r *jsontext.Decoder) {
	switch string(name) {
	case "accounts":
		k.Accounts = keydoc.ReadStrings(r, keydoc.MaxAccounts)
	case "aliases":
		k.Aliases = keydoc.ReadStrings(r, maxAliases)
	case "sources":
		k.Sources = keydoc.ReadStrings(r, keydoc.MaxPatterns)
	case "types":
		k.Types = keydoc.ReadStrings(r, keydoc.MaxPatterns)
	case "before":
		k.Before = readGrant(r)
	case "revoked":
		k.Revoked = readRevocation(r)
	case "since":
		k.Since = keydoc.ReadTime(r)
	case "tainted":
		if k.Tainted = string(r.ReadValue()) == "true"; !k.Tainted {
			r.Failf("tainted is not true: a key that is not tainted lacks it")
		}
	case "alg", "crv", "kty", "x", "y", "pub", "d", "priv", // a private member is refused later
		"producer", "consumer", "published", "active", "retired", "expired":
		r.SkipValue()
	default:
		r.Failf("unknown member %q", keydoc.Clip(string(name)))
	}
}

func readGrant(r *jsontext.Decoder) *Grant {
	g := &Grant{}
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "published":
			g.Schedule.Published = keydoc.ReadTime(r)
		case "active":
			g.Schedule.Active = keydoc.ReadTime(r)
		case "retired":
			g.Schedule.Retired = keydoc.ReadTime(r)
		case "expired":
			g.Schedule.Expired = keydoc.ReadTime(r)
		case "sources":
			g.Sources = keydoc.ReadStrings(r, keydoc.MaxPatterns)
		case "types":
			g.Types = keydoc.ReadStrings(r, keydoc.MaxPatterns)
		case "accounts":
			g.Accounts = keydoc.ReadStrings(r, keydoc.MaxAccounts)
		default:
			r.Failf("unknown member %q in before", keydoc.Clip(name))
		}
	}
	return g
}

func readRevocation(r *jsontext.Decoder) *Revocation {
	rev := &Revocation{}
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "at":
			rev.At = keydoc.ReadTime(r)
		case "reason":
			rev.Reason = r.String()
		default:
			r.Failf("unknown member %q in a revocation", keydoc.Clip(name))
		}
	}
	return rev
}

// clone copies the key, so that the key in the bundle cannot change. Verifiers and recipients are immutable.
func (k *Key) clone() *Key {
	c := *k
	c.Sources, c.Types = slices.Clone(k.Sources), slices.Clone(k.Types)
	c.Accounts, c.Aliases = slices.Clone(k.Accounts), slices.Clone(k.Aliases)
	c.Schedule, c.Since = k.Schedule.WholeSeconds(), keydoc.WholeSecond(k.Since)
	if g := k.Before; g != nil {
		c.Before = &Grant{g.Schedule.WholeSeconds(), slices.Clone(g.Sources), slices.Clone(g.Types),
			slices.Clone(g.Accounts)}
	}
	if r := k.Revoked; r != nil {
		c.Revoked = &Revocation{At: keydoc.WholeSecond(r.At), Reason: r.Reason}
	}
	return &c
}

// check judges one key of a bundle that was issued then.
func (k *Key) check(issued time.Time) error {
	if err := k.checkUse(); err != nil {
		return err
	}
	if k.Verifier != nil {
		if err := k.checkSigning(); err != nil {
			return err
		}
	} else if err := keys.CheckProducer(k.Consumer); err != nil {
		return fmt.Errorf("the name of its consumer: %w", err)
	}
	if k.Revoked != nil {
		if err := keydoc.CheckRevocation(k.Revoked.At, k.Revoked.Reason); err != nil {
			return err
		}
	}
	if !writable(k.Since) || k.Since.After(issued) {
		return fmt.Errorf("since %s is after the bundle was issued", k.Since.Format(keydoc.TimeFormat))
	}
	return k.Schedule.Check()
}

// checkUse refuses an entry that is for neither use, or for both.
func (k *Key) checkUse() error {
	limits := k.Sources != nil || k.Types != nil || k.Accounts != nil || k.Aliases != nil || k.Before != nil
	switch {
	case (k.Verifier == nil) == (k.Recipient == nil):
		return errors.New("an entry has a Verifier or a Recipient, and not both")
	case k.Verifier != nil && k.Consumer != "":
		return errors.New("a signing key has a producer, and no consumer")
	case k.Recipient != nil && (k.Producer != "" || limits):
		return errors.New("an encryption key has a consumer and a schedule, and no producer, sources, types, accounts, aliases or before")
	}
	return nil
}

func (k *Key) checkSigning() error {
	if err := keys.CheckProducer(k.Producer); err != nil {
		return err
	}
	if err := (&Grant{k.Schedule, k.Sources, k.Types, k.Accounts}).check(); err != nil {
		return err
	}
	if k.Before == nil {
		return nil
	}
	if err := k.Before.check(); err != nil {
		return fmt.Errorf("before: %w", err)
	}
	return nil
}

func (g *Grant) check() error {
	if err := keys.CheckScope(g.Sources, g.Types); err != nil {
		return err
	}
	if err := keydoc.CheckAccounts(g.Accounts); err != nil {
		return err
	}
	return g.Schedule.Check()
}
