package envelope

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The limits of one content key, whichever is reached first. AES-GCM with random nonces is safe for 2^32
// encryptions (NIST SP 800-38D section 8.3); what a key that leaks gives away is bounded by the others.
const (
	MaxKeyEncryptions = 1 << 20         // whole data, or single fields
	MaxKeyBytes       = 1 << 30         // of plaintext
	MaxKeyAge         = 5 * time.Minute // so each key in a key management service is asked 12 times an hour
)

// MaxRecipients is how many keys one event can be encrypted to.
const MaxRecipients = jwe.MaxRecipients

// maxSources bounds the content keys of one Encrypter: one for each source.
const maxSources = 1024

// clockTolerance is how far the clocks of two callers may be apart before a content key counts as made in the
// future, as when the clock was set back.
const clockTolerance = time.Minute

// EncryptTo names who can open what an Encrypter encrypts. All of them can, at most MaxRecipients keys in
// all.
type EncryptTo struct {
	Recipients []*keys.Recipient       // public keys
	Services   []keys.ServiceRecipient // keys in a key management service
	Consumers  []string                // names of consumers: all keys that Trust lists as theirs and active, looked up for each event
	Trust      trust.Source            // the trust bundle; needed for Consumers only
}

// Encrypter encrypts the data of events to its recipients. Make one and share it: it makes a content key for
// each source and keeps it for up to MaxKeyAge, so that key management services are asked a few times an hour
// and not for each event. All is decided on use. It is safe for concurrent use.
type Encrypter struct {
	to      EncryptTo
	flights flights[string, struct{}]

	mu      sync.Mutex
	keys    map[string]*contentKey // by source
	nextEnd time.Time              // when the first of them is too old; zero = there is none
}

// contentKey is a content key for the events of one source, as its recipients get it.
type contentKey struct {
	sharedKey
	public  []*keys.Recipient // the public keys that it was wrapped for
	wrapped []jwe.WrappedKey
	born    time.Time

	encryptions, bytes int64 // what it was used for; guarded by the Encrypter
}

// NewEncrypter makes an Encrypter. It asks nobody yet.
func NewEncrypter(to EncryptTo) (*Encrypter, error) {
	to.Recipients, to.Services, to.Consumers = slices.Clone(to.Recipients), slices.Clone(to.Services), slices.Clone(to.Consumers)
	err := errors.Join(nilcheck.Each("Recipients", to.Recipients), nilcheck.Each("Services", to.Services),
		nilcheck.Typed("Trust", to.Trust))
	if err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	seen := make(map[string]bool)
	for _, r := range to.Recipients {
		if seen[r.KeyID()] {
			return nil, errors.New("envelope: a recipient is given twice")
		}
		seen[r.KeyID()] = true
	}
	for _, s := range to.Services {
		if seen[s.KeyID()] {
			return nil, errors.New("envelope: a key of a key management service is given twice")
		}
		seen[s.KeyID()] = true
	}
	switch {
	case len(to.Recipients)+len(to.Services)+len(to.Consumers) == 0:
		return nil, errors.New("envelope: encrypting to nobody: name recipients, keys in a key management service, or consumers")
	case len(to.Consumers) > 0 && to.Trust == nil:
		return nil, errors.New("envelope: encrypting to consumers by their names needs Trust, which lists their keys")
	case len(to.Recipients)+len(to.Services) > MaxRecipients:
		return nil, fmt.Errorf("envelope: %d recipients, of which %d are allowed", len(seen), MaxRecipients)
	}
	return &Encrypter{to: to, keys: make(map[string]*contentKey)}, nil
}

// Forget drops all content keys, which are zeroed as soon as nobody uses them. The next event has a new one.
func (e *Encrypter) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for source := range e.keys {
		e.drop(source)
	}
}

// attempts is how often a caller waits for a new content key that others then use up, or outlive by their
// clocks.
const attempts = 8

// keyFor is a content key for so many encryptions of so many bytes in all, at now, for an event of that
// source. The caller calls done on it.
func (e *Encrypter) keyFor(ctx context.Context, source string, encryptions, bytes int, now time.Time) (*contentKey, error) {
	public, err := e.public(ctx, now)
	if err != nil {
		return nil, err
	}
	for range attempts {
		if k := e.reserve(source, public, int64(encryptions), int64(bytes), now); k != nil {
			return k, nil
		}
		if err := e.flights.do(ctx, flightName(source, public), now, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, e.renew(ctx, source, public, now)
		}, nil); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("content keys are used up, or too old by another clock, as soon as they are made: see what else uses this Encrypter")
}

// public are the public keys to encrypt to at now.
func (e *Encrypter) public(ctx context.Context, now time.Time) ([]*keys.Recipient, error) {
	if len(e.to.Consumers) == 0 {
		return e.to.Recipients, nil
	}
	bundle, err := e.to.Trust.Bundle(ctx)
	if err != nil {
		return nil, err
	}
	if bundle == nil {
		return nil, trust.ErrUnavailable
	}
	list := slices.Clone(e.to.Recipients)
	for _, name := range e.to.Consumers {
		theirs, err := bundle.Recipients(name, now)
		if err != nil {
			return nil, err
		}
		for _, r := range theirs {
			if !slices.ContainsFunc(list, func(o *keys.Recipient) bool { return o.KeyID() == r.KeyID() }) {
				list = append(list, r)
			}
		}
	}
	if n := len(list) + len(e.to.Services); n > MaxRecipients {
		return nil, fmt.Errorf("%d recipients, of which %d are allowed: the consumers have too many active keys", n, MaxRecipients)
	}
	return list, nil
}

