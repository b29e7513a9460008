package keys

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sealbus/sealbus/internal/privatefile"
)

// Change is a change of a keyring, of which all is done or nothing. The zero value changes nothing.
type Change struct {
	Add      privateKey // a new key, which the keyring does not have; nil = none
	Schedule Schedule   // of the new key

	Reschedule map[string]Schedule // the new schedule of keys, by key ID
	Remove     []string            // the IDs of keys whose private half is removed for good
}

var errNoFile = errors.New("keys: this keyring was not read from a file: " +
	"change its file, and store that again, or store the content that With gives")

// Apply makes the change in the keyring and in its file. It refuses a file that another program has changed
// since. A process that is killed leaves the file as it was, or with the whole change.
func (k *Keyring) Apply(c *Change) error {
	return k.store(nil, func() ([]*keyringKey, error) { return k.changed(c) })
}

// Rewrap encrypts the file under another passphrase, or not at all, as opts say. The new content is opened
// again before it replaces the file.
func (k *Keyring) Rewrap(passphrase string, opts *PrivateFileOptions) error {
	if opts == nil {
		opts = &PrivateFileOptions{}
	}
	p, err := privatefile.NewProtection(passphrase, opts.ScryptWorkFactor, opts.InsecureNoPassphrase)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return k.store(p, func() ([]*keyringKey, error) { return k.keys, nil })
}

// With is the content of the keyring's file with the change. The keyring itself stays as it is. It is for a
// keyring that is kept elsewhere, such as in AWS Secrets Manager: store the content only if what is there is
// still what the keyring was read from.
func (k *Keyring) With(c *Change) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	next, err := k.changed(c)
	if err != nil {
		return nil, err
	}
	return k.sealed(k.protection, next)
}

// store replaces the file by one with these keys, and then has them. A nil p is the present protection, which
// another goroutine may change until the lock is held.
func (k *Keyring) store(p *privatefile.Protection, next func() ([]*keyringKey, error)) error {
	if k.path == "" {
		return errNoFile
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p = cmp.Or(p, k.protection)
	list, err := next()
	if err != nil {
		return err
	}
	content, err := k.sealed(p, list)
	if err != nil {
		return err
	}
	if p != k.protection {
		if err := opensAs(content, p, list); err != nil {
			return err
		}
	}
	if err := privatefile.Replace(k.path, k.digest, content); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	k.keys, k.protection, k.digest = list, p, sha256.Sum256(content)
	return nil
}

// opensAs opens new content before it replaces the only copy of private keys.
func opensAs(content []byte, p *privatefile.Protection, list []*keyringKey) error {
	plain, err := p.Open("the new file", content)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	again, err := readKeyring("the new file", plain)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(again.keys, list, func(a, b *keyringKey) bool { return a.id() == b.id() }) {
		return errors.New("keys: the new file has other keys: the old one was kept")
	}
	return nil
}

// changed are the keys after the change. The caller holds the lock.
func (k *Keyring) changed(c *Change) ([]*keyringKey, error) {
	missing := maps.Clone(c.Reschedule)
	var next []*keyringKey
	for _, key := range k.keys {
		if slices.Contains(c.Remove, key.id()) {
			continue
		}
		if s, ok := c.Reschedule[key.id()]; ok {
			key = &keyringKey{signer: key.signer, identity: key.identity, schedule: s.WholeSeconds()}
			delete(missing, key.id())
		}
		next = append(next, key)
	}
	for id := range missing {
		return nil, fmt.Errorf("keys: keyring: no key %.64q to reschedule", id)
	}
	if len(next)+len(c.Remove) != len(k.keys) {
		return nil, errors.New("keys: keyring: a key to remove is not there")
	}
	if c.Add != nil {
		next = append(next, keyringKeyOf(c.Add, c.Schedule))
	}
	if err := k.checkKeys(next); err != nil {
		return nil, fmt.Errorf("keys: keyring: %w", err)
	}
	return next, nil
}
