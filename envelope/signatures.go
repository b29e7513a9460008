package envelope

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// signatures are those of one event, held against one trust bundle.
type signatures struct {
	bundle   *trust.Bundle
	noTables bool // Policy.NoKeyTables
	valid    []valid

	// failed is the verdict on the failing signature that passed the most checks. It speaks for all of them.
	failed *Error
	// mayChange is true if a newer bundle may let a failing signature count.
	mayChange bool

	// For the signatures that name no key, all together.
	tries      int                  // verifications that are left
	candidates map[int][]*trust.Key // the keys that may have made a signature, by its size in bytes
}

// valid is a signature that verifies.
type valid struct {
	key      *trust.Key     // the key that signed, or that vouches for the session key that did
	verifier *keys.Verifier // of the key that signed
	session  *delegation    // nil = the key itself signed
}

// maxNamelessTries is how many verifications one event may cost for signatures that name no key, all of them
// together. A signature that names an alias may cost as many (trust.Bundle.Lookup).
const maxNamelessTries = 8

// collect puts the signatures that verify over the payload, as it was received, into s.valid.
func (s *signatures) collect(o *opening) {
	pae := dsse.PAE(o.paeRoom[:0], o.env.PayloadType, o.env.Payload)
	for i := range o.env.Signatures {
		switch sig := &o.env.Signatures[i]; {
		case sig.Delegation != nil:
			s.verifyDelegated(sig, pae)
		case sig.KeyID == "":
			s.verifyNameless(sig.Sig, pae, o.in)
		default:
			s.valid = s.verifyNamed(s.valid, sig.KeyID, pae, sig.Sig, nil)
		}
	}
}

// verifyNamed appends the keys of the bundle that have this ID or alias and made sig over message. The keys
// whose IDs are in signedBy have made it: that was verified before.
func (s *signatures) verifyNamed(list []valid, keyID string, message, sig []byte, signedBy []string) []valid {
	named, before := s.bundle.Lookup(keyID), len(list)
	for _, k := range named {
		if slices.Contains(signedBy, k.KeyID()) || sig != nil && s.verifies(k, message, sig) {
			list = append(list, valid{key: k, verifier: k.Verifier})
		}
	}
	switch {
	case len(list) > before:
		return list
	case len(named) == 0:
		s.note(reject(ReasonUnknownKey, "key ID %.80q is not in the trust bundle", keyID), keyID != "")
	case named[0].KeyID() == keyID:
		s.note(reject(ReasonBadSignature, "the signature of key ID %.80q does not verify", keyID), false)
	default: // other implementations keep an alias while the key behind it rotates
		s.note(reject(ReasonBadSignature, "the signature does not verify under the keys of the alias %.80q",
			keyID), keyID != "")
	}
	return list
}

// verifies reports whether sig is a signature of message by a key of the bundle.
func (s *signatures) verifies(k *trust.Key, message, sig []byte) bool {
	if s.noTables {
		return k.Verifier.Verify(message, sig)
	}
	return k.Verifier.VerifyOften(message, sig)
}

// verifyNameless verifies a signature that has no key ID, which DSSE calls a hint. It tries the keys that may
// sign for the source and type that the event claims, in the order of their IDs: no other key could count.
func (s *signatures) verifyNameless(sig, pae []byte, e *wire.Event) {
	found, known := s.candidates[len(sig)]
	if !known {
		if s.candidates == nil {
			s.candidates = map[int][]*trust.Key{}
		}
		found = s.bundle.Candidates(e.Source, e.Type, len(sig), maxNamelessTries+1) // 1 more stands for all others
		s.candidates[len(sig)] = found
	}
	cause, mayBeNew := "", true
	switch {
	case len(found) == 0:
		cause = "no key in the trust bundle that may sign for its source and type makes such signatures"
	case len(found) > s.tries:
		cause = fmt.Sprintf("too many keys may have made it: an event has %d tries for such signatures",
			maxNamelessTries)
		mayBeNew = false
	default:
		for _, k := range found {
			s.tries--
			if s.verifies(k, pae, sig) {
				s.valid = append(s.valid, valid{key: k, verifier: k.Verifier})
				return
			}
		}
		cause = fmt.Sprintf("it does not verify under any of the %d that may sign for its source and type",
			len(found))
	}
	failed := reject(ReasonUnknownKey, "the signature names no key, and %s", cause)
	failed.Advice = "have the producer write the ID of its key (the thumbprint, or an alias in the bundle) as " +
		"keyid, and see that the policy allows this key the event's source and type"
	s.note(failed, mayBeNew)
}

