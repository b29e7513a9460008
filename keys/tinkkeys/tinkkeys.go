// Package tinkkeys keeps private keys as Tink keysets (github.com/tink-crypto/tink-go/v2). They are encrypted
// under a key of AWS KMS (sub-package tinkawskms) or under another key. It is for organisations that manage
// keys with Tink already. It is also for programs that want the private keys in memory, so that signing costs
// no call, and on disk only under a key of KMS.
//
//	kek, err := tinkawskms.KEK(ctx, client, "arn:aws:kms:...")
//	ring, err := tinkkeys.Open(ctx, "orders.tink.json", kek, tinkkeys.Producer("orders"))
//	p, err := producer.New(ring, bus, nil)                    // a keys.SignerSource
//	d, err := envelope.NewDecrypter(envelope.DecryptWith{Identities: ring}) // a keyset of a Consumer
//
// # Tink's terms
//
// Only the primary key of a producer's keyset signs. To rotate, add a key, publish it in the trust bundle,
// and then make it primary. Every enabled key of a consumer's keyset opens. Keys that are disabled or
// destroyed in Tink do neither. A signing key is of type Ed25519, ECDSA (P-256, SHA-256) or ML-DSA-65. An
// identity is the private key of an HPKE key (KEM X25519 or P-256). This package agrees on keys with it as
// JWE does, and not by HPKE, so use the key for nothing else. The output prefix of a key belongs to Tink's
// own signatures and ciphertexts. This package makes neither, so the prefix has no effect.
//
// # The schedule
//
// Tink keeps no dates. Reschedule writes them into a file beside the keyset, FILE.schedule, which Open reads:
// the public halves as keys.FormatJWKSet writes them. It has no secret. The caller keeps both files together.
// A signing key that has a schedule signs only from active to retired, whatever Tink says of it. So an old
// key ends in time, also if the new one is not primary yet, and also if the producer has an old trust bundle.
// A program knows the schedule that there was when it opened the keyset.
//
// # Threats
//
// An attacker who reads the file learns which keys there are and when they are used, and no more. An attacker
// who may decrypt under the key encryption key, or who reads the process' memory, has the private keys. The
// keyset is bound to its owner as associated data: a keyset that was put in place of another does not open.
// The schedule is not encrypted and not signed. An attacker who can write it can stop the producer, or have a
// key sign whose events are refused, because consumers follow the trust bundle alone.
//
// # Stability
//
// The constructors and methods stay; the file is Tink's encrypted keyset in JSON, and its schedule a JWK Set.
package tinkkeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/internal/nilcheck"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/internal/redact"
	"github.com/sealbus/sealbus/keys"
)

// maxFile bounds an encrypted keyset, in bytes. It is enough for some hundred keys.
const maxFile = 256 << 10

// Owner is the producer or the consumer whose keys a keyset holds.
type Owner struct {
	producer, consumer string
}

// Producer is the owner of signing keys, by its name in the trust policy.
func Producer(name string) Owner { return Owner{producer: name} }

// Consumer is the owner of identities, by its name in the trust policy.
func Consumer(name string) Owner { return Owner{consumer: name} }

func (o Owner) check() error {
	if o == (Owner{}) {
		return errors.New("tinkkeys: no owner: give Producer(NAME) or Consumer(NAME)")
	}
	return keys.CheckProducer(o.producer + o.consumer)
}

// print names the owner of a keyset, without a key.
func (o Owner) print() string {
	return "Keyset(" + string(o.associatedData()[len("sealbus "):]) + ", " + redact.Text + ")"
}

// associatedData binds the encrypted keyset to its owner.
func (o Owner) associatedData() []byte {
	if o.consumer != "" {
		return []byte("sealbus consumer " + o.consumer)
	}
	return []byte("sealbus producer " + o.producer)
}

// redacted is embedded in types that hold a secret. They print, log and marshal as its text.
type redacted = redact.Printed

// Keyset is a Tink keyset of one owner. It is safe for concurrent use, and prints as redacted.
type Keyset struct {
	redacted
	owner Owner
	kek   tink.AEADWithContext
	path  string // "" = it was not read from a file

	changing sync.Mutex         // held from reading what is changed until that is written
	files    []privatefile.Seen // the keyset and its schedule, as they were read or written last

	mu        sync.RWMutex
	content   []byte // as it was read or written last
	handle    func() *keyset.Handle
	entries   []Entry
	schedules map[string]keys.Schedule // by key ID
}

var (
	_ keys.SignerSource   = (*Keyset)(nil)
	_ keys.IdentitySource = (*Keyset)(nil)
)

