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

	"github.com/sealbus/sealbus/internal/strictjson"
)

// MaxKeyringKeys bounds the keys of a keyring.
const MaxKeyringKeys = 1_000

// keyringVersion is the version of the file format.
const keyringVersion = 1

// Keyring is a producer's own private signing keys with their schedule, in a file. It is safe for concurrent
// use, and prints, logs and marshals as redacted.
type Keyring struct {
	path       string
	producer   string
	sources    []string // nil = not recorded
	types      []string // nil = not recorded
	protection *protection

	mu     sync.RWMutex
	digest [sha256.Size]byte // of the file, as it was read or written
	keys   []*keyringKey
}

var _ SignerSource = (*Keyring)(nil)

type keyringKey struct {
	signer   *LocalSigner
	schedule Schedule
}

// KeyringKey is the public side of a key in a Keyring.
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
	if err := k.check(); err != nil {
		return nil, fmt.Errorf("keys: keyring: %w", err)
	}
	content, err := k.sealed(k.keys)
	if err != nil {
		return nil, err
	}
	if err := writeNew(path, content, privateMode); err != nil {
		return nil, err
	}
	k.digest = sha256.Sum256(content)
	return k, nil
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

// ParseKeyring reads the content of an encrypted keyring file that came another way, from an object store for example. A
// wrong passphrase is ErrPassphrase. Keys cannot be added to it: there is no file that would keep them.
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
		return nil, fmt.Errorf("keys: keyring %s: %w", name, unquoted(err))
	}
	return k, nil
}

// Producer is the producer whose keys these are.
func (k *Keyring) Producer() string { return k.producer }

// Sources are the recorded source patterns; nil = not recorded.
func (k *Keyring) Sources() []string { return slices.Clone(k.sources) }

// Types are the recorded type patterns; nil = not recorded.
func (k *Keyring) Types() []string { return slices.Clone(k.types) }

// AllowsSource reports whether the recorded scope has the source. Without a record it is true: the bundle decides.
func (k *Keyring) AllowsSource(source string) bool {
	return k.sources == nil || MatchSource(k.sources, source)
}

// AllowsType reports whether the recorded scope has the type. Without a record it is true.
func (k *Keyring) AllowsType(typ string) bool { return k.types == nil || MatchType(k.types, typ) }

// Keys are the public sides of the keys, in the order in which they were added.
func (k *Keyring) Keys() []KeyringKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	list := make([]KeyringKey, len(k.keys))
	for i, key := range k.keys {
		list[i] = KeyringKey{Verifier: key.signer.verifier, Schedule: key.schedule}
	}
	return list
}

// Find is the signer of that key ID, whatever its schedule says.
func (k *Keyring) Find(keyID string) (*LocalSigner, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		if key.signer.verifier.id == keyID {
			return key.signer, true
		}
	}
	return nil, false
}

// Signers is the one signer to use at now: of the keys that sign then, the one that became active last, and of
// several such the one added last. If there is none, the error is ErrNoSigner and says what to do.
func (k *Keyring) Signers(now time.Time) ([]Signer, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var best *keyringKey
	for _, key := range k.keys {
		if key.schedule.SignsAt(now) && (best == nil || !key.schedule.Active.Before(best.schedule.Active)) {
			best = key
		}
	}
	if best == nil {
		return nil, k.noSigner(now)
	}
	return []Signer{best.signer}, nil
}

func (k *Keyring) noSigner(now time.Time) error {
	var next *keyringKey
	for _, key := range k.keys {
		if now.Before(key.schedule.Active) && (next == nil || key.schedule.Active.Before(next.schedule.Active)) {
			next = key
		}
	}
	switch {
	case len(k.keys) == 0:
		return fmt.Errorf("keys: the keyring of %s: %w: it is empty: make a key", k.producer, ErrNoSigner)
	case next != nil:
		return fmt.Errorf("keys: the keyring of %s: %w: the next, %s, is active from %s", k.producer, ErrNoSigner,
			next.signer.verifier.id, next.schedule.Active.Format(timeFormat))
	}
	return fmt.Errorf("keys: the keyring of %s: %w: all its keys are retired or expired: make a new one and have it added to the trust", k.producer, ErrNoSigner)
}