// verifyDelegated verifies the signature of a session key: first the statement by which a long-term key
// vouches for the session key, then the signature itself.
func (s *signatures) verifyDelegated(sig *dsse.Signature, pae []byte) {
	d, err := findDelegation(sig.Delegation)
	if err != nil {
		s.note(reject(ReasonBadSignature, "the delegation of key ID %.80q: %v", sig.KeyID, err), false)
		return
	}
	list := s.verifyNamed(s.valid, d.keyID, d.pae, d.sig, d.by)
	by := list[len(s.valid):]
	if len(by) == 0 {
		return
	}
	if d.session == nil { // only now is the statement known to be genuine
		if err := d.read(by); err != nil {
			s.note(reject(ReasonBadSignature, "the delegation of key ID %.80q: %v", sig.KeyID, err), false)
			return
		}
		delegations.keep(sig.Delegation, by[0].key.Producer, d)
	}
	if sig.KeyID != d.session.KeyID() || sig.Sig == nil || !d.session.Verify(pae, sig.Sig) {
		s.note(reject(ReasonBadSignature, "the signature of the session key %.80q does not verify",
			sig.KeyID), false)
		return
	}
	for i := range by {
		by[i].session, by[i].verifier = d, d.session
	}
	s.valid = list
}

// note keeps the verdict on a failing signature, if this one passed more checks than those before it.
// mayChange says whether a newer bundle may let it count.
func (s *signatures) note(failed *Error, mayChange bool) {
	s.mayChange = s.mayChange || mayChange
	progress := [...]Reason{ReasonUnknownKey, ReasonBadSignature, ReasonRevokedKey, ReasonKeyNotValid,
		ReasonSourceNotAllowed, ReasonTypeNotAllowed, ReasonAccountMismatch}
	if s.failed == nil ||
		slices.Index(progress[:], failed.Reason) > slices.Index(progress[:], s.failed.Reason) {
		s.failed = failed
	}
}

// refuse says why a valid signature does not count, or nil if it does: its own key alone must allow the
// source, the type, the account and the time, and must not be revoked. A session key must also be within the
// statement that vouches for it. mayChange is true if a newer bundle may say otherwise of the key.
func (o *opening) refuse(v valid) (why *Error, mayChange bool) {
	k, id, d, profile, unsafe := v.key, v.key.KeyID(), v.session, o.payload.Profile, &o.policy.Unsafe
	sealed := o.sealed // schedules are judged at this time; an event that signs none is judged as of now
	if sealed.IsZero() {
		sealed = o.now
	}
	claimsEarlier := unsafe.AcceptBeforeRevocation &&
		!o.sealed.IsZero() && k.Revoked != nil && o.sealed.Before(k.Revoked.At)
	isRevoked := func(k *trust.Key) bool { return k.KeyID() == v.verifier.KeyID() && k.Revoked != nil }
	switch {
	case d != nil && (profile == nil || !slices.Contains(profile.Delegations, d.binding)):
		return reject(ReasonBadSignature, "the signed payload does not bind the delegation by key %s",
			id), false
	case k.Revoked != nil && !claimsEarlier:
		return reject(ReasonRevokedKey, "key %s of %q was revoked at %s: %.200q", id, k.Producer,
			k.Revoked.At.UTC().Format(time.RFC3339), k.Revoked.Reason), true // root holders may overrule it
	case d != nil && (o.bundle.SessionRevoked(v.verifier.KeyID()) || // as a session key, or in its own right
		slices.ContainsFunc(o.bundle.Lookup(v.verifier.KeyID()), isRevoked)):
		return reject(ReasonRevokedKey, "session key %s is revoked", v.verifier.KeyID()), true
	case !k.Schedule.AcceptedAt(o.now, sealed, o.policy.Skew):
		return reject(ReasonKeyNotValid, "key %s of %q is %s, and the event was sealed at %s", id, k.Producer,
			k.StateAt(o.now), sealed.UTC().Format(time.RFC3339)), true
	case d != nil && (o.sealed.IsZero() || o.sealed.Before(d.NotBefore.Add(-o.policy.Skew)) ||
		!o.sealed.Before(d.NotAfter)):
		return reject(ReasonKeyNotValid, "the session key was valid from %s to %s",
			d.NotBefore.Format(time.RFC3339), d.NotAfter.Format(time.RFC3339)), false
	case profile != nil && profile.Producer != k.Producer:
		e := reject(ReasonKeyNotValid, "key %s belongs to %q, the event names %.80q as its producer", id,
			k.Producer, profile.Producer)
		e.Advice = "treat it as a forgery by the owner of that key, unless a producer was renamed"
		return e, true
	case d != nil && !keys.MatchSource(d.Sources, o.in.Source), !keys.MatchSource(k.Sources, o.in.Source):
		unfit := unfitSource(o.in.Source)
		return reject(ReasonSourceNotAllowed, "key %s of %q may not speak for source %.200q%s", id,
			k.Producer, o.in.Source, unfit), unfit == "" && (d == nil || keys.MatchSource(d.Sources, o.in.Source))
	case d != nil && !keys.MatchType(d.Types, o.in.Type), !keys.MatchType(k.Types, o.in.Type):
		return reject(ReasonTypeNotAllowed, "key %s of %q may not sign type %.200q", id, k.Producer,
			o.in.Type), d == nil || keys.MatchType(d.Types, o.in.Type)
	case unsafe.IgnoreAccount || k.AllowsAccount(o.account):
		return nil, false
	case o.account == "":
		return reject(ReasonAccountMismatch,
			"key %s of %q is bound to AWS accounts, and no account is stated", id, k.Producer), true
	}
	return reject(ReasonAccountMismatch, "key %s of %q may not be used from account %.20q", id, k.Producer,
		o.account), true
}