// Entry is one key of a keyset, without its secret. A destroyed key has no public key, and its KeyID is "".
type Entry struct {
	keys.PublicKey // with its owner, and with its schedule if it has one
	Status         keyset.KeyStatus
	Primary        bool

	id       uint32 // that Tink has for it
	signer   *keys.LocalSigner
	identity *keys.LocalIdentity
}

// Create makes an encrypted keyset with one new key, and its file, which must not exist. A producer gets a
// signing key of that algorithm, a consumer an identity on that curve.
func Create[Kind keys.Algorithm | keys.Curve](ctx context.Context, path string, kek tink.AEADWithContext,
	owner Owner, kind Kind) (*Keyset, error) {
	k := &Keyset{redacted: owner.print, owner: owner, kek: kek, path: path}
	if err := k.check(); err != nil {
		return nil, err
	}
	if path != "" {
		k.files = []privatefile.Seen{{Path: path}, {Path: path + scheduleSuffix}}
		for _, f := range k.files {
			if _, err := os.Lstat(f.Path); err == nil {
				return nil, fmt.Errorf("tinkkeys: %s: %w: give another name, or add a key to it", f.Path,
					os.ErrExist)
			}
		}
	}
	typed, err := generate(kind)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManager()
	id, err := m.AddKey(typed)
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("tinkkeys: %w", err)
	}
	return k, k.commit(ctx, m)
}

func (k *Keyset) check() error {
	if k.kek == nil {
		return errors.New("tinkkeys: no key encryption key: a keyset is never written in clear")
	}
	if err := nilcheck.Typed("tinkkeys: the key encryption key", k.kek); err != nil {
		return err
	}
	return k.owner.check()
}

// Open reads the encrypted keyset of that owner from a file, and its schedule, if there is one. Changes are
// written back to the files.
func Open(ctx context.Context, path string, kek tink.AEADWithContext, owner Owner) (*Keyset, error) {
	if path == "" {
		return nil, errors.New("tinkkeys: no path: name the file of the keyset")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tinkkeys: %w", err)
	}
	defer f.Close()
	k, err := Read(ctx, f, kek, owner)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	k.path = path
	if err := k.readSchedule(); err != nil {
		return nil, err
	}
	return k, nil
}

// Read reads the encrypted keyset of that owner, in Tink's JSON, without a schedule. If the call of the key
// encryption key failed and may succeed later, the error is that of the call. Otherwise the keyset belongs to
// another owner, was changed, or is encrypted under another key.
func Read(ctx context.Context, r io.Reader, kek tink.AEADWithContext, owner Owner) (*Keyset, error) {
	k := &Keyset{redacted: owner.print, owner: owner, kek: kek}
	if err := k.check(); err != nil {
		return nil, err
	}
	if err := nilcheck.Check("tinkkeys: the reader", r); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("tinkkeys: %w", err)
	case len(content) > maxFile:
		return nil, fmt.Errorf("tinkkeys: more than %d bytes: not a keyset of ours", maxFile)
	}
	observed := &witness{AEADWithContext: kek}
	handle, err := keyset.ReadWithContext(ctx, keyset.NewJSONReader(bytes.NewReader(content)), observed,
		owner.associatedData())
	if err != nil {
		return nil, observed.explain(err)
	}
	return k, k.take(handle, content)
}

// witness keeps the error of the key encryption key, because Tink turns it into text.
type witness struct {
	tink.AEADWithContext
	err error
}

// DecryptWithContext decrypts and keeps the error.
func (w *witness) DecryptWithContext(ctx context.Context, ciphertext,
	associatedData []byte) (plain []byte, err error) {
	plain, w.err = w.AEADWithContext.DecryptWithContext(ctx, ciphertext, associatedData)
	return plain, w.err
}

// explain says why a keyset did not open.
func (w *witness) explain(err error) error {
	if e, ok := errors.AsType[*keys.ServiceError](w.err); ok && !e.Permanent {
		return fmt.Errorf("tinkkeys: the key encryption key: %w", e)
	}
	if w.err != nil {
		return fmt.Errorf("tinkkeys: the keyset does not open: it is of another owner, under another key encryption key, or was changed: %w", w.err)
	}
	return fmt.Errorf("tinkkeys: not an encrypted keyset of Tink in JSON: %w", err)
}

