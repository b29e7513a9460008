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

// valid is a signature that verifies: by a key of the bundle, or by a session key that such a key vouches
// for.
type valid struct {
	key     *trust.Key
	session *statement // nil = the key itself signed
}

// failure is the verdict on the failing signature that passed the most checks. It speaks for all of them.
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

// noteNameless notes a signature that names no key. Any other failing signature says more.
func (f *failure) noteNameless(err *namelessError) {
	if f.rank == 0 {
		f.note(ReasonUnknownKey, "%v", err)
		f.nameless = true
	}
}

func (f *failure) note(reason Reason, format string, args ...any) {
	if rank := 1 + slices.Index(progress, reason); rank > f.rank {
		*f = failure{rank: rank, reason: reason, cause: fmt.Sprintf(format, args...)}
	}
}

// verified returns the signatures of the event that verify over its payload, and whether a newer bundle may
// have the key of one that does not. In failed it notes why they do not.
func (o *opening) verified(bundle *trust.Bundle, failed *failure) (list []valid, missing unknown) {
	pae := dsse.PAE(o.paeRoom[:0], o.env.PayloadType, o.env.Payload)
	list = o.validRoom[:0]
	nameless := nameless{bundle: bundle, source: o.in.Source, typ: o.in.Type, left: MaxNamelessTries}
	for i := range o.env.Signatures {
		sig := &o.env.Signatures[i]
		var err error
		if sig.KeyID == "" && sig.Delegation == nil {
			list, err = nameless.verify(sig, pae, list)
		} else {
			list, err = verifyOne(sig, pae, bundle, list)
		}
		var may unknown
		switch err := err.(type) {
		case nil:
			continue
		case *namelessError:
			failed.noteNameless(err)
			may = unknown{is: err.mayBeNew}
		case unknownKey:
			failed.note(ReasonUnknownKey, "%v", err)
			may = unknown{is: err != "", keyID: string(err)}
		case badAlias:
			failed.note(ReasonBadSignature, "signature of key ID %.80q: %v", sig.KeyID, err)
			may = unknown{is: err != "", keyID: string(err)}
		default:
			failed.note(ReasonBadSignature, "signature of key ID %.80q: %v", sig.KeyID, err)
		}
		if !missing.is {
			missing = may
		}
	}
	return list, missing
}