// flightName is what those who want the same content key have in common.
func flightName(source string, public []*keys.Recipient) string {
	var b strings.Builder
	b.WriteString(source)
	for _, r := range public {
		b.WriteString("\n" + r.KeyID()) // no source has a line break
	}
	return b.String()
}

// reserve is the content key at hand, if it has room for that; it then counts as used.
func (e *Encrypter) reserve(source string, public []*keys.Recipient, encryptions, bytes int64, now time.Time) *contentKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.nextEnd.IsZero() && !now.Before(e.nextEnd) {
		e.sweep(now)
	}
	k := e.keys[source]
	if k == nil || !k.serves(public, encryptions, bytes, now) {
		return nil
	}
	k.encryptions += encryptions
	k.bytes += bytes
	k.use()
	return k
}

func (k *contentKey) serves(public []*keys.Recipient, encryptions, bytes int64, now time.Time) bool {
	return k.livesAt(now) && k.encryptions+encryptions <= MaxKeyEncryptions && k.bytes+bytes <= MaxKeyBytes &&
		slices.EqualFunc(k.public, public, func(a, b *keys.Recipient) bool { return a.KeyID() == b.KeyID() })
}

// livesAt is false of a key that is too old, and of one from the future: the clock was set back, and it would
// live too long.
func (k *contentKey) livesAt(now time.Time) bool {
	age := now.Sub(k.born)
	return -clockTolerance <= age && age < MaxKeyAge
}

// renew makes a new content key and puts it in place of the old one.
func (e *Encrypter) renew(ctx context.Context, source string, public []*keys.Recipient, now time.Time) error {
	if e.isFresh(source, public, now) {
		return nil // somebody else was faster
	}
	k, err := e.make(ctx, source, public)
	if err != nil {
		return err
	}
	k.born = now.Round(0) // wall clock only: the monotonic one stands still while a process is frozen
	e.mu.Lock()
	defer e.mu.Unlock()
	e.makeRoom(source)
	e.drop(source)
	e.keys[source] = k
	e.sweep(now)
	return nil
}

// isFresh reports whether any event that there can be is served by the key at hand.
func (e *Encrypter) isFresh(source string, public []*keys.Recipient, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.keys[source]
	return k != nil && k.serves(public, MaxEncryptedFields, jwe.MaxMessage, now)
}

// make asks each key management service once: the first makes the content key.
func (e *Encrypter) make(ctx context.Context, source string, public []*keys.Recipient) (_ *contentKey, err error) {
	key, wrapped, err := e.generate(ctx, source)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			key.Zero()
		}
	}()
	for i := 1; i < len(e.to.Services); i++ {
		w, err := wrapAt(ctx, e.to.Services[i], source, key)
		if err != nil {
			return nil, err
		}
		wrapped = append(wrapped, w)
	}
	for _, r := range public {
		to, err := jwe.NewECDHRecipient(r.KeyID(), r.PublicKey())
		if err != nil {
			return nil, err
		}
		w, err := to.Wrap(ctx, key)
		if err != nil {
			return nil, err
		}
		wrapped = append(wrapped, w)
	}
	k := &contentKey{public: public, wrapped: wrapped}
	k.share(key)
	return k, nil
}

// generate makes a content key, by the first service if there is one.
func (e *Encrypter) generate(ctx context.Context, source string) (*jwe.ContentKey, []jwe.WrappedKey, error) {
	if len(e.to.Services) == 0 {
		return jwe.NewContentKey(), nil, nil
	}
	service := e.to.Services[0]
	secret, encrypted, err := service.GenerateKey(ctx, source)
	defer clear(secret)
	if err != nil {
		return nil, nil, err
	}
	key, err := jwe.ContentKeyFrom(secret)
	if err != nil {
		return nil, nil, err
	}
	w, err := key.Wrapped(jwe.AlgAWSKMS, service.KeyID(), encrypted)
	if err != nil {
		key.Zero()
		return nil, nil, err
	}
	return key, []jwe.WrappedKey{w}, nil
}

func wrapAt(ctx context.Context, service keys.ServiceRecipient, source string, key *jwe.ContentKey) (jwe.WrappedKey, error) {
	secret, err := key.Bytes()
	if err != nil {
		return jwe.WrappedKey{}, err
	}
	defer clear(secret)
	encrypted, err := service.EncryptKey(ctx, source, secret)
	if err != nil {
		return jwe.WrappedKey{}, err
	}
	return key.Wrapped(jwe.AlgAWSKMS, service.KeyID(), encrypted)
}

// makeRoom drops the oldest key if there is no room for one of that source.
func (e *Encrypter) makeRoom(source string) {
	if e.keys[source] != nil || len(e.keys) < maxSources {
		return
	}
	oldest := ""
	for s, k := range e.keys {
		if oldest == "" || k.born.Before(e.keys[oldest].born) {
			oldest = s
		}
	}
	e.drop(oldest)
}

// sweep drops what is too old, and notes when that is true of the next.
func (e *Encrypter) sweep(now time.Time) {
	e.nextEnd = time.Time{}
	for source, k := range e.keys {
		if !k.livesAt(now) {
			e.drop(source)
		} else if end := k.born.Add(MaxKeyAge); e.nextEnd.IsZero() || end.Before(e.nextEnd) {
			e.nextEnd = end
		}
	}
}

func (e *Encrypter) drop(source string) {
	if k := e.keys[source]; k != nil {
		delete(e.keys, source)
		k.done()
	}
}
