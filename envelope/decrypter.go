package envelope

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
)

// maxUnwrappedAge is how long a Decrypter uses a content key that it has decrypted, before it decrypts it
// again. For so long, it can still open data after its permission was withdrawn.
const maxUnwrappedAge = 15 * time.Minute

// maxUnwrapped bounds the content keys of one Decrypter. Each source of a producer needs three within
// maxUnwrappedAge. fairCache says how producers share the room.
const maxUnwrapped = 4096

// The budget of one event, for all identities together. A try is one identity with one of the event's
// recipients. A cached answer counts like the call that it saves. An event is too_large if no try within the
// budget opens it, and more tries are possible.
const (
	maxTries        = 32 // with private keys of this process: each costs a key agreement
	maxServiceCalls = 4  // of key management services, key agreements included: each costs money and time
)

// mostAnswers is how often a service may answer wrongly in one try, if the budget allows.
const mostAnswers = 2

// DecryptWith has the keys of a Decrypter. For one event, at most 32 private keys and 4 keys in
// services are tried. An identity that is no *keys.LocalIdentity counts as a key in a service.
type DecryptWith struct {
	// Identities are private keys, such as those of a *keys.Keyring. keys.OpenWith is for single ones.
	Identities keys.IdentitySource
	Services   []keys.ServiceIdentity // keys in a key management service

	// UnsafeRevoked also opens with a key of this consumer that is revoked or expired by the trust bundle. A
	// thief of that key can read the same data.
	UnsafeRevoked bool
}

// Decrypter opens encrypted data. Make one and share it: it keeps the content keys that it has decrypted for
// 15 minutes, so that a key management service is asked once per content key and not for each event. It
// runs nothing in the background. It is safe for concurrent use. It prints, logs and marshals as redacted.
type Decrypter struct {
	redacted
	with    DecryptWith
	parser  jwe.Parser
	flights flights[unwrapID, *unwrapped]

	mu   sync.Mutex
	keys fairCache[unwrapID, *unwrapped] // only keys that a signed event has committed to
	down map[serviceUse]rest
}

// serviceUse is one service, asked for events of one producer and source. Its permission can depend on the
// source, and a failure for one producer's events must not hold up those of another.
type serviceUse struct {
	name             string // which service
	producer, source string
}

// unwrapID names one unwrapping: the hash of identity, producer, source and entry (alg, header,
// encrypted_key).
type unwrapID [sha256.Size]byte

// unwrapped is the result of decrypting a content key with one identity.
type unwrapped struct {
	sharedKey
	fault    error // the answer of a service that cannot be right; there is no key then
	identity string
}

// NewDecrypter makes a Decrypter. It calls no service yet.
func NewDecrypter(with DecryptWith) (*Decrypter, error) {
	with.Services = slices.Clone(with.Services)
	if with.Identities == nil && len(with.Services) == 0 {
		return nil, errors.New("envelope: opening with nothing: give Identities, or Services")
	}
	if err := nilcheck.Typed("envelope: Identities", with.Identities); err != nil {
		return nil, err
	}
	if err := nilcheck.Each("envelope: Services", with.Services); err != nil {
		return nil, err
	}
	for i, s := range with.Services {
		if s.KeyID() == "" {
			return nil, fmt.Errorf("envelope: Services[%d] has no KeyID", i)
		}
	}
	d := &Decrypter{with: with}
	d.keys.most, d.keys.drop = maxUnwrapped, func(k *unwrapped) { k.addUsers(-1) }
	return d, nil
}

// Opens reports whether it has the private key of that ID at now: that of an entry of the trust bundle.
func (d *Decrypter) Opens(keyID string, now time.Time) bool {
	return d.with.Identities != nil && slices.ContainsFunc(d.with.Identities.Identities(now),
		func(i keys.Identity) bool { return i.Recipient().KeyID() == keyID })
}

// Forget drops all content keys. Each is zeroed as soon as its last user is done. A later event has its key
// decrypted again.
func (d *Decrypter) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys.removeIf(func(unwrapID, *unwrapped) bool { return true })
}

// unlocking is the search for the content key of one event.
type unlocking struct {
	*Decrypter
	secret *secret
	now    time.Time

	candidates []candidate // at most maxTries, and maxServiceCalls of those that are remote
	room       [1]candidate
	calls      int     // answers of services so far, cached ones included
	cut        bool    // there was more to try than the budget allows
	withdrawn  string  // a key of this consumer to which it is encrypted, and which is revoked or expired
	errs       []error // what went wrong so far
	plain      []byte  // the decrypted data
	isJSON     bool    // it is known to be JSON
}

