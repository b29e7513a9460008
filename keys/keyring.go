package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
)

// MaxKeyringKeys bounds the keys of a keyring.
const MaxKeyringKeys = 1_000

// keyringVersion is the version of the file format.
const keyringVersion = 1

// Keyring is the private keys of one owner with their schedule, in a file: a producer's own signing keys, or
// a consumer's own identities. It is safe for concurrent use, and prints, logs and marshals as redacted.
type Keyring struct {
	path       string
	producer   string   // "" = the keyring of a consumer
	consumer   string   // "" = the keyring of a producer
	sources    []string // nil = not recorded
	types      []string // nil = not recorded
	protection *protection

	mu     sync.RWMutex
	digest [sha256.Size]byte // of the file, as it was read or written
	keys   []*keyringKey
}

var _ SignerSource = (*Keyring)(nil)

// keyringKey is one key, for the one use or the other.
type keyringKey struct {
	signer   *LocalSigner   // nil = an identity
	identity *LocalIdentity // nil = a signer
	schedule Schedule
}

func (k *keyringKey) id() string {
	if k.identity != nil {
		return k.identity.recipient.id
	}
	return k.signer.verifier.id
}

func (k *keyringKey) unsafePrivateJWK() ([]byte, error) {
	if k.identity != nil {
		return k.identity.UnsafePrivateJWK()
	}
	return k.signer.UnsafePrivateJWK()
}

// KeyringKey is the public side of a signing key in a Keyring.
type KeyringKey struct {
	*Verifier
	Schedule Schedule
}

// StateAt is the key's state by its schedule: a revocation stands in the bundle only.
func (k KeyringKey) StateAt(now time.Time) State { return k.Schedule.StateAt(now) }

// MarshalJSON is an object with the schedule and the public JWK.
func (k KeyringKey) MarshalJSON() ([]byte, error) {
	return k.Schedule.append(nil, k.JWK()), nil
}

// append writes the schedule with a JWK between, in canonical order.
func (s *Schedule) append(dst, jwk []byte) []byte {
	w := objectWriter{dst: dst}
	w.open()
	w.time("active", s.Active)
	w.time("expired", s.Expired)
	w.name("jwk")
	w.dst = append(w.dst, jwk...)
	w.time("published", s.Published)
	w.time("retired", s.Retired)
	return w.close()
}

// KeyringOptions is what CreateKeyring writes beside the producer. The zero value is an encrypted keyring
// without keys and without a recorded scope.
type KeyringOptions struct {
	PrivateFileOptions

	Sources []string // source patterns that the producer may sign for, as a reminder; nil = not recorded
	Types   []string // the same for types

	Key      *LocalSigner // the first key; nil = none yet
	Schedule Schedule     // of the first key
}

// CreateKeyring makes a keyring file, mode 0600, that must not exist yet. The passphrase encrypts it (age,
// scrypt), unless it is empty and opts.InsecureNoPassphrase says so.
func CreateKeyring(path, passphrase, producer string, opts *KeyringOptions) (*Keyring, error) {
	if opts == nil {
		opts = &KeyringOptions{}
	}
	p, err := newProtection(passphrase, opts.PrivateFileOptions)
	if err != nil {
		return nil, err
	}
	k := &Keyring{
		path: path, producer: producer, protection: p,
		sources: slices.Clone(opts.Sources), types: slices.Clone(opts.Types),
	}
	if opts.Key != nil {
		k.keys = []*keyringKey{{signer: opts.Key, schedule: opts.Schedule.wholeSeconds()}}
	}
	if err := k.create(); err != nil {
		return nil, err
	}
	return k, nil
}

// create checks the keyring and makes its file.
func (k *Keyring) create() error {
	if err := k.check(); err != nil {
		return fmt.Errorf("keys: keyring: %w", err)
	}
	content, err := k.sealed(k.keys)
	if err != nil {
		return err
	}
	if err := writeNew(k.path, content, privateMode); err != nil {
		return err
	}
	k.digest = sha256.Sum256(content)
	return nil
}

// OpenKeyring reads an encrypted keyring file. A wrong passphrase is ErrPassphrase.
func OpenKeyring(path, passphrase string) (*Keyring, error) {
	if passphrase == "" {
		return nil, fmt.Errorf("keys: %s: the passphrase is empty (OpenInsecureKeyring opens a keyring that is not encrypted)", path)
	}
	return openKeyring(path, passphrase)
}

