package envelope

import (
	"cmp"
	"context"
	"crypto/ecdh"
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
	"github.com/sealbus/sealbus/keys/trust"
)

// MaxUnwrappedAge is how long a Decrypter uses a content key that it has decrypted, before it decrypts it
// again. For so long, it can still open data after its permission was withdrawn.
const MaxUnwrappedAge = 15 * time.Minute

// maxUnwrapped bounds the content keys of one Decrypter: producers times sources times three within
// MaxUnwrappedAge. How they share it: see fairCache.
const maxUnwrapped = 4096

// The budget of one event, over all identities. A try is one identity with one of the event's recipients. A
// cached answer counts like the call that it saves. An event is too_large if none of the tries opens it, and
// others are left.
const (
	MaxTries        = 32 // with private keys of this process: each costs a key agreement
	MaxServiceCalls = 4  // of key management services, key agreements included: each costs money and time
)

// mostAnswers is how many answers of a service are taken for one try, if they are wrong and the budget
// allows.
const mostAnswers = 2

// DecryptWith has the keys of a Decrypter. For one event, MaxTries and MaxServiceCalls bound how many are
// tried. An identity that is no *keys.LocalIdentity counts as a key in a service.
type DecryptWith struct {
	// private keys, as a *keys.Keyring has them; keys.OpenWith gives single ones
	Identities keys.IdentitySource
	Services   []keys.ServiceIdentity // keys in a key management service

	// UnsafeRevoked also opens with a key of this consumer that is revoked or expired by the trust bundle. A
	// thief of that key can read the same data.
	UnsafeRevoked bool
}

// Decrypter opens encrypted data. Make one and share it: it keeps the content keys that it has decrypted for
// MaxUnwrappedAge, so that a key management service is asked once per content key and not for each event. It
// runs nothing in the background. It is safe for concurrent use.
type Decrypter struct {
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
	born     time.Time
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
	d.keys.most, d.keys.drop = maxUnwrapped, func(k *unwrapped) { k.done() }
	d.flights.drop = d.keys.drop
	return d, nil
}

// Forget drops all content keys. Each is zeroed as soon as its last user is done. A later event has its key
// decrypted again.
func (d *Decrypter) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys.removeIf(func(*unwrapped) bool { return true })
}

// unwrapping is one entry that one identity may decrypt. Either local or service is set.
type unwrapping struct {
	id       unwrapID
	entry    *jwe.WrappedKey
	producer string
	source   string
	identity string // key ID
	local    keys.Identity
	service  keys.ServiceIdentity
	remote   bool   // it costs a call
	name     string // of what is asked: there may be two ways to one key, one of which fails
	wrong    int    // answers that cannot be right
	tried    bool   // nothing more is to be asked
	failed   bool   // it could not be asked
}

// unlocking is one event whose content key is looked for.
type unlocking struct {
	*Decrypter
	source    string
	producer  string
	entries   []jwe.WrappedKey
	bundle    *trust.Bundle // that the event was judged by; says which of our keys are revoked
	now       time.Time
	committed bool                        // the event says which content key it is under
	try       func(*jwe.ContentKey) error // decrypts with what may be the key

	candidates []unwrapping
	local      int    // of candidates: tries with private keys of this process
	remote     int    // of candidates: those that cost a call
	calls      int    // answers of services so far, those at hand included
	cut        bool   // there was more to try than the budget allows
	named      bool   // an entry names one of our keys
	withdrawn  string // one of our keys to which it is encrypted, but which is revoked or expired
	failed     error  // the most telling error so far
}

// unlock tries the entries with the identities that they may be for, until one decrypts. The candidates
// depend on the event and the identities only, never on the cache. Of the candidates, those with a cached key
// are tried first, because they cost nothing. It returns the key ID of the identity. An identity that cannot
// be asked is not asked for another entry.
func (u *unlocking) unlock(ctx context.Context) (identity string, verdict *Error) {
	u.findCandidates()
	for i := range u.candidates {
		w := &u.candidates[i]
		if k := u.cached(w.id, u.now); k != nil {
			u.pay(w)
			if over, verdict := u.attempt(w, k); over {
				return w.identity, verdict
			}
		}
	}
	for wrong := range mostAnswers { // first each candidate once, then again those that answered wrong
		for i := range u.candidates {
			w := &u.candidates[i]
			isDown := func(other unwrapping) bool { return other.failed && other.name == w.name }
			if w.tried || w.wrong != wrong || slices.ContainsFunc(u.candidates, isDown) || !u.pay(w) {
				continue
			}
			k, err := u.unwrap(ctx, w, u.now)
			if err != nil {
				u.note(err)
				w.tried, w.failed = true, isOutage(err)
			} else if over, verdict := u.attempt(w, k); over {
				return w.identity, verdict
			}
			if ctx.Err() != nil {
				u.note(context.Cause(ctx))
				return "", u.verdict()
			}
		}
	}
	return "", u.verdict()
}