// take makes handle the keyset of k. Each of its keys must fit the owner.
func (k *Keyset) take(handle *keyset.Handle, content []byte) error {
	var entries []Entry
	for i := range handle.Len() {
		e, err := handle.Entry(i)
		if err != nil {
			return fmt.Errorf("tinkkeys: %w", err)
		}
		entry, err := k.read(e)
		if err != nil {
			return fmt.Errorf("tinkkeys: key %d of the keyset: %w", e.KeyID(), err)
		}
		entries = append(entries, entry)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range entries {
		entries[i].Schedule = k.schedules[entries[i].KeyID()]
	}
	k.handle, k.entries, k.content = func() *keyset.Handle { return handle }, entries, content
	return nil
}

// Entries are the keys, in the order of the keyset.
func (k *Keyset) Entries() []Entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.entries)
}

// Signers is the primary key. While its schedule keeps it from signing, it is the key with a schedule that
// became active last.
func (k *Keyset) Signers(now time.Time) ([]keys.Signer, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if e := k.signer(now); e != nil {
		return []keys.Signer{e.signer}, nil
	}
	return nil, fmt.Errorf("tinkkeys: the keyset of %s has no primary signing key that signs now: %w", k,
		keys.ErrNoSigner)
}

// signer is the key that signs at now; nil = none does. The caller holds the lock.
func (k *Keyset) signer(now time.Time) (best *Entry) {
	for i := range k.entries {
		switch e := &k.entries[i]; {
		case !e.signsAt(now):
		case e.Primary:
			return e
		case e.Schedule == keys.Schedule{}:
		case best == nil || !e.Schedule.Active.Before(best.Schedule.Active):
			best = e
		}
	}
	return best
}

func (e *Entry) signsAt(now time.Time) bool {
	return e.Status == keyset.Enabled && e.signer != nil && e.Schedule.SignsAt(now)
}

// Candidates are the key of Signers, and the other enabled signing keys whose schedule lets them sign at now,
// of which the last is the first. A producer that asks the trust bundle which key to sign with
// (producer.Options.Trust) chooses from them. A key before the primary one is among them only if its schedule
// says when it ends: the producer's bundle may be too old to know that.
func (k *Keyset) Candidates(now time.Time) (due, others []keys.Signer) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	signer := k.signer(now)
	if signer != nil {
		due = append(due, signer.signer)
	}
	isOlder := false // than the primary key
	for i := len(k.entries) - 1; i >= 0; i-- {
		e := &k.entries[i]
		hasEnd := !e.Schedule.Retired.IsZero() || !e.Schedule.Expired.IsZero()
		if e != signer && e.signsAt(now) && (hasEnd || !isOlder) {
			others = append(others, e.signer)
		}
		isOlder = isOlder || e.Primary
	}
	return due, others
}

// Identities are all enabled identities, the primary one first.
func (k *Keyset) Identities(time.Time) []keys.Identity {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var list []keys.Identity
	for i := range k.entries {
		switch e := &k.entries[i]; {
		case e.Status != keyset.Enabled || e.identity == nil:
		case e.Primary:
			list = slices.Insert(list, 0, keys.Identity(e.identity))
		default:
			list = append(list, e.identity)
		}
	}
	return list
}

// Export is the signing key of that ID (a thumbprint), for a keys.Keyring.
func (k *Keyset) Export(keyID string) (*keys.LocalSigner, error) {
	e, err := k.enabled(keyID)
	switch {
	case err != nil:
		return nil, err
	case e.signer == nil:
		return nil, fmt.Errorf("tinkkeys: %.64q is no signing key", keyID)
	}
	return e.signer, nil
}

func (k *Keyset) enabled(keyID string) (*Entry, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := range k.entries {
		if e := &k.entries[i]; e.KeyID() == keyID && keyID != "" {
			if e.Status != keyset.Enabled {
				return nil, fmt.Errorf("tinkkeys: key %s is %s: enable it first", keyID, e.Status)
			}
			return e, nil
		}
	}
	return nil, fmt.Errorf("tinkkeys: no key %.64q in the keyset", keyID)
}

// commit encrypts the keyset that m has, writes it if there is a file, and adopts it.
func (k *Keyset) commit(ctx context.Context, m *keyset.Manager) error {
	handle, err := m.Handle()
	if err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	var buf bytes.Buffer
	if err := handle.WriteWithContext(ctx, keyset.NewJSONWriter(&buf), k.kek,
		k.owner.associatedData()); err != nil {
		return fmt.Errorf("tinkkeys: encrypting the keyset: %w", err)
	}
	if buf.Len() > maxFile {
		return fmt.Errorf("tinkkeys: a keyset of more than %d bytes would not open: remove old keys first", maxFile)
	}
	if k.path != "" {
		if err := k.replace(keysetFile, buf.Bytes()); err != nil {
			return err
		}
	}
	return k.take(handle, buf.Bytes())
}

// Write writes the encrypted keyset as it is in the file.
func (k *Keyset) Write(w io.Writer) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, err := w.Write(k.content)
	return err
}
