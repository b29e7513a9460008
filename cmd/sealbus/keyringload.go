package main

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/keys"
	"github.com/spf13/cobra"
)

// keyringFlags name a keyring and how it is protected.
type keyringFlags struct {
	path string
	privateFlags
}

func (f *keyringFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "keyring", "", "the private keys of the producer, or of the consumer, a `FILE`")
	f.privateFlags.register(cmd)
}

// openKeyring opens the keyring that the flags name.
func (a *app) openKeyring(f *keyringFlags) (*keys.Keyring, error) {
	if err := need(required{"keyring", f.path}); err != nil {
		return nil, err
	}
	if err := checkPrivateFile(f.path, "check the path; if there never was one, `sealbus keys new` makes it"); err != nil {
		return nil, err
	}
	if err := a.checkProtected(f.path, &f.privateFlags); err != nil {
		return nil, err
	}
	a.warnShared(f.path)
	pass, err := a.passphrase(&f.privateFlags, f.path, false)
	if err != nil {
		return nil, err
	}
	ring, err := openWith(pass, func(pass string) (*keys.Keyring, error) { return openRing(f.path, pass) })
	if err != nil {
		return nil, privateFailed(f.path, err)
	}
	return ring, nil
}

func openRing(path, pass string) (*keys.Keyring, error) {
	if pass == "" {
		return keys.OpenInsecureKeyring(path)
	}
	return keys.OpenKeyring(path, pass)
}

// privateFailed is the error of a keyring or root key file that could not be opened or written.
func privateFailed(path string, err error) error {
	switch {
	case errors.Is(err, keys.ErrPassphrase):
		return &exitError{code: exitUsage, reason: "wrong_passphrase", needed: true, err: inFile(path, keys.ErrPassphrase), fix: "give the passphrase that it was made with"}
	case errors.Is(err, fs.ErrExist):
		return fileExists(path)
	case isPathError(err):
		return openFailed(path, err)
	case errors.Is(err, filekind.ErrDamaged):
		return wrongFile("do that, or take the file from a backup: the keys in it are not lost", "%w", err)
	case errors.Is(err, keys.ErrNotEncrypted):
		return wrongFile("add --insecure-no-passphrase, if it is meant to be kept without one", "%w", err)
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) {
		return unavailable("check the disk and try again", "%w", err)
	}
	return wrongFile("check that this is the file you mean", "%w", err)
}

// signers are the keys of the ring to sign with: the one of that ID (or unique beginning of it), "" = the
// one that its schedule names. A key that does not sign now is refused.
func (a *app) signers(ring *keys.Keyring, keyID string) (keys.SignerSource, error) {
	if keyID == "" {
		if _, err := ring.Signers(a.now()); err != nil {
			return nil, wrongFile(fixNoSigner(ring, a.now()), "%w", err)
		}
		return ring, nil
	}
	key, err := findKey(ring, keyID)
	if err != nil {
		return nil, err
	}
	if !key.Schedule.SignsAt(a.now()) {
		return nil, usage("use the key that `sealbus keys list` shows as active", "key %s is %s: it does not sign now", key.KeyID(), key.Schedule.StateAt(a.now()))
	}
	signer, ok := ring.Find(key.KeyID())
	if !ok {
		return nil, wrongFile(fixNoSigner(ring, a.now()), "key %s is for opening, not for signing", key.KeyID())
	}
	return keys.SignWith(signer), nil
}

// fixNoSigner is what to do when no key of the ring signs now. A new key is needed only if no other will.
func fixNoSigner(ring *keys.Keyring, now time.Time) string {
	if ring.Consumer() != "" {
		return "give the keyring of the producer"
	}
	for _, k := range ring.PublicKeys() {
		if now.Before(k.Schedule.Active) {
			return "wait until then, and check the clock of this machine"
		}
	}
	return "make a key with `sealbus keys new` and have it added to the trust"
}

// algOf is the algorithm of a signing key, or the curve of one for encryption.
func algOf(k *keys.PublicKey) string {
	if k.Recipient != nil {
		return string(k.Recipient.Curve())
	}
	return string(k.Verifier.Algorithm())
}

// ownerOf says whose keyring it is.
func ownerOf(ring *keys.Keyring) string {
	if ring.Consumer() != "" {
		return "consumer " + ring.Consumer()
	}
	return "producer " + ring.Producer()
}

// findKey finds a key of the ring by its ID or a unique beginning of it.
func findKey(ring *keys.Keyring, keyID string) (keys.PublicKey, error) {
	all := ring.PublicKeys()
	ids := make([]string, len(all))
	for i, k := range all {
		ids[i] = k.KeyID()
	}
	id, err := matchID(ids, keyID, "the keyring")
	for _, k := range all {
		if err == nil && k.KeyID() == id {
			return k, nil
		}
	}
	return keys.PublicKey{}, err
}

// minPrefix is how much of a key ID must be given, in characters.
const minPrefix = 8

// matchID finds the ID that is, or alone begins with, given.
func matchID(ids []string, given, where string) (string, error) {
	found := ""
	for _, id := range ids {
		switch {
		case id == given:
			return id, nil
		case len(given) < minPrefix || !strings.HasPrefix(id, given):
		case found != "":
			return "", usage("give more of its ID", "several keys of %s begin with %s", where, given)
		default:
			found = id
		}
	}
	if found == "" {
		return "", usage("give its ID, or at least the first 8 characters of it", "%s has no key %q", where, given)
	}
	return found, nil
}

// shortID is the beginning of a key ID that the commands accept, for tables.
func shortID(id string) string {
	const shown = 12
	if len(id) <= shown {
		return id
	}
	return id[:shown] + "…"
}