// pay counts an answer for w. It is false if the budget has no call left to ask once more.
func (u *unlocking) pay(w *unwrapping) bool {
	if !w.remote {
		return true // findCandidates has counted it
	}
	if u.calls == MaxServiceCalls {
		return false
	}
	u.calls++
	return true
}

// attempt decrypts with k and gives it back. It is over when k is the right key, and k is kept only then. A
// service that answers with another key than the event commits to is asked once more. After that, it counts
// as a service that did not answer.
func (u *unlocking) attempt(w *unwrapping, k *unwrapped) (over bool, verdict *Error) {
	defer k.done()
	err := k.fault
	if err == nil {
		err = u.try(k.key)
	}
	// Without a commitment, only the authentication of the data tells that the key is another one.
	isOther := errors.Is(err, jwe.ErrCommitment) || !u.committed && errors.Is(err, jwe.ErrDecrypt)
	switch {
	// a key agreement that opened the entry has the right key
	case k.fault != nil || isOther && w.service != nil:
		u.evict(w.id, k)
		w.wrong++
		w.tried = w.wrong == mostAnswers
		u.note(w.wrongAnswer(err))
		return false, nil
	case !isOther:
		u.keep(w, k)
	}
	w.tried = true
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, jwe.ErrPlaintext): // the key was right: no other one opens it
		return true, &Error{Reason: ReasonMalformed, Cause: err.Error(), Err: err}
	}
	u.note(err)
	return false, nil
}

// wrongAnswer is the error of a service whose answer cannot be the content key of the event. Either the
// service is wrong, which may pass, or the producer signed a wrong entry.
func (w *unwrapping) wrongAnswer(err error) error {
	return &keys.ServiceError{
		Op: "opening", KeyID: w.identity, Err: err,
		Cause: "the service answered, but not with the content key that the event says it is under: " + err.Error(),
		Fix: "check that the client's endpoint is the service's own; if other events of the producer open, " +
			"what it signed of this one is wrong: have it seal the event again",
	}
}

// findCandidates lists what may be tried, in the order of unlock: private keys that the entries name, key
// management services, then the other private keys.
func (u *unlocking) findCandidates() {
	var identities []keys.Identity
	if u.with.Identities != nil {
		identities = u.with.Identities.Identities(u.now)
	}
	u.addIdentities(identities, true)
	for at, service := range u.with.Services {
		for i := range u.entries {
			if e := &u.entries[i]; e.Alg == jwe.AlgAWSKMS && service.Takes(e.KeyID) {
				u.named = true
				name := "service " + strconv.Itoa(at)
				u.add(unwrapping{entry: e, identity: service.KeyID(), service: service, remote: true, name: name})
			}
		}
	}
	u.addIdentities(identities, false)
}

// addIdentities adds the entries that name an identity, or those on its curve that name none, since other
// libraries may leave the key ID out. Only a *keys.LocalIdentity is known to call no service.
func (u *unlocking) addIdentities(identities []keys.Identity, named bool) {
	isUnnamed := func(e jwe.WrappedKey) bool { return e.Alg == jwe.AlgECDH && e.KeyID == "" }
	if !named && !slices.ContainsFunc(u.entries, isUnnamed) {
		return
	}
	for at, identity := range identities {
		if identity == nil {
			continue
		}
		id := identity.Recipient().KeyID()
		w := unwrapping{identity: id, local: identity, name: "identity " + id}
		if _, isLocal := identity.(*keys.LocalIdentity); !isLocal {
			w.remote, w.name = true, "remote identity "+strconv.Itoa(at)+" "+id
		}
		isFor := func(e *jwe.WrappedKey) bool { return e.Alg == jwe.AlgECDH && e.KeyID == id }
		if !named {
			agreeing, err := w.agreeing()
			if err != nil {
				continue
			}
			isFor = func(e *jwe.WrappedKey) bool { return e.KeyID == "" && agreeing.Takes(e) }
		}
		for i := range u.entries {
			e := &u.entries[i]
			switch {
			case !isFor(e):
			case !u.allows(id):
				u.withdrawn = id
			default:
				u.named = u.named || named
				w.entry = e
				u.add(w)
			}
		}
	}
}

