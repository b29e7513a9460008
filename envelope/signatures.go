package envelope

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

var errBadSignature = errors.New("the signature does not verify")

// unknownKey is the error of a signature whose key is not in the bundle: the one that signed or, under a
// delegation, the one that vouches.
type unknownKey string

func (id unknownKey) Error() string {
	return fmt.Sprintf("key ID %.80q is not in the trust bundle", string(id))
}

// badAlias is the error of a signature that does not verify under the keys of an alias: a newer bundle may
// have another key of that alias, which other implementations keep while the key behind it rotates.
type badAlias string

func (id badAlias) Error() string {
	return fmt.Sprintf("it does not verify under the keys of the alias %.80q", string(id))
}

// unverifiable is the error of a signature by keyID that none of the keys known under it verifies.
func unverifiable(keyID string, known []*trust.Key) error {
	if known[0].KeyID() != keyID {
		return badAlias(keyID)
	}
	return errBadSignature
}

// valid is a signature that verifies: by a key of the bundle, or by a session key that one vouches for.
type valid struct {
	key     *trust.Key
	session *statement // nil = the key itself signed
}

// failure is how far the best of the failing signatures got: it speaks for all of them.
type failure struct {
	rank     int
	reason   Reason
	cause    string
	nameless bool // the signature names no key
}

func (f *failure) verdict() *Error {
	e := reject(f.reason, "%s", f.cause)
	if f.nameless {
		e.Advice = namelessFix
	}
	return e
}

// progress is the order in which the checks of one signature come.
var progress = []Reason{ReasonUnknownKey, ReasonBadSignature, ReasonRevokedKey, ReasonKeyNotValid,
	ReasonSourceNotAllowed, ReasonTypeNotAllowed, ReasonAccountMismatch}

func (f *failure) note(reason Reason, format string, args ...any) {
	if rank := 1 + slices.Index(progress, reason); rank > f.rank {
		*f = failure{rank: rank, reason: reason, cause: fmt.Sprintf(format, args...)}
	}
}

// verified returns the signatures of env that verify over its payload, and whether a newer bundle may have
// the key of one that does not.
func (o *opening) verified(env *dsse.Envelope, bundle *trust.Bundle) (list []valid, missing unknown) {
	pae := dsse.PAE(o.paeRoom[:0], env.PayloadType, env.Payload)
	list = o.validRoom[:0]
	nameless := nameless{bundle: bundle, source: o.in.Source, typ: o.in.Type, left: MaxNamelessTries}
	for i := range env.Signatures {
		sig := &env.Signatures[i]
		var err error
		if sig.KeyID == "" && sig.Delegation == nil {
			list, err = nameless.verify(sig, pae, list)
		} else {
			list, err = verifyOne(sig, pae, bundle, list)
		}
		if err == nil {
			continue
		}
		if m := o.noteUnverified(sig.KeyID, err); !missing.is {
			missing = m
		}
	}
	return list, missing
}

// noteUnverified notes why a signature does not verify, and says whether a newer bundle may have its key.
func (o *opening) noteUnverified(keyID string, err error) unknown {
	if n, ok := errors.AsType[*namelessError](err); ok {
		if o.failed.rank == 0 {
			o.failed.note(ReasonUnknownKey, "%v", err)
			o.failed.nameless = true
		}
		return unknown{is: n.mayBeNew}
	}
	if id, ok := errors.AsType[unknownKey](err); ok {
		o.failed.note(ReasonUnknownKey, "%v", err)
		return unknown{is: id != "", keyID: string(id)}
	}
	o.failed.note(ReasonBadSignature, "signature of key ID %.80q: %v", keyID, err)
	id, _ := errors.AsType[badAlias](err)
	return unknown{is: id != "", keyID: string(id)}
}

// verifyOne appends what sig is worth to list.
func verifyOne(sig *dsse.Signature, pae []byte, bundle *trust.Bundle, list []valid) ([]valid, error) {
	if sig.Delegation != nil {
		return verifyDelegated(sig, pae, bundle, list)
	}
	known := bundle.Lookup(sig.KeyID)
	if len(known) == 0 {
		return list, unknownKey(sig.KeyID)
	}
	before := len(list)
	for _, k := range known {
		if sig.Sig != nil && k.Verify(pae, sig.Sig) {
			list = append(list, valid{key: k})
		}
	}
	if len(list) == before {
		return list, unverifiable(sig.KeyID, known)
	}
	return list, nil
}

