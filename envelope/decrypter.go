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
)

// MaxUnwrappedAge is how long an opener uses a content key that it has decrypted, before it decrypts it again: so long it may
// still open what it could, after its permission to was withdrawn.
const MaxUnwrappedAge = 15 * time.Minute

// maxUnwrapped bounds the content keys of one Decrypter: producers times sources times three within MaxUnwrappedAge.
const maxUnwrapped = 4096

// maxServiceTries bounds how many encrypted keys of one event a service decrypts, each of which costs a call: an event has one
// entry for it, or two. With private keys all are tried.
const maxServiceTries = 4

// DecryptWith is what a Decrypter opens with.
type DecryptWith struct {
	Identities keys.IdentitySource    // private keys, as a *keys.Keyring has them; keys.OpenWith gives single ones
	Services   []keys.ServiceIdentity // keys in a key management service

	// UnsafeRevoked opens with a key of this consumer that the trust bundle says is revoked or expired, too. Whoever got
	// hold of that key reads along.
	UnsafeRevoked bool
}

// Decrypter opens encrypted data. Make one and share it: it keeps the content keys that it has decrypted for MaxUnwrappedAge, so
// that a key management service is asked once per content key and not for each event. All is decided on use. It is
// safe for concurrent use.
type Decrypter struct {
	with    DecryptWith
	parser  jwe.Parser
	flights flights[unwrapID]

	mu    sync.Mutex
	keys  map[unwrapID]*unwrapped
	order []unwrapID // of keys, the oldest first
	down  map[serviceUse]rest
}

// serviceUse is one service, asked for events of one source: what it may decrypt can depend on that.
type serviceUse struct {
	at     int // among the services
	source string
}

// unwrapID names what is unwrapped, by whom: the hash of identity, source and entry (alg, header, encrypted_key).
type unwrapID [sha256.Size]byte

// unwrapped is a content key that an identity has decrypted.
type unwrapped struct {
	sharedKey
	identity string
	born     time.Time
}

// NewDecrypter makes a Decrypter. It asks nobody yet.
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
	return &Decrypter{with: with, keys: make(map[unwrapID]*unwrapped)}, nil
}

// Forget drops all content keys, which are zeroed as soon as nobody uses them. What they are needed for is decrypted again.
func (d *Decrypter) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.keys {
		d.drop(id)
	}
}

// unwrapping is one entry that one identity may decrypt. Either local or service is set.
type unwrapping struct {
	id       unwrapID
	entry    *jwe.WrappedKey
	source   string
	identity string // key ID
	local    keys.Identity
	service  keys.ServiceIdentity
	at       int // among the services, or the identities: there may be two ways to one key, one of which fails
	tried    bool
	failed   bool // it could not be asked
}

// unlocking is one event whose content key is looked for.
type unlocking struct {
	*Decrypter
	source  string
	entries []jwe.WrappedKey
	bundle  *keys.Bundle // that the event was judged by; says which of our keys are revoked
	now     time.Time
	try     func(*jwe.ContentKey) error // decrypts with what may be the key

	candidates []unwrapping
	named      bool   // some entry names one of our keys; else all are tried on the chance
	withdrawn  string // one of our keys to which it is encrypted, but which is revoked or expired
	failed     error  // what says most of what went wrong
}

// unlock tries the entries with the identities that they may be for, until one decrypts: first those at hand, as they cost
// nothing, then private keys that they name, then key management services, then the other private keys. It returns the key
// ID of the identity. One that cannot be asked is not asked for another entry.
func (u *unlocking) unlock(ctx context.Context) (identity string, verdict *Error) {
	u.findCandidates()
	for i := range u.candidates {
		if k := u.cached(u.candidates[i].id, u.now); k != nil && u.attempt(&u.candidates[i], k) {
			return u.candidates[i].identity, nil
		}
	}
	for i := range u.candidates {
		w := &u.candidates[i]
		if w.tried || u.isDown(w) {
			continue
		}
		k, err := u.unwrap(ctx, w, u.now)
		switch {
		case err == nil && u.attempt(w, k):
			return w.identity, nil
		case err != nil:
			u.note(err)
			w.failed = isOutage(err)
		}
		if ctx.Err() != nil {
			u.note(context.Cause(ctx))
			break
		}
	}
	return "", u.verdict()
}

// isDown reports whether what is to decrypt w could not be asked a moment ago.
func (u *unlocking) isDown(w *unwrapping) bool {
	return slices.ContainsFunc(u.candidates, func(v unwrapping) bool {
		return v.failed && v.at == w.at && (v.service == nil) == (w.service == nil)
	})
}

// attempt decrypts with k and gives it back.
func (u *unlocking) attempt(w *unwrapping, k *unwrapped) bool {
	defer k.done()
	w.tried = true
	err := u.try(k.key)
	u.note(err)
	return err == nil
}