// add adds a candidate, if the budget of the event has room for it.
func (u *unlocking) add(w unwrapping) {
	count, most := &u.local, MaxTries
	if w.remote {
		count, most = &u.remote, MaxServiceCalls
	}
	if *count == most {
		u.cut = true
		return
	}
	*count++
	w.producer, w.source = u.producer, u.source
	entry := w.entry.Digest()
	b := make([]byte, 0, 512)
	for _, part := range [...]string{w.name, w.identity, w.producer, w.source} {
		b = appendPrefixed(b, part)
	}
	w.id = sha256.Sum256(append(b, entry[:]...))
	u.candidates = append(u.candidates, w)
}

// allows is false for a key of ours that is revoked or expired by the bundle. The content keys that it has
// decrypted are then forgotten, too.
func (u *unlocking) allows(keyID string) bool {
	if u.with.UnsafeRevoked || u.bundle == nil {
		return true
	}
	k := u.bundle.Key(keyID)
	if k == nil || k.Recipient == nil {
		return true
	}
	if s := k.StateAt(u.now); s != keys.StateRevoked && s != keys.StateExpired {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.keys.removeIf(func(k *unwrapped) bool { return k.identity == keyID })
	return false
}

// note keeps the error that says most: an outage first, since the service that could not be asked might have
// opened the data; then any error that says more than that key and entry do not fit.
func (u *unlocking) note(err error) {
	weight := func(err error) int {
		switch {
		case isOutage(err):
			return 2
		case jwe.IsForAnother(err):
			return 0
		}
		return 1
	}
	if err != nil && (u.failed == nil || weight(err) > weight(u.failed)) {
		u.failed = err
	}
}

// isOutage reports whether the error says nothing about the event. An error of an identity says something
// only if it is a permanent *keys.ServiceError. An error of internal/jwe always does.
func isOutage(err error) bool {
	if e, ok := errors.AsType[*keys.ServiceError](err); ok {
		return !e.Permanent
	}
	for _, fault := range [...]error{
		jwe.ErrMalformed, jwe.ErrUnsupported, jwe.ErrTooLarge, jwe.ErrUncommitted, jwe.ErrUnbound, jwe.ErrBinding,
		jwe.ErrCommitment, jwe.ErrDecrypt, jwe.ErrPlaintext, jwe.ErrUnwrap, jwe.ErrNotRecipient, jwe.ErrKey,
	} {
		if errors.Is(err, fault) {
			return false
		}
	}
	return true
}

func (u *unlocking) verdict() *Error {
	switch err := u.failed; {
	case err != nil && isOutage(err):
		return &Error{Reason: ReasonKMSUnavailable, Cause: err.Error(), Err: err}
	case u.cut:
		return reject(ReasonTooLarge,
			"there are more recipients to try than one event may cost, %d with private keys and "+
				"%d calls of key management services, and none of those tried opens the data", MaxTries, MaxServiceCalls)
	case err == nil && u.withdrawn != "":
		return reject(ReasonNotARecipient,
			"the data is encrypted to key %s of this consumer, which the trust bundle says is revoked or expired",
			u.withdrawn)
	case err == nil:
		return reject(ReasonNotARecipient, "the data is encrypted to %s", recipientsText(u.entries))
	case jwe.IsForAnother(err) && !u.named:
		return reject(ReasonNotARecipient, "the data is encrypted to %s, and no identity fits",
			recipientsText(u.entries))
	default:
		return &Error{Reason: ReasonDecryptFailed, Cause: err.Error(), Err: err}
	}
}

// recipientsText has the names of the first few, as the event has them.
func recipientsText(entries []jwe.WrappedKey) string {
	const most = 3
	var names []string
	for i := range entries {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(entries)-most))
			break
		}
		names = append(names, fmt.Sprintf("%.100q", cmp.Or(entries[i].KeyID, "(no key ID)")))
	}
	return strings.Join(names, ", ")
}

