package keys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/internal/redact"
)

// maxKeyringKeys bounds the keys of a keyring.
const maxKeyringKeys = 1_000

// keyringVersion is the version of the file format.
const keyringVersion = 1

// Keyring has the private keys of one owner with their schedules, in a file: the signing keys of a producer,
// or the identities of a consumer. It is safe for concurrent use, and prints, logs and marshals as redacted.
type Keyring struct {
	redacted
	path       string
	producer   string   // "" = the keyring of a consumer
	consumer   string   // "" = the keyring of a producer
	sources    []string // nil = not recorded
	types      []string // nil = not recorded
	protection *privatefile.Protection

	mu     sync.RWMutex
	digest [sha256.Size]byte // of the file, as it was read or written
	keys   []*keyringKey
}

var _ SignerSource = (*Keyring)(nil)

// keyringKey is one key of either use.
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

// append writes the schedule with a JWK, in canonical order.
func (s *Schedule) append(dst, jwk []byte) []byte {
	o := s.members()
	o.Raw("jwk", jwk)
	return o.Append(dst)
}

var (
	// ErrNotEncrypted is (wrapped in) the error of opening a private file with a passphrase although the file is
	// not encrypted. Its keys are still usable.
	ErrNotEncrypted = privatefile.ErrNotEncrypted
	// ErrPassphrase is (wrapped in) the error of opening a private file with the wrong passphrase.
	ErrPassphrase = privatefile.ErrPassphrase
)

// PrivateFileOptions says how a file with private keys is protected. Its zero value demands a passphrase.
type PrivateFileOptions struct {
	// ScryptWorkFactor is the base-2 logarithm of the cost of trying one passphrase; 0 = 18, about a second on a
	// laptop. Lower values are for tests.
	ScryptWorkFactor int
	// InsecureNoPassphrase leaves the file unencrypted, protected by its mode only.
	InsecureNoPassphrase bool
}

// KeyringOptions says what CreateKeyring and CreateConsumerKeyring write in addition to the owner. The zero
// value is an encrypted keyring without keys and without a recorded scope.
type KeyringOptions struct {
	PrivateFileOptions

	Sources []string // source patterns that the producer may sign for, as a reminder; nil = not recorded
	Types   []string // the same for types

	// Key is the first key: a *LocalSigner of a producer, a *LocalIdentity of a consumer; nil = none yet.
	Key      privateKey
	Schedule Schedule // of the first key
}

// CreateKeyring makes a keyring file, mode 0600, that must not exist yet. The passphrase encrypts it (age,
// scrypt), unless it is empty and opts.InsecureNoPassphrase says so.
func CreateKeyring(path, passphrase, producer string, opts *KeyringOptions) (*Keyring, error) {
	if err := CheckProducer(producer); err != nil {
		return nil, err
	}
	return createKeyring(&Keyring{path: path, producer: producer}, passphrase, opts)
}

// CreateConsumerKeyring is CreateKeyring for the identities of a consumer.
func CreateConsumerKeyring(path, passphrase, consumer string, opts *KeyringOptions) (*Keyring, error) {
	if consumer == "" {
		return nil, errors.New("keys: no consumer name: " +
			"give the name that the trust policy has for it, such as \"billing\"")
	}
	return createKeyring(&Keyring{path: path, consumer: consumer}, passphrase, opts)
}

