package keys

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"

	"filippo.io/age"

	"github.com/sealbus/sealbus/internal/filekind"
)

// MaxPrivateFile bounds a keyring or root key file, in bytes.
const MaxPrivateFile = 1 << 20

// maxPlain bounds what is encrypted into one, in bytes: encryption adds less than as much again.
const maxPlain = MaxPrivateFile / 2

// privateMode lets nobody but the owner read or write.
const privateMode = 0o600

// DefaultWorkFactor is the base-2 logarithm of scrypt's N: about a second on a laptop.
const DefaultWorkFactor = 18

// PrivateFileOptions says how a file with private keys is protected. Its zero value demands a passphrase.
type PrivateFileOptions struct {
	// ScryptWorkFactor is the base-2 logarithm of the cost of trying one passphrase; 0 = DefaultWorkFactor.
	// Lower values are for tests.
	ScryptWorkFactor int
	// InsecureNoPassphrase leaves the file unencrypted, protected by its mode only.
	InsecureNoPassphrase bool
}

// protection is what a private file is encrypted with.
type protection struct {
	passphrase hidden[string] // "" = not encrypted
	workFactor int
}

func newProtection(passphrase string, opts PrivateFileOptions) (*protection, error) {
	switch {
	case passphrase == "" && !opts.InsecureNoPassphrase:
		return nil, errors.New("keys: a file with private keys needs a passphrase")
	case passphrase != "" && opts.InsecureNoPassphrase:
		return nil, errors.New("keys: a passphrase, and InsecureNoPassphrase: choose one")
	case opts.ScryptWorkFactor < 0 || opts.ScryptWorkFactor > 22:
		return nil, errors.New("keys: the scrypt work factor is not within 1 to 22")
	case opts.ScryptWorkFactor == 0:
		opts.ScryptWorkFactor = DefaultWorkFactor
	}
	return &protection{passphrase: hide(passphrase), workFactor: opts.ScryptWorkFactor}, nil
}

// seal encrypts with age (https://age-encryption.org/v1) under the passphrase, and clears plain.
func (p *protection) seal(plain []byte) ([]byte, error) {
	defer clear(plain)
	if p.passphrase() == "" {
		return bytes.Clone(plain), nil
	}
	recipient, err := age.NewScryptRecipient(p.passphrase())
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	recipient.SetWorkFactor(p.workFactor)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, fmt.Errorf("keys: encrypting: %w", err)
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("keys: encrypting: %w", err)
	}
	return out.Bytes(), nil
}

// readPrivate reads and decrypts a private file. A file that is encrypted although no passphrase was
// expected, or the other way round, is refused: somebody is mistaken about it.
func readPrivate(path, passphrase string) (plain, raw []byte, p *protection, err error) {
	raw, _, err = readBounded(path, MaxPrivateFile)
	if err != nil {
		return nil, nil, nil, err
	}
	plain, p, err = unprotect(path, raw, passphrase)
	return plain, raw, p, err
}

// unprotect decrypts the content of the private file of that name.
func unprotect(path string, raw []byte, passphrase string) (plain []byte, p *protection, err error) {
	if damage := filekind.DamagePrivate(raw); damage != nil {
		return nil, nil, fmt.Errorf("keys: %s: %w", path, damage)
	}
	encrypted := bytes.HasPrefix(raw, []byte(ageHeader))
	switch {
	case !encrypted && passphrase != "":
		return nil, nil, notEncrypted(path, raw)
	case !encrypted:
		return bytes.Clone(raw), &protection{passphrase: hide("")}, nil
	case passphrase == "":
		return nil, nil, fmt.Errorf("keys: %s is encrypted: give its passphrase", path)
	}
	if plain, err = decrypt(raw, passphrase); err != nil {
		return nil, nil, fmt.Errorf("keys: %s: %w", path, err)
	}
	return plain, &protection{passphrase: hide(passphrase), workFactor: workFactorOf(raw)}, nil
}