// findCandidates lists what may be tried, in the order of unlock.
func (u *unlocking) findCandidates() {
	var identities []keys.Identity
	if u.with.Identities != nil {
		identities = u.with.Identities.Identities(u.now)
	}
	for at, identity := range identities {
		u.addNamed(identity, at)
	}
	for at, service := range u.with.Services {
		u.addService(service, at)
	}
	for at, identity := range identities {
		u.addUnnamed(identity, at)
	}
}

// addNamed adds the entries with the identity's key ID.
func (u *unlocking) addNamed(identity keys.Identity, at int) {
	if identity == nil {
		return
	}
	id := identity.Recipient().KeyID()
	for i := range u.entries {
		e := &u.entries[i]
		switch {
		case e.Alg != jwe.AlgECDH || e.KeyID != id:
		case !u.allows(id):
			u.withdrawn = id
		default:
			u.named = true
			u.add(unwrapping{entry: e, identity: id, local: identity, at: at})
		}
	}
}

// addService adds the first few entries for the service.
func (u *unlocking) addService(service keys.ServiceIdentity, at int) {
	n := 0
	for i := range u.entries {
		if e := &u.entries[i]; e.Alg == jwe.AlgAWSKMS && n < maxServiceTries && service.Takes(e.KeyID) {
			n, u.named = n+1, true
			u.add(unwrapping{entry: e, identity: service.KeyID(), service: service, at: at})
		}
	}
}

// addUnnamed adds the entries on the identity's curve that name nobody: other libraries may leave the key ID out.
func (u *unlocking) addUnnamed(identity keys.Identity, at int) {
	if identity == nil || !slices.ContainsFunc(u.entries, func(e jwe.WrappedKey) bool { return e.Alg == jwe.AlgECDH && e.KeyID == "" }) {
		return
	}
	id := identity.Recipient().KeyID()
	w := unwrapping{identity: id, local: identity, at: at}
	agreeing, err := w.agreeing()
	if err != nil {
		return
	}
	for i := range u.entries {
		e := &u.entries[i]
		switch {
		case e.KeyID != "" || !agreeing.Takes(e):
		case !u.allows(id):
			u.withdrawn = id
		default:
			w.entry = e
			u.add(w)
		}
	}
}

func (u *unlocking) add(w unwrapping) {
	w.source = u.source
	w.id = w.name()
	u.candidates = append(u.candidates, w)
}

// name is the hash that a cache looks the result up by.
func (w *unwrapping) name() unwrapID {
	kind := "identity"
	if w.service != nil {
		kind = "service " + strconv.Itoa(w.at)
	}
	entry := w.entry.Digest()
	b := make([]byte, 0, 384)
	for _, part := range [...]string{kind, w.identity, w.source} {
		b = appendPrefixed(b, part)
	}
	return sha256.Sum256(append(b, entry[:]...))
}

// allows is false of a key of ours that the bundle says is revoked or expired. What it has opened is then forgotten, too.
func (u *unlocking) allows(keyID string) bool {
	if u.with.UnsafeRevoked || u.bundle == nil {
		return true
	}
	k := u.bundle.EncryptionKey(keyID)
	if k == nil {
		return true
	}
	if s := k.StateAt(u.now); s != keys.StateRevoked && s != keys.StateExpired {
		return true
	}
	u.forgetIdentity(keyID)
	return false
}

// note keeps the error that says most: an outage first, as what could not be asked might have said yes; then whatever says
// more than that key and entry do not fit.
func (u *unlocking) note(err error) {
	if err != nil && (u.failed == nil || weight(err) > weight(u.failed)) {
		u.failed = err
	}
}

func weight(err error) int {
	switch {
	case isOutage(err):
		return 2
	case jwe.IsForAnother(err):
		return 0
	}
	return 1
}

// isOutage reports whether the error says nothing of the event. One of an identity says something only if it is a permanent
// *keys.ServiceError; what internal/jwe finds always does.
func isOutage(err error) bool {
	if e, ok := errors.AsType[*keys.ServiceError](err); ok {
		return !e.Permanent
	}
	for _, fault := range [...]error{jwe.ErrMalformed, jwe.ErrUnsupported, jwe.ErrTooLarge, jwe.ErrUncommitted, jwe.ErrUnbound,
		jwe.ErrBinding, jwe.ErrCommitment, jwe.ErrDecrypt, jwe.ErrPlaintext, jwe.ErrUnwrap, jwe.ErrNotRecipient, jwe.ErrKey} {
		if errors.Is(err, fault) {
			return false
		}
	}
	return true
}

func (u *unlocking) verdict() *Error {
	switch err := u.failed; {
	case err == nil && u.withdrawn != "":
		return reject(ReasonNotARecipient, "the data is encrypted to key %s of this consumer, which the trust bundle says is revoked or expired", u.withdrawn)
	case err == nil:
		return reject(ReasonNotARecipient, "the data is encrypted to %s", recipientsText(u.entries))
	case isOutage(err):
		return &Error{Reason: ReasonKMSUnavailable, Cause: err.Error(), Err: err}
	case jwe.IsForAnother(err) && !u.named:
		return reject(ReasonNotARecipient, "the data is encrypted to %s, and no identity fits", recipientsText(u.entries))
	case errors.Is(err, jwe.ErrPlaintext):
		return &Error{Reason: ReasonMalformed, Cause: err.Error(), Err: err}
	default:
		return &Error{Reason: ReasonDecryptFailed, Cause: err.Error(), Err: err}
	}
}