// Add adds a key to the keyring and its file, all or nothing. A key that is there already is refused, and so is a
// file that somebody else changed in the meantime.
func (k *Keyring) Add(signer *LocalSigner, schedule Schedule) error {
	if k.path == "" {
		return errors.New("keys: this keyring was not read from a file: add the key to its file, and store that again")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	grown := slices.Concat(k.keys, []*keyringKey{{signer: signer, schedule: schedule.wholeSeconds()}})
	if err := checkKeyringKeys(k.producer, grown); err != nil {
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
	if err := CheckProducer(k.producer); err != nil {
		return err
	}
	if err := CheckScope(k.sources, k.types); err != nil {
		return err
	}
	return checkKeyringKeys(k.producer, k.keys)
}

func checkKeyringKeys(producer string, keys []*keyringKey) error {
	if len(keys) > MaxKeyringKeys {
		return fmt.Errorf("more than %d keys", MaxKeyringKeys)
	}
	seen := map[string]bool{}
	for _, key := range keys {
		switch {
		case key.signer == nil:
			return errors.New("no key")
		case key.signer.producer != producer:
			return fmt.Errorf("key %s is of producer %q, the keyring of %q", key.signer.verifier.id, key.signer.producer, producer)
		case seen[key.signer.verifier.id]:
			return fmt.Errorf("key %s is there already", key.signer.verifier.id)
		}
		seen[key.signer.verifier.id] = true
		if err := key.schedule.Check(); err != nil {
			return fmt.Errorf("key %s: %w", key.signer.verifier.id, err)
		}
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

// plain is the keyring in canonical JSON: {"keys":[{...schedule, "jwk"}],"producer","sources","types","version"}.
// The caller clears it.
func (k *Keyring) plain(keys []*keyringKey) ([]byte, error) {
	w := objectWriter{dst: make([]byte, 0, maxPlain)} // growing would leave copies behind
	w.open()
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
	w.string("producer", k.producer)
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
	jwk, err := k.signer.UnsafePrivateJWK()
	if err != nil {
		return nil, err
	}
	defer clear(jwk)
	return k.schedule.append(dst, jwk), nil
}

// parseKeyring reads the decrypted keyring, only in canonical form.
func parseKeyring(plain []byte) (*Keyring, error) {
	r := strictjson.NewReader(plain)
	k := &Keyring{}
	var version int64
	var raws [][]byte
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "version":
			version = r.Int()
		case "producer":
			k.producer = r.String()
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

func readRaws(r *strictjson.Reader, most int) [][]byte {
	var list [][]byte
	for a := r.Array(); r.Element(&a); {
		if len(list) == most {
			r.Failf("an array of more than %d entries", most)
			return nil
		}
		list = append(list, r.Raw())
	}
	return list
}

// adopt reads the keys, once the producer is known, and checks the whole.
func (k *Keyring) adopt(raws [][]byte, plain []byte) error {
	for i, raw := range raws {
		key, err := parseKeyringKey(raw, k.producer)
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

func parseKeyringKey(raw []byte, producer string) (*keyringKey, error) {
	r := strictjson.NewReader(raw)
	k := &keyringKey{}
	var jwk []byte
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "jwk":
			jwk = r.Raw()
		case "published":
			k.schedule.Published = readTime(&r)
		case "active":
			k.schedule.Active = readTime(&r)
		case "retired":
			k.schedule.Retired = readTime(&r)
		case "expired":
			k.schedule.Expired = readTime(&r)
		default:
			r.Failf("unknown member %q", clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	var err error
	k.signer, err = ParsePrivateJWK(jwk, producer)
	return k, err
}

// String names the producer and the key IDs.
func (k *Keyring) String() string {
	if k == nil {
		return "Keyring(nil)"
	}
	ids := []string{}
	for _, key := range k.Keys() {
		ids = append(ids, key.KeyID())
	}
	return "Keyring(" + k.producer + ": " + strings.Join(ids, " ") + ", " + redactedText + ")"
}

// GoString is String.
func (k *Keyring) GoString() string { return k.String() }

// Format writes String, whatever the verb.
func (k *Keyring) Format(f fmt.State, _ rune) { writeRedacted(f, k) }

// LogValue is String.
func (k *Keyring) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalJSON gives String.
func (k *Keyring) MarshalJSON() ([]byte, error) { return marshalRedacted(k) }