func verifyDelegated(sig *dsse.Signature, pae []byte, bundle *trust.Bundle, list []valid) ([]valid, error) {
	st, delegators, err := openDelegation(sig.Delegation, bundle)
	if err != nil {
		return list, err
	}
	if sig.KeyID != st.session.KeyID() || sig.Sig == nil || !st.session.Verify(pae, sig.Sig) {
		return list, errBadSignature
	}
	for _, k := range delegators {
		list = append(list, valid{key: k, session: st})
	}
	return list, nil
}

// counts reports whether a valid signature counts: its own key alone must allow the source, the type, the
// account and the time, and be neither revoked nor, for a session key, outside of what vouches for it.
func (o *opening) counts(v *valid, bundle *trust.Bundle) bool {
	k, id := v.key, v.key.KeyID()
	switch {
	case v.session != nil && !o.bound(v.session):
		o.failed.note(ReasonBadSignature, "the signed payload does not bind the delegation by key %s", id)
	case k.Revoked != nil && !o.beforeRevocation(k):
		o.failed.note(ReasonRevokedKey, "key %s of %q was revoked at %s: %.200q", id, k.Producer, k.Revoked.At.UTC().Format(time.RFC3339), k.Revoked.Reason)
	case v.session != nil && sessionRevoked(v.session.session.KeyID(), bundle):
		o.failed.note(ReasonRevokedKey, "session key %s is revoked", v.session.session.KeyID())
	case !k.Schedule.AcceptedAt(o.now, o.sealedOrNow(), o.skew):
		o.failed.note(ReasonKeyNotValid, "key %s of %q is %s, and the event was sealed at %s", id, k.Producer, k.StateAt(o.now), o.sealedOrNow().UTC().Format(time.RFC3339))
	case v.session != nil && !v.session.acceptedAt(o.sealed, o.skew):
		o.failed.note(ReasonKeyNotValid, "the session key was valid from %s to %s", v.session.notBefore.Format(time.RFC3339), v.session.notAfter.Format(time.RFC3339))
	case o.foreignClaim(k):
		o.failed.note(ReasonKeyNotValid, "key %s belongs to %q, the event names %.80q as its producer", id, k.Producer, o.payload.Profile.Producer)
	case !k.AllowsSource(o.in.Source) || v.session != nil && !keys.MatchSource(v.session.sources, o.in.Source):
		o.failed.note(ReasonSourceNotAllowed, "key %s of %q may not speak for source %.200q%s", id, k.Producer, o.in.Source, unfitSource(o.in.Source))
	case !k.AllowsType(o.in.Type) || v.session != nil && !keys.MatchType(v.session.types, o.in.Type):
		o.failed.note(ReasonTypeNotAllowed, "key %s of %q may not sign type %.200q", id, k.Producer, o.in.Type)
	case !o.opts.UnsafeIgnoreAccount && o.opts.Account == "" && !k.AllowsAccount(""):
		o.failed.note(ReasonAccountMismatch, "key %s of %q is bound to AWS accounts, and no account is stated", id, k.Producer)
	case !o.opts.UnsafeIgnoreAccount && !k.AllowsAccount(o.opts.Account):
		o.failed.note(ReasonAccountMismatch, "key %s of %q may not be used from account %.20q", id, k.Producer, o.opts.Account)
	default:
		return true
	}
	return false
}

// sessionRevoked reports whether the bundle revokes the session key, as one or as a key of its own right.
func sessionRevoked(id string, bundle *trust.Bundle) bool {
	return bundle.SessionRevoked(id) || slices.ContainsFunc(bundle.Lookup(id), func(k *trust.Key) bool {
		return k.KeyID() == id && k.Revoked != nil
	})
}

// bound reports whether the signed payload lists the statement's hash.
func (o *opening) bound(st *statement) bool {
	return o.payload.Profile != nil && slices.Contains(o.payload.Profile.Delegations, st.hash)
}

// foreignClaim reports whether the event names another producer than the key's.
func (o *opening) foreignClaim(k *trust.Key) bool {
	return o.payload.Profile != nil && o.payload.Profile.Producer != k.Producer
}

func (o *opening) beforeRevocation(k *trust.Key) bool {
	return o.opts.UnsafeAcceptBeforeRevocation && !o.sealed.IsZero() && o.sealed.Before(k.Revoked.At)
}

// sealedOrNow is the time to hold schedules against: of an event that signs none, it is now.
func (o *opening) sealedOrNow() time.Time {
	if o.sealed.IsZero() {
		return o.now
	}
	return o.sealed
}