// recipientsText names the first few, as they name themselves.
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

// cached is a content key that is at hand, for the caller to give back.
func (d *Decrypter) cached(id unwrapID, now time.Time) *unwrapped {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep(now)
	k := d.keys[id]
	if k == nil || !k.livesAt(now) {
		return nil
	}
	k.use()
	return k
}

// unwrap is the content key of w, which one caller decrypts for all who want it at the time.
func (d *Decrypter) unwrap(ctx context.Context, w *unwrapping, now time.Time) (*unwrapped, error) {
	if err := d.restingService(w, now); err != nil {
		return nil, err
	}
	own := *w
	entry := w.entry.Clone() // the call may go on when the caller, whose memory it is in, has left
	own.entry = &entry
	for range attempts {
		if err := d.flights.do(ctx, w.id, now, func(ctx context.Context) error { return d.fetch(ctx, &own, now) }); err != nil {
			d.noteService(ctx, w, err, now)
			return nil, err
		}
		if k := d.cached(w.id, now); k != nil {
			return k, nil
		}
	}
	return nil, errors.New("content keys are dropped as soon as they are decrypted: more are in use than a Decrypter holds, or clocks differ")
}

// restingService is the error with which the service of w could not be asked a moment ago, for the same source.
func (d *Decrypter) restingService(w *unwrapping, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.down[serviceUse{w.at, w.source}]; ok && w.service != nil && now.Sub(r.since).Abs() < restAfterError {
		return r.err
	}
	return nil
}

// noteService notes that a service could not be asked, so that it is not asked for each event of a batch.
func (d *Decrypter) noteService(ctx context.Context, w *unwrapping, err error, now time.Time) {
	if w.service == nil || ctx.Err() != nil || !isOutage(err) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down == nil || len(d.down) >= maxRests {
		d.down = make(map[serviceUse]rest)
	}
	d.down[serviceUse{w.at, w.source}] = rest{err, now.Round(0)}
}

// fetch decrypts the content key of w and keeps it.
func (d *Decrypter) fetch(ctx context.Context, w *unwrapping, now time.Time) error {
	if k := d.cached(w.id, now); k != nil {
		k.done()
		return nil // somebody else was faster
	}
	key, err := w.decrypt(ctx)
	if err != nil {
		return err
	}
	k := &unwrapped{identity: w.identity, born: now.Round(0)}
	k.share(key)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(w.id)
	d.keys[w.id] = k
	d.order = append(d.order, w.id)
	d.sweep(now)
	return nil
}

func (w *unwrapping) decrypt(ctx context.Context) (*jwe.ContentKey, error) {
	if w.service == nil {
		return w.agree(ctx)
	}
	secret, err := w.service.DecryptKey(ctx, w.source, w.entry.KeyID, w.entry.EncryptedKey)
	defer clear(secret)
	if err != nil {
		return nil, err
	}
	return jwe.ContentKeyFrom(secret)
}

func (w *unwrapping) agree(ctx context.Context) (*jwe.ContentKey, error) {
	identity, err := w.agreeing()
	if err != nil {
		return nil, err
	}
	return identity.Unwrap(ctx, w.entry)
}

func (w *unwrapping) agreeing() (*jwe.ECDHIdentity, error) {
	r := w.local.Recipient()
	return jwe.NewRemoteIdentity(r.KeyID(), r.PublicKey().Curve(), func(ctx context.Context, epk *ecdh.PublicKey) ([]byte, error) {
		return w.local.ECDH(ctx, epk)
	})
}

// sweep drops what is too old, what is from the future, as when the clock was set back, and the oldest if there are too many.
func (d *Decrypter) sweep(now time.Time) {
	for len(d.order) > 0 && (len(d.order) > maxUnwrapped || !d.keys[d.order[0]].livesAt(now)) {
		d.drop(d.order[0])
	}
}

func (k *unwrapped) livesAt(now time.Time) bool {
	age := now.Sub(k.born)
	return -clockTolerance <= age && age < MaxUnwrappedAge
}

// drop forgets one key. It is mostly the oldest, which stands first.
func (d *Decrypter) drop(id unwrapID) {
	k := d.keys[id]
	if k == nil {
		return
	}
	delete(d.keys, id)
	i := slices.Index(d.order, id)
	d.order = slices.Delete(d.order, i, i+1)
	k.done()
}

// forgetIdentity drops what that identity has decrypted.
func (d *Decrypter) forgetIdentity(keyID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, k := range d.keys {
		if k.identity == keyID {
			d.drop(id)
		}
	}
}