// OpenInsecureKeyring reads a keyring file that is not encrypted.
func OpenInsecureKeyring(path string) (*Keyring, error) { return openKeyring(path, "") }

func openKeyring(path, passphrase string) (*Keyring, error) {
	plain, raw, p, err := readPrivate(path, passphrase)
	if err != nil {
		return nil, err
	}
	k, err := readKeyring(path, plain)
	if err != nil {
		return nil, err
	}
	k.path, k.protection, k.digest = path, p, sha256.Sum256(raw)
	return k, nil
}

// ParseKeyring reads the content of an encrypted keyring file that came another way, from an object store for
// example. A wrong passphrase is ErrPassphrase. Keys cannot be added to it: there is no file that would keep
// them.
func ParseKeyring(content []byte, passphrase string) (*Keyring, error) {
	const name = "the keyring"
	switch {
	case passphrase == "":
		return nil, errors.New("keys: the passphrase of the keyring is empty")
	case len(content) > MaxPrivateFile:
		return nil, fmt.Errorf("keys: the keyring has more than %d bytes", MaxPrivateFile)
	}
	plain, _, err := unprotect(name, content, passphrase)
	if err != nil {
		return nil, err
	}
	return readKeyring(name, plain)
}

// readKeyring reads the decrypted keyring of that name, and clears plain.
func readKeyring(name string, plain []byte) (*Keyring, error) {
	defer clear(plain)
	k, err := parseKeyring(plain)
	if err != nil {
		err = explainedPrivate(plain, unquoted(err), "a keyring", filekind.Keyring)
		return nil, fmt.Errorf("keys: keyring %s: %w", name, err)
	}
	return k, nil
}

// Producer is the producer whose signing keys these are; "" = they are a consumer's.
func (k *Keyring) Producer() string { return k.producer }

// Sources are the recorded source patterns; nil = not recorded.
func (k *Keyring) Sources() []string { return slices.Clone(k.sources) }

// Types are the recorded type patterns; nil = not recorded.
func (k *Keyring) Types() []string { return slices.Clone(k.types) }

// AllowsSource reports whether the recorded scope has the source. Without a record it is true: the bundle
// decides.
func (k *Keyring) AllowsSource(source string) bool {
	return k.sources == nil || MatchSource(k.sources, source)
}

// AllowsType reports whether the recorded scope has the type. Without a record it is true.
func (k *Keyring) AllowsType(typ string) bool { return k.types == nil || MatchType(k.types, typ) }

// Keys are the public sides of the signing keys, in the order in which they were added; of a consumer's
// keyring none.
func (k *Keyring) Keys() []KeyringKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := []KeyringKey{}
	for _, key := range k.keys {
		if key.signer != nil {
			list = append(list, KeyringKey{Verifier: key.signer.verifier, Schedule: key.schedule})
		}
	}
	return list
}

// Find is the signer of that key ID, whatever its schedule says.
func (k *Keyring) Find(keyID string) (*LocalSigner, bool) {
	key, ok := k.find(keyID)
	if !ok || key.signer == nil {
		return nil, false
	}
	return key.signer, true
}

func (k *Keyring) find(keyID string) (*keyringKey, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		if key.id() == keyID {
			return key, true
		}
	}
	return nil, false
}

// Signers are the signers to use at now: of the keys that sign then, the one that became active last, and of
// several such the one added last. A key whose algorithm is PostQuantum does not take over from the others,
// nor they from it: of each kind one signs, since consumers may require both. If there is none, the error is
// ErrNoSigner and says what to do.
func (k *Keyring) Signers(now time.Time) ([]Signer, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var list []Signer
	for _, postQuantum := range []bool{false, true} {
		if key := k.signerOf(postQuantum, now); key != nil {
			list = append(list, key.signer)
		}
	}
	if list == nil {
		return nil, k.noSigner(now)
	}
	return list, nil
}

func (k *Keyring) signerOf(postQuantum bool, now time.Time) *keyringKey {
	var best *keyringKey
	for _, key := range k.keys {
		if key.signer == nil || key.signer.verifier.alg.PostQuantum() != postQuantum || !key.schedule.SignsAt(now) {
			continue
		}
		if best == nil || !key.schedule.Active.Before(best.schedule.Active) {
			best = key
		}
	}
	return best
}