// verifyOne appends what sig is worth to list: the keys that verify it, or vouch for the session key that
// does.
func verifyOne(sig *dsse.Signature, pae []byte, bundle *trust.Bundle, list []valid) ([]valid, error) {
	if sig.Delegation != nil {
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
	known := bundle.Lookup(sig.KeyID)
	if len(known) == 0 {
		return list, unknownKey(sig.KeyID)
	}
	before := len(list)
	for _, k := range known {
		if sig.Sig != nil && k.Verifier.Verify(pae, sig.Sig) {
			list = append(list, valid{key: k})
		}
	}
	if len(list) == before {
		return list, unverifiable(sig.KeyID, known)
	}
	return list, nil
}

// counts reports whether a valid signature counts: its own key alone must allow the source, the type, the
// account and the time, and be neither revoked nor, for a session key, outside of the statement that vouches
// for it. In failed it notes why a signature does not count.
func (o *opening) counts(v *valid, failed *failure) bool {
	k, id, session, profile, unsafe := v.key, v.key.KeyID(), v.session, o.payload.Profile, &o.policy.Unsafe
	sealed := o.sealed // the time to hold schedules against: of an event that signs none, it is now
	if sealed.IsZero() {
		sealed = o.now
	}
	isBound := session != nil && profile != nil && slices.Contains(profile.Delegations, session.hash)
	claimsEarlier := unsafe.AcceptBeforeRevocation &&
		!o.sealed.IsZero() && k.Revoked != nil && o.sealed.Before(k.Revoked.At)
	switch {
	case session != nil && !isBound:
		failed.note(ReasonBadSignature, "the signed payload does not bind the delegation by key %s", id)
	case k.Revoked != nil && !claimsEarlier:
		failed.note(ReasonRevokedKey, "key %s of %q was revoked at %s: %.200q", id, k.Producer,
			k.Revoked.At.UTC().Format(time.RFC3339), k.Revoked.Reason)
	case session != nil && sessionRevoked(session.session.KeyID(), o.bundle):
		failed.note(ReasonRevokedKey, "session key %s is revoked", session.session.KeyID())
	case !k.Schedule.AcceptedAt(o.now, sealed, o.policy.Skew):
		failed.note(ReasonKeyNotValid, "key %s of %q is %s, and the event was sealed at %s", id, k.Producer,
			k.StateAt(o.now), sealed.UTC().Format(time.RFC3339))
	case session != nil && !session.acceptedAt(o.sealed, o.policy.Skew):
		failed.note(ReasonKeyNotValid, "the session key was valid from %s to %s",
			session.notBefore.Format(time.RFC3339), session.notAfter.Format(time.RFC3339))
	case profile != nil && profile.Producer != k.Producer:
		failed.note(ReasonKeyNotValid, "key %s belongs to %q, the event names %.80q as its producer", id,
			k.Producer, profile.Producer)
	case !keys.MatchSource(k.Sources, o.in.Source) || session != nil && !keys.MatchSource(session.sources, o.in.Source):
		failed.note(ReasonSourceNotAllowed, "key %s of %q may not speak for source %.200q%s", id, k.Producer,
			o.in.Source, unfitSource(o.in.Source))
	case !keys.MatchType(k.Types, o.in.Type) || session != nil && !keys.MatchType(session.types, o.in.Type):
		failed.note(ReasonTypeNotAllowed, "key %s of %q may not sign type %.200q", id, k.Producer, o.in.Type)
	case !unsafe.IgnoreAccount && o.account == "" && !k.AllowsAccount(""):
		failed.note(ReasonAccountMismatch, "key %s of %q is bound to AWS accounts, and no account is stated", id,
			k.Producer)
	case !unsafe.IgnoreAccount && !k.AllowsAccount(o.account):
		failed.note(ReasonAccountMismatch, "key %s of %q may not be used from account %.20q", id, k.Producer,
			o.account)
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

// MaxNamelessTries is how many verifications one event may cost for signatures that name no key, all of them
// together. A signature that names an alias may cost as many (trust.MaxSharedAlias).
const MaxNamelessTries = 8

// nameless verifies the signatures of one event that have no key ID, which DSSE calls a hint. Each is tried
// under the keys that may have made it, in the order of their IDs, until one verifies it.
type nameless struct {
	bundle      *trust.Bundle
	source, typ string // that the event claims: only a key that may sign for them could count
	left        int    // tries
	candidates  map[int][]*trust.Key
}

const namelessFix = "have the producer write the ID of its key (the thumbprint, or an alias in the bundle) " +
	"as keyid, and see that the policy allows this key the event's source and type"

// namelessError is why a signature without a key ID does not verify.
type namelessError struct {
	cause    string
	mayBeNew bool // a newer bundle may have the key
}

func (e *namelessError) Error() string { return "the signature names no key, and " + e.cause }

func (n *nameless) verify(sig *dsse.Signature, pae []byte, list []valid) ([]valid, error) {
	found := n.of(len(sig.Sig))
	failed := func(mayBeNew bool, format string, args ...any) ([]valid, error) {
		return list, &namelessError{fmt.Sprintf(format, args...), mayBeNew}
	}
	switch {
	case len(found) == 0:
		return failed(true,
			"no key in the trust bundle that may sign for its source and type makes such signatures")
	case len(found) > n.left:
		return failed(false, "too many keys may have made it: an event has %d tries for such signatures",
			MaxNamelessTries)
	}
	for _, k := range found {
		n.left--
		if k.Verifier.Verify(pae, sig.Sig) {
			return append(list, valid{key: k}), nil
		}
	}
	return failed(true, "it does not verify under any of the %d that may sign for its source and type",
		len(found))
}

// of is the keys that may have made a signature of so many bytes. It lists one key more than can be tried,
// which stands for all others.
func (n *nameless) of(size int) []*trust.Key {
	if size == 0 {
		return nil
	}
	found, known := n.candidates[size]
	if !known {
		found = n.bundle.Candidates(n.source, n.typ, size, MaxNamelessTries+1)
		if n.candidates == nil {
			n.candidates = map[int][]*trust.Key{}
		}
		n.candidates[size] = found
	}
	return found
}