// candidate is one entry that one identity may decrypt. Either local or service is set.
type candidate struct {
	id       unwrapID
	entry    *jwe.WrappedKey
	identity string // key ID
	local    keys.Identity
	service  keys.ServiceIdentity
	remote   bool   // it costs a call
	name     string // of the service, or of the key: there may be two ways to one key, one of which fails
	wrong    int    // how many of its answers could not be right
	tried    bool   // nothing more is to be asked
	failed   bool   // it could not be asked
}

// unlock tries the entries with the identities that they may be for, until one decrypts. It returns the key
// ID of that identity, and leaves the data in u.plain. The candidates depend on the event and the identities
// only, never on the cache. Those with a cached key are tried first, because they cost nothing. An identity
// that cannot be asked is not asked for another entry.
func (u *unlocking) unlock(ctx context.Context) (identity string, verdict *Error) {
	u.findCandidates()
	for i := range u.candidates {
		c := &u.candidates[i]
		if k := u.cached(c.id, u.now); k != nil {
			if c.remote {
				u.calls++
			}
			if over, verdict := u.attempt(c, k); over {
				return c.identity, verdict
			}
		}
	}
	for wrong := range mostAnswers { // first each candidate once, then again those that answered wrong
		for i := range u.candidates {
			c := &u.candidates[i]
			isDown := func(other candidate) bool { return other.failed && other.name == c.name }
			if c.tried || c.wrong != wrong || slices.ContainsFunc(u.candidates, isDown) ||
				c.remote && u.calls == maxServiceCalls {
				continue
			}
			if c.remote {
				u.calls++
			}
			k, err := u.unwrap(ctx, c)
			if err != nil {
				u.errs = append(u.errs, err)
				c.tried, c.failed = true, isOutage(err)
			} else if over, verdict := u.attempt(c, k); over {
				return c.identity, verdict
			}
			if ctx.Err() != nil {
				u.errs = append(u.errs, context.Cause(ctx))
				return "", u.verdict()
			}
		}
	}
	return "", u.verdict()
}

// findCandidates lists the pairs of identity and entry that may be tried, in this order: private keys that
// the entries name, key management services, private keys for entries that name none. Other libraries may
// leave the key ID out.
func (u *unlocking) findCandidates() {
	u.candidates = u.room[:0]
	entries := u.secret.entries
	var identities []keys.Identity
	if u.with.Identities != nil {
		identities = u.with.Identities.Identities(u.now)
	}
	isUnnamed := false
	for at, identity := range identities {
		for i := range entries {
			e := &entries[i]
			switch {
			case identity == nil || e.Alg != jwe.AlgECDH:
			case e.KeyID == "":
				isUnnamed = true
			case e.KeyID == identity.Recipient().KeyID():
				u.add(candidate{entry: e, local: identity}, at)
			}
		}
	}
	for at, service := range u.with.Services {
		for i := range entries {
			if e := &entries[i]; e.Alg == jwe.AlgAWSKMS && service.Takes(e.KeyID) {
				u.add(candidate{entry: e, service: service}, at)
			}
		}
	}
	for at, identity := range identities {
		if identity == nil || !isUnnamed {
			continue
		}
		own, err := agreeing(identity)
		for i := range entries {
			if e := &entries[i]; err == nil && e.KeyID == "" && own.Takes(e) {
				u.add(candidate{entry: e, local: identity}, at)
			}
		}
	}
}

// agreeing is the identity in the form in which package jwe asks it.
func agreeing(identity keys.Identity) (*jwe.ECDHIdentity, error) {
	r := identity.Recipient()
	return jwe.NewRemoteIdentity(r.KeyID(), r.PublicKey().Curve(), identity.ECDH)
}

