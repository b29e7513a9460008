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
// # Threats
//
// An attacker who reads the file learns which keys there are and when they are used, and no more. An attacker
// who may decrypt under the key encryption key, or who reads the process' memory, has the private keys. The
// keyset is bound to its owner as associated data: a keyset that was put in place of another does not open.
//
// # Stability
//
// The constructors and methods stay; the file is Tink's encrypted keyset in JSON.
package tinkkeys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/sealbus/sealbus/internal/nilcheck"
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

func (o Owner) check() error { return keys.CheckProducer(o.producer + o.consumer) }

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

	mu      sync.RWMutex
	content []byte // as it was read or written last
	handle  func() *keyset.Handle
	entries []Entry
}

var (
	_ keys.SignerSource   = (*Keyset)(nil)
	_ keys.IdentitySource = (*Keyset)(nil)
)

// Entry is one key of a keyset, without its secret. A destroyed key has no public key, and its KeyID is "".
type Entry struct {
	keys.PublicKey // with its owner and without a schedule
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
		if _, err := os.Lstat(path); err == nil {
			return nil, fmt.Errorf("tinkkeys: %s: %w: give another name, or add a key to it", path,
				os.ErrExist)
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

// Open reads the encrypted keyset of that owner from a file. Changes are written back to the file.
func Open(ctx context.Context, path string, kek tink.AEADWithContext, owner Owner) (*Keyset, error) {
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
	return k, nil
}

// Read reads the encrypted keyset of that owner, in Tink's JSON. If the call of the key encryption key failed
// and may succeed later, the error is that of the call. Otherwise the keyset belongs to another owner, was
// changed, or is encrypted under another key.
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
	k.handle, k.entries, k.content = func() *keyset.Handle { return handle }, entries, content
	return nil
}

// Entries are the keys, in the order of the keyset.
func (k *Keyset) Entries() []Entry {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.entries)
}

// Signers is the primary key.
func (k *Keyset) Signers(time.Time) ([]keys.Signer, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := range k.entries {
		if e := &k.entries[i]; e.Primary && e.Status == keyset.Enabled && e.signer != nil {
			return []keys.Signer{e.signer}, nil
		}
	}
	return nil, fmt.Errorf("tinkkeys: the keyset of %s has no primary signing key: %w", k, keys.ErrNoSigner)
}

// Candidates are the primary key, and the other enabled signing keys, of which the last is the first. A
// producer that asks the trust bundle which key to sign with (producer.Options.Trust) chooses from them.
func (k *Keyset) Candidates(time.Time) (due, others []keys.Signer) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i := len(k.entries) - 1; i >= 0; i-- {
		switch e := &k.entries[i]; {
		case e.Status != keyset.Enabled || e.signer == nil:
		case e.Primary:
			due = append(due, e.signer)
		default:
			others = append(others, e.signer)
		}
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
	if k.path != "" {
		if err := k.replace(buf.Bytes()); err != nil {
			return err
		}
	}
	return k.take(handle, buf.Bytes())
}

// replace puts content in place of the file, unless another program has changed the file meanwhile.
func (k *Keyset) replace(content []byte) error {
	k.mu.RLock()
	before := k.content
	k.mu.RUnlock()
	now, err := os.ReadFile(k.path)
	switch {
	case before == nil && err == nil || before != nil && !bytes.Equal(now, before):
		return fmt.Errorf("tinkkeys: %s was changed by another program: open it again", k.path)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("tinkkeys: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(k.path), ".keyset-*") // mode 0600
	if err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), k.path)
	}
	if err != nil {
		return fmt.Errorf("tinkkeys: %w", err)
	}
	return nil
}

// Write writes the encrypted keyset as it is in the file.
func (k *Keyset) Write(w io.Writer) error {
	k.mu.RLock()
	defer k.mu.RUnlock()
	_, err := w.Write(k.content)
	return err
}