// delegation is a DSSE envelope around the statement by which a long-term key vouches for a session key.
type delegation struct {
	keyID   string // of the long-term key, or its alias
	payload []byte // the statement
	pae     []byte
	sig     []byte
	isPlain bool // spelled as sealbus spells it

	// Set by read; afterwards nothing changes.
	by []string // the IDs of the keys that signed the statement
	*wire.Statement
	session *keys.Verifier // nil = the statement was not read yet
	binding digest         // SHA-256 of pae, by which the event's payload binds the statement
}

// findDelegation returns the delegation as it is remembered. If it is not, nothing in it is verified yet.
func findDelegation(raw []byte) (*delegation, error) {
	delegations.mu.RLock()
	item := delegations.byText.items[string(raw)]
	delegations.mu.RUnlock()
	if item != nil {
		return item.value, nil
	}
	var env dsse.Envelope
	if err := env.Read(raw, nil); err != nil {
		return nil, err
	}
	sig := &env.Signatures[0]
	if env.PayloadType != keydoc.DelegationType || len(env.Signatures) != 1 || sig.Delegation != nil {
		return nil, errors.New("not one signature over one statement")
	}
	d := &delegation{keyID: sig.KeyID, payload: env.Payload, sig: sig.Sig,
		pae: dsse.PAE(nil, env.PayloadType, env.Payload)}
	d.isPlain = string(env.Append(make([]byte, 0, len(raw)))) == string(raw)
	return d, nil
}

// read reads the statement, which these keys signed.
func (d *delegation) read(by []valid) error {
	statement, err := wire.ReadStatement(d.payload)
	if err != nil {
		return err
	}
	verifier, err := keys.NewVerifier(statement.Session)
	if err != nil {
		return err
	}
	if life := statement.NotAfter.Sub(statement.NotBefore); life <= 0 || life > keydoc.MaxSessionLife {
		return fmt.Errorf("the session key lives for %v, at most %v are allowed", life, keydoc.MaxSessionLife)
	}
	for _, v := range by {
		d.by = append(d.by, v.key.KeyID())
	}
	d.Statement, d.session, d.binding = statement, verifier, sha256.Sum256(d.pae)
	return nil
}

// maxDelegations is how many delegations are remembered: about two for each process of the producers.
const maxDelegations = 1024

// delegations are the genuine ones that were seen last. Using one of them instead of verifying it changes no
// verdict: it says only which key signed the very same bytes. Scope, time and revocation are judged for each
// event. A forger can add nothing. A genuine delegation is remembered in one spelling only, because its
// envelope has endless others (white space, further members). A producer with very many of them evicts those
// of no other producer: see fairCache.
var delegations = delegationMemory{byText: fairCache[string, *delegation]{most: maxDelegations}}

// delegationMemory remembers delegations by their bytes.
type delegationMemory struct {
	mu     sync.RWMutex
	byText fairCache[string, *delegation]
}

// keep remembers d, which a key of that producer signed.
func (m *delegationMemory) keep(raw []byte, producer string, d *delegation) {
	if !d.isPlain || len(raw) > keydoc.MaxDelegation {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byText.items[string(raw)] == nil {
		m.byText.put(string(raw), producer, "", d)
	}
}