// add adds a candidate of the identity or service at that index, unless the trust bundle says that the key is
// revoked or expired, or the budget of the event is used up.
func (u *unlocking) add(c candidate, at int) {
	if c.service != nil {
		c.identity, c.remote, c.name = c.service.KeyID(), true, "service "+strconv.Itoa(at)
	} else {
		c.identity = c.local.Recipient().KeyID()
		c.name = c.identity
		if _, isLocal := c.local.(*keys.LocalIdentity); !isLocal { // only that type is known to call no service
			c.remote, c.name = true, "remote identity "+strconv.Itoa(at)+" "+c.identity
		}
	}
	if bundle := u.secret.bundle; bundle != nil && c.local != nil && !u.with.UnsafeRevoked {
		if k := bundle.Key(c.identity); k != nil && k.Recipient != nil {
			switch k.StateAt(u.now) {
			case keys.StateRevoked, keys.StateExpired:
				u.withdrawn = c.identity
				u.mu.Lock()
				defer u.mu.Unlock()
				u.keys.removeIf(func(_ unwrapID, k *unwrapped) bool { return k.identity == c.identity })
				return
			}
		}
	}
	most, same := maxTries, 0
	if c.remote {
		most = maxServiceCalls
	}
	for i := range u.candidates {
		if u.candidates[i].remote == c.remote {
			same++
		}
	}
	if same == most {
		u.cut = true
		return
	}
	b := make([]byte, 0, 512)
	for _, part := range [...]string{c.name, c.identity, u.secret.bound.producer, u.secret.bound.source} {
		b = appendPrefixed(b, part)
	}
	entry := c.entry.Digest()
	c.id = sha256.Sum256(append(b, entry[:]...))
	u.candidates = append(u.candidates, c)
}

// cached is a content key from the cache, for the caller to give back.
func (d *Decrypter) cached(id unwrapID, now time.Time) *unwrapped {
	d.mu.Lock()
	defer d.mu.Unlock()
	isOld := func(k *unwrapped) bool { return !k.livesAt(now, maxUnwrappedAge) }
	item := d.keys.items[id]
	if item != nil && isOld(item.value) || len(d.keys.order) > 0 && isOld(d.keys.order[0].value) {
		d.keys.removeIf(func(_ unwrapID, k *unwrapped) bool { return isOld(k) })
		item = d.keys.items[id]
	}
	if item == nil {
		return nil
	}
	item.value.addUsers(1)
	return item.value
}

// attempt decrypts with k and gives it back. It is over when k is the right key, and k is cached only then. A
// service that answers with another key than the event commits to is asked once more. After that, it counts
// as a service that did not answer.
func (u *unlocking) attempt(c *candidate, k *unwrapped) (over bool, verdict *Error) {
	defer k.addUsers(-1)
	err := k.fault
	if err == nil {
		u.plain, u.isJSON, err = u.secret.decrypt(k.key)
	}
	// Without a commitment, only the authentication of the data tells that the key is another one.
	message := u.secret.message
	isOther := errors.Is(err, jwe.ErrCommitment) ||
		errors.Is(err, jwe.ErrDecrypt) && message != nil && message.Commitment == nil
	u.mu.Lock()
	defer u.mu.Unlock()
	if k.fault != nil || isOther && c.service != nil { // a key agreement that opened the entry has the right key
		u.keys.removeIf(func(_ unwrapID, cached *unwrapped) bool { return cached == k })
		c.wrong++
		c.tried = c.wrong == mostAnswers
		u.errs = append(u.errs, &keys.ServiceError{Op: "opening", KeyID: c.identity, Err: err,
			Cause: "the service answered, but not with the content key that the event commits to: " +
				err.Error(),
			Fix: "check that the client's endpoint is the service's own; if other events of the producer open, " +
				"this one was signed with a wrong entry: have the producer seal it again",
		})
		return false, nil
	}
	if !isOther && u.keys.items[c.id] == nil {
		k.addUsers(1)
		bound := &u.secret.bound
		source := sha256.Sum256([]byte(bound.source)) // a source may have 8 KiB, and would keep the event in memory
		u.keys.put(c.id, strings.Clone(bound.producer), string(source[:]), k)
	}
	c.tried = true
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jwe.ErrPlaintext): // the key was right: no other one opens it
		return true, &Error{Reason: ReasonMalformed, Cause: err.Error(), Err: err}
	}
	u.errs = append(u.errs, err)
	return false, nil
}

// unwrap is the content key of c, for the caller to give back. One call decrypts it for all callers that want
// it at the time. A service that could not be asked a moment ago is not asked for each event of a batch.
func (u *unlocking) unwrap(ctx context.Context, c *candidate) (*unwrapped, error) {
	d, now, source := u.Decrypter, u.now, u.secret.bound.source
	use := serviceUse{c.name, u.secret.bound.producer, source}
	d.mu.Lock()
	last, isDown := d.down[use]
	d.mu.Unlock()
	if age := now.Sub(last.since); isDown && c.remote && -clockTolerance <= age && age < restAfterError {
		return nil, last.err
	}
	own := *c // the call may go on when the caller has left
	began := time.Now()
	k, err := d.flights.do(ctx, c.id, now, func(ctx context.Context) (*unwrapped, error) {
		return d.fetch(ctx, &own, source, now)
	})
	if err != nil && c.remote && ctx.Err() == nil && isOutage(err) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.down == nil || len(d.down) >= maxRests {
			d.down = make(map[serviceUse]rest)
		}
		d.down[use] = rest{err, now.Add(time.Since(began)).Round(0)}
	}
	return k, err
}