func (k *Keyring) noSigner(now time.Time) error {
	var next *keyringKey
	for _, key := range k.keys {
		if now.Before(key.schedule.Active) && (next == nil || key.schedule.Active.Before(next.schedule.Active)) {
			next = key
		}
	}
	switch {
	case k.consumer != "":
		return fmt.Errorf("keys: the keyring of %s: %w: its keys are those of a consumer, for opening", k.consumer, ErrNoSigner)
	case len(k.keys) == 0:
		return fmt.Errorf("keys: the keyring of %s: %w: it is empty: make a key", k.producer, ErrNoSigner)
	case next != nil:
		return fmt.Errorf("keys: the keyring of %s: %w: the next, %s, is active from %s", k.producer, ErrNoSigner,
			next.id(), next.schedule.Active.Format(timeFormat))
	}
	return fmt.Errorf("keys: the keyring of %s: %w: all its keys are retired or expired: make a new one and have it added to the trust", k.producer, ErrNoSigner)
}

// Add adds a signing key to a producer's keyring and its file, all or nothing. A key that is there already is
// refused, and so is a file that somebody else changed in the meantime.
func (k *Keyring) Add(signer *LocalSigner, schedule Schedule) error {
	return k.add(&keyringKey{signer: signer, schedule: schedule.wholeSeconds()})
}

func (k *Keyring) add(key *keyringKey) error {
	if k.path == "" {
		return errors.New("keys: this keyring was not read from a file: add the key to its file, and store that again")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	grown := slices.Concat(k.keys, []*keyringKey{key})
	if err := k.checkKeys(grown); err != nil {
		return fmt.Errorf("keys: keyring: %w", err)
	}
	content, err := k.sealed(grown)
	if err != nil {
		return err
	}
	if err := replace(k.path, k.digest, content); err != nil {
		return err
	}
	k.keys, k.digest = grown, sha256.Sum256(content)
	return nil
}

func (k *Keyring) check() error {
	if k.producer != "" && k.consumer != "" {
		return errors.New("it is of a producer and of a consumer: each has a keyring of its own")
	}
	if err := CheckProducer(k.producer + k.consumer); err != nil {
		return err
	}
	if k.consumer != "" && (k.sources != nil || k.types != nil) {
		return errors.New("sources and types are a producer's")
	}
	if err := CheckScope(k.sources, k.types); err != nil {
		return err
	}
	return k.checkKeys(k.keys)
}

func (k *Keyring) checkKeys(keys []*keyringKey) error {
	if len(keys) > MaxKeyringKeys {
		return fmt.Errorf("more than %d keys", MaxKeyringKeys)
	}
	seen := map[string]bool{}
	for _, key := range keys {
		if err := k.fits(key); err != nil {
			return err
		}
		if seen[key.id()] {
			return fmt.Errorf("key %s is there already", key.id())
		}
		seen[key.id()] = true
		if err := key.schedule.Check(); err != nil {
			return fmt.Errorf("key %s: %w", key.id(), err)
		}
	}
	return nil
}

// fits refuses a key that is not for the use and the owner of the keyring.
func (k *Keyring) fits(key *keyringKey) error {
	switch {
	case key.signer == nil && key.identity == nil:
		return errors.New("no key")
	case key.identity != nil && k.consumer == "":
		return fmt.Errorf("key %s is for opening, the keyring of producer %q for signing: give the consumer a keyring of its own", key.id(), k.producer)
	case key.signer != nil && k.producer == "":
		return fmt.Errorf("key %s is for signing, the keyring of consumer %q for opening: give the producer a keyring of its own", key.id(), k.consumer)
	case key.signer != nil && key.signer.producer != k.producer:
		return fmt.Errorf("key %s is of producer %q, the keyring of %q", key.id(), key.signer.producer, k.producer)
	}
	return nil
}

// sealed is the content of the file with these keys.
func (k *Keyring) sealed(keys []*keyringKey) ([]byte, error) {
	plain, err := k.plain(keys)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) > maxPlain {
		return nil, errors.New("keys: the keyring is too large")
	}
	return k.protection.seal(plain)
}

