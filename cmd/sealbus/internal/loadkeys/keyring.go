// Package loadkeys opens the keys that flags name, to sign, encrypt and decrypt: keyrings, JWKs, Tink
// keysets, keys in KMS, and consumers in the trust bundle.
package loadkeys

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/privatefile"
	"github.com/sealbus/sealbus/keys"
)

func AlgorithmNames() (names []string) {
	for _, alg := range keys.Algorithms() {
		names = append(names, string(alg))
	}
	for _, curve := range keys.Curves() {
		names = append(names, string(curve))
	}
	return names
}

// KeyringFlags name a keyring and how it is protected.
type KeyringFlags struct {
	Path string
	PrivateFlags
}

func (f *KeyringFlags) Register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.Path, "keyring", "",
		"the private keys of the producer, or of the consumer, a `FILE`")
	f.PrivateFlags.Register(cmd)
}

// OpenKeyring opens the keyring that the flags name.
func OpenKeyring(env *ui.Env, f *KeyringFlags) (*keys.Keyring, error) {
	if err := ui.Need(ui.Flag("keyring", f.Path)); err != nil {
		return nil, err
	}
	if err := CheckIsFile(f.Path); err != nil {
		return nil, err
	}
	if err := CheckPrivateFile(f.Path,
		"check the path; if there never was one, `sealbus keys new` makes it"); err != nil {
		return nil, err
	}
	if err := CheckProtected(env, f.Path, &f.PrivateFlags); err != nil {
		return nil, err
	}
	env.WarnShared(f.Path)
	pass, err := Passphrase(env, &f.PrivateFlags, f.Path, false)
	if err != nil {
		return nil, err
	}
	ring, err := OpenWith(pass, func(pass string) (*keys.Keyring, error) {
		return keys.OpenKeyring(f.Path, pass, &keys.PrivateFileOptions{InsecureNoPassphrase: pass == ""})
	})
	if err != nil {
		return nil, PrivateFailed(f.Path, err)
	}
	return ring, nil
}

// secretARN is how the ARN of a secret begins, without the partition.
const secretARN = ":secretsmanager:"

// CheckIsFile refuses the name of a keyring that is kept in AWS, and says how to change it there.
func CheckIsFile(path string) error {
	switch isARN := strings.HasPrefix(path, "arn:"); {
	case isARN && strings.Contains(path, secretARN):
		return ui.Usage("download it (aws secretsmanager get-secret-value --secret-id NAME --query SecretBinary --output text | base64 -d > FILE), "+
			"run the command with --keyring FILE, and store that (aws secretsmanager put-secret-value --secret-id NAME --secret-binary fileb://FILE), "+
			"while nothing else changes the secret", "--keyring: %s is a secret, and no file", path)
	case isARN || strings.Contains(path, "://"):
		return ui.Usage("download it, run the command with the file, and upload that while nothing else changes it; "+
			"`sealbus keys rewrap` takes s3://BUCKET/KEY", "--keyring: %s is no file", path)
	}
	return nil
}

// PrivateFailed is the error of a keyring or root key file that could not be opened or written.
func PrivateFailed(path string, err error) error {
	switch {
	case errors.Is(err, keys.ErrPassphrase):
		return &ui.Error{Code: ui.ExitUsage, Reason: "wrong_passphrase", Needed: true,
			Err: ui.InFile(path, keys.ErrPassphrase), Fix: "give the passphrase that it was made with"}
	case errors.Is(err, fs.ErrExist):
		return ui.FileExists(path)
	case ui.IsPathError(err):
		return ui.OpenFailed(path, err)
	case errors.Is(err, privatefile.ErrLocked) || errors.Is(err, privatefile.ErrChanged):
		return ui.Unavailable("run the command again", "%w", err)
	case errors.Is(err, filekind.ErrDamaged):
		return ui.WrongFile("do that, or take the file from a backup: the keys in it are not lost", "%w", err)
	case errors.Is(err, keys.ErrNotEncrypted):
		return ui.WrongFile("add --insecure-no-passphrase, if it is meant to be kept without one", "%w", err)
	}
	if isDisk(err) {
		return ui.Unavailable("check the disk and try again", "%w", err)
	}
	return ui.WrongFile("check that this is the file you mean", "%w", err)
}

func isDisk(err error) bool { return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC) }

// signers are the keys of the ring to sign with: the one of that ID (or unique beginning of it), "" = the
// one that its schedule names. A key that does not sign now is refused.
func signers(env *ui.Env, ring *keys.Keyring, keyID string) (keys.SignerSource, error) {
	if keyID == "" {
		if _, err := ring.Signers(env.Now()); err != nil {
			return nil, ui.WrongFile(fixNoSigner(ring, env.Now()), "%w", err)
		}
		return ring, nil
	}
	key, err := FindKey(ring, keyID)
	if err != nil {
		return nil, err
	}
	if !key.Schedule.SignsAt(env.Now()) {
		return nil, ui.Usage("use the key that `sealbus keys list` shows as active",
			"key %s is %s: it does not sign now", key.KeyID(), key.Schedule.StateAt(env.Now()))
	}
	signer, ok := ring.Find(key.KeyID())
	if !ok {
		return nil, ui.WrongFile(fixNoSigner(ring, env.Now()), "key %s is for opening, not for signing",
			key.KeyID())
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

// AlgOf is the algorithm of a signing key, or the curve of one for encryption.
func AlgOf(k *keys.PublicKey) string {
	if k.Recipient != nil {
		return string(k.Recipient.Curve())
	}
	return string(k.Verifier.Algorithm())
}

// OwnerOf says whose keyring it is.
func OwnerOf(ring *keys.Keyring) string {
	if ring.Consumer() != "" {
		return "consumer " + ring.Consumer()
	}
	return "producer " + ring.Producer()
}

// FindKey finds a key of the ring by its ID or a unique beginning of it.
func FindKey(ring *keys.Keyring, keyID string) (keys.PublicKey, error) {
	return FindPublic(ring.PublicKeys(), keyID, "the keyring")
}

// FindPublic is FindKey among keys that are kept elsewhere.
func FindPublic(all []keys.PublicKey, keyID, where string) (keys.PublicKey, error) {
	ids := make([]string, len(all))
	for i, k := range all {
		ids[i] = k.KeyID()
	}
	id, err := MatchID(ids, keyID, where)
	for _, k := range all {
		if err == nil && k.KeyID() == id {
			return k, nil
		}
	}
	return keys.PublicKey{}, err
}

// MinPrefix is how much of a key ID must be given, in characters.
const MinPrefix = 8

// MatchID finds the ID that is, or alone begins with, given.
func MatchID(ids []string, given, where string) (string, error) {
	found := ""
	for _, id := range ids {
		switch {
		case id == given:
			return id, nil
		case len(given) < MinPrefix || !strings.HasPrefix(id, given):
		case found != "":
			return "", ui.Usage("give more of its ID", "several keys of %s begin with %s", where, given)
		default:
			found = id
		}
	}
	if found == "" {
		return "", ui.Usage("give its ID, or at least the first 8 characters of it", "%s has no key %q",
			where, given)
	}
	return found, nil
}

func CheckAlgorithm(alg string) error {
	if !slices.Contains(keys.Algorithms(), keys.Algorithm(alg)) {
		return ui.Usage("use --alg Ed25519, ES256 or ML-DSA-65", "no algorithm %q", alg)
	}
	return nil
}