func createKeyring(k *Keyring, passphrase string, opts *KeyringOptions) (*Keyring, error) {
	if opts == nil {
		opts = &KeyringOptions{}
	}
	p, err := privatefile.NewProtection(passphrase, opts.ScryptWorkFactor, opts.InsecureNoPassphrase)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k.redacted = k.print
	k.protection, k.sources, k.types = p, slices.Clone(opts.Sources), slices.Clone(opts.Types)
	if opts.Key != nil {
		k.keys = append(k.keys, keyringKeyOf(opts.Key, opts.Schedule))
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
	content, err := k.sealed(k.protection, k.keys)
	if err != nil {
		return err
	}
	if err := privatefile.WriteNew(k.path, content, privatefile.Mode); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	k.digest = sha256.Sum256(content)
	return nil
}

// OpenKeyring reads an encrypted keyring file. A wrong passphrase is ErrPassphrase. An empty passphrase reads
// a keyring that is not encrypted, if opts.InsecureNoPassphrase says so.
func OpenKeyring(path, passphrase string, opts *PrivateFileOptions) (*Keyring, error) {
	if err := privatefile.CheckPassphrase(passphrase, opts != nil && opts.InsecureNoPassphrase); err != nil {
		return nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	plain, raw, p, err := privatefile.Read(path, passphrase)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k, err := readKeyring(path, plain)
	if err != nil {
		return nil, err
	}
	k.path, k.protection, k.digest = path, p, sha256.Sum256(raw)
	return k, nil
}

// ParseKeyring reads the content of an encrypted keyring file that is not on disk, for example an object in
// S3. A wrong passphrase is ErrPassphrase. Apply and Add refuse it, because it has no file to write to: With
// gives the content to store.
func ParseKeyring(content []byte, passphrase string) (*Keyring, error) {
	if passphrase == "" {
		return nil, errors.New("keys: the passphrase of the keyring is empty")
	}
	return parseStored(content, passphrase)
}

// parseStored is ParseKeyring, also of a keyring that is not encrypted (without a passphrase).
func parseStored(content []byte, passphrase string) (*Keyring, error) {
	const name = "the keyring"
	if len(content) > privatefile.MaxSize {
		return nil, fmt.Errorf("keys: the keyring has more than %d bytes", privatefile.MaxSize)
	}
	plain, p, err := privatefile.Unprotect(name, content, passphrase)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k, err := readKeyring(name, plain)
	if err != nil {
		return nil, err
	}
	k.protection, k.digest = p, sha256.Sum256(content)
	return k, nil
}

// readKeyring reads the decrypted keyring of that name, and clears plain.
func readKeyring(name string, plain []byte) (*Keyring, error) {
	defer clear(plain)
	k, err := parseKeyring(plain)
	if err != nil {
		err = keydoc.ExplainedPrivate(plain, keydoc.Unquoted(err), "a keyring", filekind.Keyring)
		return nil, fmt.Errorf("keys: keyring %s: %w", name, err)
	}
	return k, nil
}

// Producer is the producer that owns the signing keys; "" = the keyring belongs to a consumer.
func (k *Keyring) Producer() string { return k.producer }

// Scope is the recorded source and type patterns; nil = not recorded, and only the bundle decides. Do not
// change them.
func (k *Keyring) Scope() (sources, types []string) { return k.sources, k.types }

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

// Signers are the signers to use at now. Of the keys that sign then, it is the key that became active last,
// and of several such keys the one that was added last. Consumers may require a PostQuantum algorithm beside
// another one, so each of the two kinds has a signer of its own. If no key signs, the error is ErrNoSigner
// and says what to do.
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
		if key.signer == nil || key.signer.verifier.alg.PostQuantum() != postQuantum ||
			!key.schedule.SignsAt(now) {
			continue
		}
		if best == nil || !key.schedule.Active.Before(best.schedule.Active) {
			best = key
		}
	}
	return best
}

// Candidates are all signers whose schedule lets them sign at now, the newest first. There are no others. A
// producer that asks the trust bundle which key to sign with (producer.Options.Trust) chooses from them.
func (k *Keyring) Candidates(now time.Time) (due, others []Signer) {
	k.mu.RLock()
	list := slices.Clone(k.keys)
	k.mu.RUnlock()
	slices.Reverse(list) // of several keys that became active at once, the one that was added last
	slices.SortStableFunc(list, func(a, b *keyringKey) int {
		return b.schedule.Active.Compare(a.schedule.Active)
	})
	for _, key := range list {
		if key.signer != nil && key.schedule.SignsAt(now) {
			due = append(due, key.signer)
		}
	}
	return due, nil
}

func (k *Keyring) noSigner(now time.Time) error {
	var next *keyringKey
	for _, key := range k.keys {
		if now.Before(key.schedule.Active) && (next == nil ||
			key.schedule.Active.Before(next.schedule.Active)) {
			next = key
		}
	}
	switch {
	case k.consumer != "":
		return fmt.Errorf("keys: the keyring of %s: %w: its keys are those of a consumer, and they only decrypt", k.consumer, ErrNoSigner)
	case len(k.keys) == 0:
		return fmt.Errorf("keys: the keyring of %s: %w: it is empty: make a key", k.producer, ErrNoSigner)
	case next != nil:
		return fmt.Errorf("keys: the keyring of %s: %w: the next, %s, is active from %s", k.producer,
			ErrNoSigner,
			next.id(), next.schedule.Active.Format(keydoc.TimeFormat))
	}
	return fmt.Errorf("keys: the keyring of %s: %w: all its keys are retired or expired: make a new one and have it added to the trust", k.producer, ErrNoSigner)
}