// plain is the keyring in canonical JSON: {"keys":[{...schedule,
// "jwk"}],"producer","sources","types","version"}, or {"consumer","keys","version"}. The caller clears it.
func (k *Keyring) plain(keys []*keyringKey) ([]byte, error) {
	w := objectWriter{dst: make([]byte, 0, maxPlain)} // growing would leave copies behind
	w.open()
	if k.consumer != "" {
		w.string("consumer", k.consumer)
	}
	w.name("keys")
	w.dst = append(w.dst, '[')
	for i, key := range keys {
		if i > 0 {
			w.dst = append(w.dst, ',')
		}
		var err error
		if w.dst, err = key.append(w.dst); err != nil {
			return nil, err
		}
	}
	w.dst = append(w.dst, ']')
	if k.producer != "" {
		w.string("producer", k.producer)
	}
	if k.sources != nil {
		w.strings("sources", k.sources)
	}
	if k.types != nil {
		w.strings("types", k.types)
	}
	w.name("version")
	w.dst = append(w.dst, '0'+keyringVersion)
	return w.close(), nil
}

func (k *keyringKey) append(dst []byte) ([]byte, error) {
	jwk, err := k.unsafePrivateJWK()
	if err != nil {
		return nil, err
	}
	defer clear(jwk)
	return k.schedule.append(dst, jwk), nil
}

// parseKeyring reads the decrypted keyring, only in canonical form.
func parseKeyring(plain []byte) (*Keyring, error) {
	r := jsontext.NewDecoder(plain)
	k := &Keyring{}
	var version int64
	var raws [][]byte
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "version":
			version = r.Int()
		case "producer":
			k.producer = r.String()
		case "consumer":
			k.consumer = r.String()
		case "sources":
			k.sources = readStrings(&r, MaxPatterns)
		case "types":
			k.types = readStrings(&r, MaxPatterns)
		case "keys":
			raws = readRaws(&r, MaxKeyringKeys)
		default:
			r.Failf("unknown member %q", clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if version != keyringVersion {
		return nil, fmt.Errorf("version %d is not supported: this program reads version %d", version, keyringVersion)
	}
	return k, k.adopt(raws, plain)
}

func readRaws(r *jsontext.Decoder, most int) [][]byte {
	var list [][]byte
	for a := r.Array(); r.Element(&a); {
		if len(list) == most {
			r.Failf("an array of more than %d entries", most)
			return nil
		}
		list = append(list, r.ReadValue())
	}
	return list
}

// adopt reads the keys, once their owner is known, and checks the whole.
func (k *Keyring) adopt(raws [][]byte, plain []byte) error {
	for i, raw := range raws {
		key, err := k.parseKey(raw)
		if err != nil {
			return fmt.Errorf("keys[%d]: %w", i, err)
		}
		k.keys = append(k.keys, key)
	}
	if err := k.check(); err != nil {
		return err
	}
	again, err := k.plain(k.keys)
	defer clear(again)
	if err == nil && string(again) != string(plain) {
		err = errNotCanonical
	}
	return err
}

func (k *Keyring) parseKey(raw []byte) (*keyringKey, error) {
	r := jsontext.NewDecoder(raw)
	key := &keyringKey{}
	var jwk []byte
	for obj := r.Object(); r.Member(&obj); {
		if name := string(obj.Name); name == "jwk" {
			jwk = r.ReadValue()
		} else if !key.schedule.readMember(name, &r) {
			r.Failf("unknown member %q", clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	var err error
	if k.consumer != "" {
		key.identity, err = ParseIdentityJWK(jwk)
	} else {
		key.signer, err = ParsePrivateJWK(jwk, k.producer)
	}
	return key, err
}

// String names the owner and the key IDs.
func (k *Keyring) String() string {
	if k == nil {
		return "Keyring(nil)"
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	ids := []string{}
	for _, key := range k.keys {
		ids = append(ids, key.id())
	}
	return "Keyring(" + k.producer + k.consumer + ": " + strings.Join(ids, " ") + ", " + redactedText + ")"
}

// GoString is String.
func (k *Keyring) GoString() string { return k.String() }

// Format writes String, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { writeRedacted(f, k) }

// LogValue is String.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON gives String.
func (k *Keyring) MarshalJSON() ([]byte, error) { return marshalRedacted(k) }