// ErrNotEncrypted is (wrapped in) the error of opening with a passphrase a private file that is not
// encrypted. The keys in it are as good as before: they were only kept without a passphrase.
var ErrNotEncrypted = errors.New("it is not encrypted, although a passphrase was given")

// notEncrypted is the error of a file that should be an encrypted keyring or root key.
func notEncrypted(path string, raw []byte) error {
	switch is := filekind.Of(raw); is {
	case filekind.Keyring, filekind.RootKey:
		return fmt.Errorf("keys: %s: %w: it is %s: open it as insecure, if it is meant to be kept so", path, ErrNotEncrypted, is)
	case "":
		return fmt.Errorf("keys: %s is neither a keyring nor a root key, encrypted or not: check that this is the file you mean", path)
	default:
		return fmt.Errorf("keys: %s is neither a keyring nor a root key: this is %s", path, is)
	}
}

// unquoted is err without the longer texts that it quotes, and without its causes: they come from a private
// file, in which a secret may stand by mistake in the place of anything.
func unquoted(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(longQuote().ReplaceAllString(err.Error(), redactedText))
}

// longQuote is a text, as %q writes it, that is too long for the name of a member or an algorithm. It is
// compiled on use: a consumer reads no private file, and its start is counted in tenths of milliseconds.
var longQuote = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`"(?:[^"\\]|\\.){16,}"`) })

const ageHeader = "age-encryption.org/"

// ErrPassphrase is (wrapped in) the error of opening a private file with the wrong passphrase.
var ErrPassphrase = errors.New("the passphrase is wrong")

func decrypt(raw []byte, passphrase string) ([]byte, error) {
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(raw), identity)
	if noMatch := (*age.NoIdentityMatchError)(nil); errors.As(err, &noMatch) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, err
	}
	plain := bytes.NewBuffer(make([]byte, 0, len(raw)+bytes.MinRead)) // growing would leave copies behind
	if _, err := plain.ReadFrom(r); err != nil {
		return nil, err
	}
	return plain.Bytes(), nil
}

// workFactorOf reads the work factor off the age header ("-> scrypt SALT FACTOR" in its second line), so that
// a rewritten file keeps it.
func workFactorOf(raw []byte) int {
	lines := bytes.SplitN(raw, []byte("\n"), 3)
	if len(lines) == 3 {
		fields := bytes.Fields(lines[1])
		if n, err := strconv.Atoi(string(fields[len(fields)-1])); err == nil && n > 0 && n <= 22 {
			return n
		}
	}
	return DefaultWorkFactor
}

// readBounded reads a regular file (opening another kind may block) and says which one it was, since the
// path may be another's at any moment.
func readBounded(path string, most int64) ([]byte, os.FileInfo, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("keys: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if int64(len(data)) > most {
		return nil, nil, fmt.Errorf("keys: %s has more than %d bytes", path, most)
	}
	return data, info, nil
}

// writeNew creates a file, never replaces one, and leaves nothing behind when it fails.
func writeNew(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("keys: writing %s: %w", path, err)
	}
	syncDir(path)
	return nil
}

// replace swaps in new content, all or nothing, if the file still is what was read from it. The file beside
// it is made exclusively, and so keeps a second process from doing the same at the same time. A link stays a
// link: what it points to is replaced.
func replace(path string, was [sha256.Size]byte, data []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	beside := path + ".new"
	if err := writeNew(beside, data, privateMode); err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("keys: %s exists: another process is changing the file, or was killed at it: remove it in that case", beside)
		}
		return err
	}
	if err := unchanged(path, was); err != nil {
		_ = os.Remove(beside)
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return fmt.Errorf("keys: %w", err)
	}
	syncDir(path)
	return nil
}

func unchanged(path string, was [sha256.Size]byte) error {
	is, _, err := readBounded(path, MaxPrivateFile)
	if err != nil {
		return err
	}
	if sha256.Sum256(is) != was {
		return fmt.Errorf("keys: %s was changed since it was opened: open it again", path)
	}
	return nil
}

// syncDir makes a new name durable where the system can: not all can sync a directory.
func syncDir(path string) {
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}