// fetch asks the identity or the service for the content key. An answer of a service that cannot be right is
// a result, too: each waiting caller gets it, and asks again.
func (d *Decrypter) fetch(ctx context.Context, c *candidate, source string,
	now time.Time) (*unwrapped, error) {
	if k := d.cached(c.id, now); k != nil {
		return k, nil // another caller was faster
	}
	k := &unwrapped{sharedKey: sharedKey{born: now.Round(0)}, identity: c.identity}
	k.users.Store(1)
	var err error
	isWrong := false // the answer, and not the event
	if c.service != nil {
		// The service may write into what it gets, and other events have the same entry.
		encrypted := bytes.Clone(c.entry.EncryptedKey)
		var plain []byte
		plain, err = c.service.DecryptKey(ctx, source, c.entry.KeyID, encrypted)
		defer clear(plain)
		if err == nil {
			k.key, err = jwe.ContentKeyFrom(plain)
		}
		isWrong = errors.Is(err, jwe.ErrKey)
	} else {
		var identity *jwe.ECDHIdentity
		if identity, err = agreeing(c.local); err == nil {
			k.key, err = identity.Unwrap(ctx, c.entry)
		}
		// The agreed secret does not open the entry, which names the key. With a point of small order, no
		// secret does.
		isWrong = c.entry.KeyID != "" && errors.Is(err, jwe.ErrUnwrap) && !errors.Is(err, jwe.ErrSmallOrder)
	}
	isWrong = isWrong || errors.Is(err, keys.ErrWrongAnswer)
	if err != nil && !(isWrong && c.remote) {
		return nil, err
	}
	k.fault = err
	return k, nil
}

// isOutage reports whether the error says nothing about the event. An error of an identity says something
// only if it is a permanent *keys.ServiceError. An error of internal/jwe always does.
func isOutage(err error) bool {
	if e, ok := errors.AsType[*keys.ServiceError](err); ok {
		return !e.Permanent
	}
	for _, fault := range [...]error{
		jwe.ErrMalformed, jwe.ErrUnsupported, jwe.ErrTooLarge, jwe.ErrUncommitted, jwe.ErrUnbound,
		jwe.ErrBinding,
		jwe.ErrCommitment, jwe.ErrDecrypt, jwe.ErrPlaintext, jwe.ErrUnwrap, jwe.ErrNotRecipient, jwe.ErrKey,
	} {
		if errors.Is(err, fault) {
			return false
		}
	}
	return true
}

// verdict judges by the error that says most: an outage first, since the service that could not be asked
// might have opened the data; then any error that says more than that key and entry do not fit.
func (u *unlocking) verdict() *Error {
	if i := slices.IndexFunc(u.errs, isOutage); i >= 0 {
		return &Error{Reason: ReasonKMSUnavailable, Cause: u.errs[i].Error(), Err: u.errs[i]}
	}
	if u.cut {
		return reject(ReasonTooLarge,
			"there are more recipients to try than one event may cost, %d with private keys and "+
				"%d calls of key management services, and none of those tried opens the data", maxTries,
			maxServiceCalls)
	}
	if len(u.errs) > 0 {
		i := slices.IndexFunc(u.errs, func(err error) bool { return !jwe.IsForAnother(err) })
		isNamed := func(c candidate) bool { return c.service != nil || c.entry.KeyID != "" }
		if err := u.errs[max(0, i)]; i >= 0 || slices.ContainsFunc(u.candidates, isNamed) {
			return &Error{Reason: ReasonDecryptFailed, Cause: err.Error(), Err: err}
		}
	} else if u.withdrawn != "" {
		return reject(ReasonNotARecipient,
			"the data is encrypted to key %s of this consumer, which the trust bundle says is revoked or expired",
			u.withdrawn)
	}
	const most = 3
	var names []string
	for _, e := range u.secret.entries[:min(most, len(u.secret.entries))] {
		names = append(names, fmt.Sprintf("%.100q", cmp.Or(e.KeyID, "(no key ID)")))
	}
	if more := len(u.secret.entries) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return reject(ReasonNotARecipient, "the data is encrypted to %s, and no identity fits",
		strings.Join(names, ", "))
}
