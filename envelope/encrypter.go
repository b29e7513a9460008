package envelope

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/jwe"
	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/internal/wire"
	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/trust"
)

// The limits of one content key, whichever is reached first. AES-GCM with random nonces is safe for 2^32
// encryptions (NIST SP 800-38D section 8.3). The other limits bound what a leaked key gives away.
const (
	maxKeyEncryptions = 1 << 20         // whole data, or single fields
	maxKeyBytes       = 1 << 30         // of plaintext
	maxKeyAge         = 5 * time.Minute // so each key in a key management service is asked 12 times an hour
)

// maxSources bounds the content keys of one Encrypter: one for each source.
const maxSources = 1024

// EncryptTo names the recipients of an Encrypter. Each of them can open the data. They have at most 16
// keys in all.
type EncryptTo struct {
	Recipients []*keys.Recipient       // public keys
	Services   []keys.ServiceRecipient // keys in a key management service

	// Consumers are names of consumers: all keys that Trust lists as theirs and active, looked up for each
	// event.
	Consumers []string
	Trust     trust.Source // the trust bundle; needed for Consumers only
}

// Encrypter encrypts the data of events to its recipients. Make one and share it: it makes a content key for
// each source and keeps it for up to 5 minutes, so that key management services are asked a few times an hour
// and not for each event. It runs nothing in the background. It is safe for concurrent use. It
// prints, logs and marshals as redacted.
type Encrypter struct {
	redacted
	to      EncryptTo
	flights flights[string, *contentKey]

	mu   sync.Mutex
	keys fairCache[string, *contentKey] // by source, all of one producer
}

// redacted is embedded in types that hold keys. Package fmt would read their fields without the lock, too.
type redacted = redact.Printed

// contentKey is a content key for the events of one source, as its recipients get it.
type contentKey struct {
	sharedKey
	public  []*keys.Recipient // the public keys that it was wrapped for
	wrapped []jwe.WrappedKey

	encryptions, bytes int64 // so far; guarded by the Encrypter
}

// NewEncrypter makes an Encrypter. It calls no service yet.
func NewEncrypter(to EncryptTo) (*Encrypter, error) {
	to.Recipients, to.Services = slices.Clone(to.Recipients), slices.Clone(to.Services)
	to.Consumers = slices.Clone(to.Consumers)
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
		return nil, errors.New("envelope: there is no recipient: " +
			"set Recipients, Services (keys in a key management service) or Consumers")
	case len(to.Consumers) > 0 && to.Trust == nil:
		return nil, errors.New("envelope: encrypting to consumers by their names needs Trust, " +
			"which lists their keys")
	case len(to.Recipients)+len(to.Services) > jwe.MaxRecipients:
		return nil, fmt.Errorf("envelope: %d recipients, of which %d are allowed", len(seen),
			jwe.MaxRecipients)
	}
	e := &Encrypter{to: to}
	e.keys.most, e.keys.drop = maxSources, func(k *contentKey) { k.addUsers(-1) }
	return e, nil
}

// Forget drops all content keys. Each is zeroed as soon as its last user is done. The next event has a new
// one.
func (e *Encrypter) Forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.removeIf(func(string, *contentKey) bool { return true })
}

// attempts is how often a caller waits for a new content key that others then use up, or that is too old by
// their clocks.
const attempts = 8

// keyFor is a content key for so many encryptions of so many bytes in all, at now, for an event of that
// source. It has the caller as a user.
func (e *Encrypter) keyFor(ctx context.Context, source string, encryptions, bytes int,
	now time.Time) (*contentKey, error) {
	public, err := e.public(ctx, now)
	if err != nil {
		return nil, err
	}
	for range attempts {
		if k := e.reserve(source, public, int64(encryptions), int64(bytes), now); k != nil {
			return k, nil
		}
		name := source // callers that want the same content key have source and public keys in common
		for _, r := range public {
			name += "\n" + r.KeyID() // no source has a line break
		}
		k, err := e.flights.do(ctx, name, now, func(ctx context.Context) (*contentKey, error) {
			return e.renew(ctx, source, public, now)
		})
		if err != nil {
			return nil, err
		}
		k.addUsers(-1) // reserve finds it
	}
	return nil,
		errors.New("content keys are used up, or too old by another clock, as soon as they are made: " +
			"see what else uses this Encrypter")
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
	if n := len(list) + len(e.to.Services); n > jwe.MaxRecipients {
		return nil,
			fmt.Errorf("%d recipients, of which %d are allowed: the consumers have too many active keys", n,
				jwe.MaxRecipients)
	}
	return list, nil
}

// reserve counts the use of the content key at hand, and makes the caller a user. It is nil if that key has
// no room for the use.
func (e *Encrypter) reserve(source string, public []*keys.Recipient, encryptions, bytes int64,
	now time.Time) *contentKey {
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.keys.order; len(old) > 0 && now.Sub(old[0].value.born) >= maxKeyAge {
		e.keys.removeIf(func(_ string, k *contentKey) bool { return !k.livesAt(now, maxKeyAge) })
	}
	item := e.keys.items[source]
	if item == nil || !item.value.serves(public, encryptions, bytes, now) {
		return nil
	}
	k := item.value
	k.encryptions += encryptions
	k.bytes += bytes
	k.addUsers(1)
	return k
}

// serves reports whether the key has room for the use, and is for these recipients.
func (k *contentKey) serves(public []*keys.Recipient, encryptions, bytes int64, now time.Time) bool {
	return k.livesAt(now, maxKeyAge) && k.encryptions+encryptions <= maxKeyEncryptions &&
		k.bytes+bytes <= maxKeyBytes &&
		slices.EqualFunc(k.public, public, func(a, b *keys.Recipient) bool { return a.KeyID() == b.KeyID() })
}

// renew makes a new content key, puts it in place of the old one, and makes the caller a user of it.
func (e *Encrypter) renew(ctx context.Context, source string, public []*keys.Recipient,
	now time.Time) (*contentKey, error) {
	e.mu.Lock()
	item := e.keys.items[source]
	if item != nil && item.value.serves(public, wire.MaxEncryptedFields, jwe.MaxMessage, now) {
		defer e.mu.Unlock()
		item.value.addUsers(1)
		return item.value, nil // another caller was faster, and any event has room
	}
	e.mu.Unlock()
	k, err := e.make(ctx, source, public)
	if err != nil {
		return nil, err
	}
	k.born = now.Round(0)
	k.users.Store(2) // the cache and the caller
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.removeIf(func(s string, old *contentKey) bool { return s == source || !old.livesAt(now, maxKeyAge) })
	e.keys.put(source, "", "", k)
	return k, nil
}

// make asks each key management service once: the first makes the content key.
func (e *Encrypter) make(ctx context.Context, source string,
	public []*keys.Recipient) (_ *contentKey, err error) {
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
	return &contentKey{sharedKey: sharedKey{key: key}, public: public, wrapped: wrapped}, nil
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

// wrapAt has the service encrypt the content key.
func wrapAt(ctx context.Context, service keys.ServiceRecipient, source string,
	key *jwe.ContentKey) (jwe.WrappedKey, error) {
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