// privateKey is a key that a Keyring can keep: a *LocalSigner or a *LocalIdentity.
type privateKey interface {
	UnsafePrivateJWK() ([]byte, error)
}

// keyringKeyOf is the key with its schedule. A nil key, or a key of a third kind, gives an entry without a
// key, which checkKeys refuses.
func keyringKeyOf(key privateKey, schedule Schedule) *keyringKey {
	k := &keyringKey{schedule: schedule.WholeSeconds()}
	k.signer, _ = key.(*LocalSigner)
	k.identity, _ = key.(*LocalIdentity)
	return k
}

// Add adds a key to the keyring and to its file: a *LocalSigner to that of a producer, a *LocalIdentity to
// that of a consumer. It changes both or neither. It refuses a key that the keyring has already, and a file
// that another program has changed since.
func (k *Keyring) Add(private privateKey, schedule Schedule) error {
	if private == nil {
		return errors.New("keys: keyring: no key")
	}
	return k.Apply(&Change{Add: private, Schedule: schedule})
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
	if len(keys) > maxKeyringKeys {
		return fmt.Errorf("more than %d keys", maxKeyringKeys)
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

// fits refuses a key of another use or another owner than the keyring's.
func (k *Keyring) fits(key *keyringKey) error {
	switch {
	case key.signer == nil && key.identity == nil:
		return errors.New("no key")
	case key.identity != nil && k.consumer == "":
		return fmt.Errorf("key %s is for opening, the keyring of producer %q for signing: give the consumer a keyring of its own", key.id(), k.producer)
	case key.signer != nil && k.producer == "":
		return fmt.Errorf("key %s is for signing, the keyring of consumer %q for opening: give the producer a keyring of its own", key.id(), k.consumer)
	case key.signer != nil && key.signer.producer != k.producer:
		return fmt.Errorf("key %s is of producer %q, the keyring of %q", key.id(), key.signer.producer,
			k.producer)
	}
	return nil
}

// sealed is the encrypted content of the file with these keys under p.
func (k *Keyring) sealed(p *privatefile.Protection, keys []*keyringKey) ([]byte, error) {
	plain, err := k.plain(keys)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	if len(plain) > privatefile.MaxPlain {
		return nil, errors.New("keys: the keyring is too large")
	}
	content, err := p.Seal(plain)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return content, nil
}

// plain is the keyring in canonical JSON: {"keys":[{...schedule,
// "jwk"}],"producer","sources","types","version"}, or {"consumer","keys","version"}. The caller clears it.
func (k *Keyring) plain(keys []*keyringKey) ([]byte, error) {
	// A slice that grows would leave copies of secrets behind.
	list := append(make([]byte, 0, privatefile.MaxPlain), '[')
	defer func() { clear(list) }()
	for i, key := range keys {
		if i > 0 {
			list = append(list, ',')
		}
		var err error
		if list, err = key.append(list); err != nil {
			return nil, err
		}
	}
	list = append(list, ']')
	var o keydoc.Object
	o.Raw("keys", list)
	if k.consumer != "" {
		o.String("consumer", k.consumer)
	}
	if k.producer != "" {
		o.String("producer", k.producer)
	}
	if k.sources != nil {
		o.Strings("sources", k.sources)
	}
	if k.types != nil {
		o.Strings("types", k.types)
	}
	o.Int("version", keyringVersion)
	return o.Append(make([]byte, 0, privatefile.MaxPlain)), nil
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
	k.redacted = k.print
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
			k.sources = keydoc.ReadStrings(&r, keydoc.MaxPatterns)
		case "types":
			k.types = keydoc.ReadStrings(&r, keydoc.MaxPatterns)
		case "keys":
			raws = keydoc.ReadRaws(&r, maxKeyringKeys)
		default:
			r.Failf("unknown member %q", keydoc.Clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if version != keyringVersion {
		return nil, fmt.Errorf("version %d is not supported: this program reads version %d", version,
			keyringVersion)
	}
	return k, k.adopt(raws, plain)
}

// adopt reads the keys when their owner is known, and checks the whole keyring.
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
		err = keydoc.ErrNotCanonical
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
			r.Failf("unknown member %q", keydoc.Clip(name))
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

// print names the owner and the key IDs.
func (k *Keyring) print() string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	ids := []string{}
	for _, key := range k.keys {
		ids = append(ids, key.id())
	}
	return "Keyring(" + k.producer + k.consumer + ": " + strings.Join(ids, " ") + ", " + redact.Text + ")"
}