// cached is a content key from the cache, for the caller to give back.
func (d *Decrypter) cached(id unwrapID, now time.Time) *unwrapped {
	d.mu.Lock()
	defer d.mu.Unlock()
	// too old, or of the future, as when the clock was set back
	for len(d.keys.order) > 0 && !d.keys.order[0].value.livesAt(now) {
		d.keys.remove(d.keys.order[0])
	}
	item := d.keys.items[id]
	if item == nil || !item.value.livesAt(now) {
		return nil
	}
	item.value.use()
	return item.value
}

// keep remembers k, which was found to be the key that an event of the producer and source commits to.
func (d *Decrypter) keep(w *unwrapping, k *unwrapped) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if item := d.keys.items[w.id]; item != nil {
		if item.value == k || item.value.livesAt(k.born) {
			return
		}
		d.keys.remove(item)
	}
	k.use()
	source := sum256([]byte(w.source)) // its hash: a source may have 8 KiB, and keep the whole event in memory
	d.keys.put(w.id, strings.Clone(w.producer), string(source[:]), k)
}

// evict forgets k.
func (d *Decrypter) evict(id unwrapID, k *unwrapped) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if item := d.keys.items[id]; item != nil && item.value == k {
		d.keys.remove(item)
	}
}

// unwrap is the content key of w, for the caller to give back. One caller decrypts it for all who want it at
// the time. A service that could not be asked a moment ago is not asked for each event of a batch.
func (d *Decrypter) unwrap(ctx context.Context, w *unwrapping, now time.Time) (k *unwrapped, err error) {
	use := serviceUse{w.name, w.producer, w.source}
	d.mu.Lock()
	down, isDown := d.down[use]
	d.mu.Unlock()
	if isDown && w.remote && now.Sub(down.since).Abs() < restAfterError {
		return nil, down.err
	}
	own := *w // the call may go on when the caller has left
	call := func(ctx context.Context) (*unwrapped, error) { return d.fetch(ctx, &own, now) }
	err = d.flights.do(ctx, w.id, now, call, func(got *unwrapped) {
		got.use()
		k = got
	})
	if err == nil || !w.remote || ctx.Err() != nil || !isOutage(err) {
		return k, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down == nil || len(d.down) >= maxRests {
		d.down = make(map[serviceUse]rest)
	}
	d.down[use] = rest{err, now.Round(0)}
	return nil, err
}

// fetch decrypts the content key of w. An answer that cannot be right is a result, too: every waiting caller
// gets it, and asks again.
func (d *Decrypter) fetch(ctx context.Context, w *unwrapping, now time.Time) (*unwrapped, error) {
	if k := d.cached(w.id, now); k != nil {
		return k, nil // another caller was faster
	}
	key, err := w.decrypt(ctx)
	if err != nil && !w.isWrong(err) {
		return nil, err
	}
	k := &unwrapped{fault: err, identity: w.identity, born: now.Round(0)}
	k.share(key)
	return k, nil
}

// isWrong reports whether an error of decrypt says that the answer of a service cannot be right. Such an
// answer of a key agreement is a secret that does not open the entry which names the key. An error that is
// the fault of the event alone is not one: see jwe.ErrSmallOrder.
func (w *unwrapping) isWrong(err error) bool {
	switch {
	case errors.Is(err, keys.ErrWrongAnswer):
		return w.remote
	case w.service != nil:
		return errors.Is(err, jwe.ErrKey)
	}
	return w.remote && w.entry.KeyID != "" && errors.Is(err, jwe.ErrUnwrap) && !errors.Is(err, jwe.ErrSmallOrder)
}

func (w *unwrapping) decrypt(ctx context.Context) (*jwe.ContentKey, error) {
	if w.service == nil {
		identity, err := w.agreeing()
		if err != nil {
			return nil, err
		}
		return identity.Unwrap(ctx, w.entry)
	}
	secret, err := w.service.DecryptKey(ctx, w.source, w.entry.KeyID, w.entry.EncryptedKey)
	defer clear(secret)
	if err != nil {
		return nil, err
	}
	return jwe.ContentKeyFrom(secret)
}

func (w *unwrapping) agreeing() (*jwe.ECDHIdentity, error) {
	r := w.local.Recipient()
	return jwe.NewRemoteIdentity(r.KeyID(), r.PublicKey().Curve(), func(ctx context.Context,
		epk *ecdh.PublicKey) ([]byte, error) {
		return w.local.ECDH(ctx, epk)
	})
}

func (k *unwrapped) livesAt(now time.Time) bool {
	age := now.Sub(k.born)
	return -clockTolerance <= age && age < MaxUnwrappedAge
}
