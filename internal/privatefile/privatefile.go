// Package privatefile keeps private keys in files: encrypted with age under a passphrase, readable by their
// owner only, written all or nothing. Its errors have no prefix: packages keys and trust add theirs.
package privatefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"filippo.io/age"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/redact"
)

// MaxSize bounds a file with private keys, in bytes.
const MaxSize = 1 << 20

// MaxPlain bounds what is encrypted into one, in bytes: encryption adds less than as much again.
const MaxPlain = MaxSize / 2

// Mode lets only the owner read or write.
const Mode = 0o600

// DefaultWorkFactor is the base-2 logarithm of scrypt's N: about a second on a laptop.
const DefaultWorkFactor = 18

// Protection is what a private file is encrypted with.
type Protection struct {
	passphrase redact.Hidden[string] // "" = not encrypted
	workFactor int
}

// NewProtection encrypts under the passphrase, at the cost of 2^workFactor for trying one (0 =
// DefaultWorkFactor). An empty passphrase is refused, unless insecure says that the file stays unencrypted.
func NewProtection(passphrase string, workFactor int, insecure bool) (*Protection, error) {
	if err := CheckPassphrase(passphrase, insecure); err != nil {
		return nil, err
	}
	switch {
	case workFactor < 0 || workFactor > 22:
		return nil, errors.New("the scrypt work factor is not within 1 to 22")
	case workFactor == 0:
		workFactor = DefaultWorkFactor
	}
	return &Protection{passphrase: redact.Hide(passphrase), workFactor: workFactor}, nil
}

// CheckPassphrase refuses an empty passphrase, unless insecure says that the file is not encrypted.
func CheckPassphrase(passphrase string, insecure bool) error {
	switch {
	case passphrase == "" && !insecure:
		return errors.New("a file with private keys needs a passphrase (InsecureNoPassphrase is for a file without one)")
	case passphrase != "" && insecure:
		return errors.New("a passphrase, and InsecureNoPassphrase: choose one")
	}
	return nil
}

// WorkFactor is the base-2 logarithm of scrypt's N; 0 = the file is not encrypted.
func (p *Protection) WorkFactor() int { return p.workFactor }

// Seal encrypts with age (https://age-encryption.org/v1) under the passphrase, and clears plain.
func (p *Protection) Seal(plain []byte) ([]byte, error) {
	defer clear(plain)
	if p.passphrase() == "" {
		return bytes.Clone(plain), nil
	}
	recipient, err := age.NewScryptRecipient(p.passphrase())
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(p.workFactor)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	if _, err = w.Write(plain); err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("encrypting: %w", err)
	}
	return out.Bytes(), nil
}

// Open decrypts content of that name that Seal made.
func (p *Protection) Open(name string, content []byte) ([]byte, error) {
	plain, _, err := Unprotect(name, content, p.passphrase())
	return plain, err
}

// Read reads and decrypts a private file. A file that is encrypted although no passphrase was
// expected, or the other way round, is refused: its user is mistaken about it.
func Read(path, passphrase string) (plain, raw []byte, p *Protection, err error) {
	raw, _, err = ReadBounded(path, MaxSize)
	if err != nil {
		return nil, nil, nil, err
	}
	plain, p, err = Unprotect(path, raw, passphrase)
	return plain, raw, p, err
}

// Unprotect decrypts the content of the private file of that name.
func Unprotect(path string, raw []byte, passphrase string) (plain []byte, p *Protection, err error) {
	if damage := filekind.DamagePrivate(raw); damage != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, damage)
	}
	encrypted := bytes.HasPrefix(raw, []byte(ageHeader))
	switch {
	case !encrypted && passphrase != "":
		return nil, nil, notEncrypted(path, raw)
	case !encrypted:
		return bytes.Clone(raw), &Protection{passphrase: redact.Hide("")}, nil
	case passphrase == "":
		return nil, nil, fmt.Errorf("%s is encrypted: give its passphrase", path)
	}
	if plain, err = decrypt(raw, passphrase); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	return plain, &Protection{passphrase: redact.Hide(passphrase), workFactor: workFactorOf(raw)}, nil
}

// ErrNotEncrypted is (wrapped in) the error of opening with a passphrase a private file that is not
// encrypted. The keys in it are as good as before: they were only kept without a passphrase.
var ErrNotEncrypted = errors.New("it is not encrypted, although a passphrase was given")

// notEncrypted is the error of a file that should be an encrypted keyring or root key.
func notEncrypted(path string, raw []byte) error {
	switch is := filekind.Of(raw); is {
	case filekind.Keyring, filekind.RootKey:
		return fmt.Errorf("%s: %w: it is %s: open it as insecure, if it is meant to be kept so", path,
			ErrNotEncrypted, is)
	case "":
		return fmt.Errorf("%s is neither a keyring nor a root key, encrypted or not: check that this is the file you mean", path)
	default:
		return fmt.Errorf("%s is neither a keyring nor a root key: this is %s", path, is)
	}
}

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

// FromText is the content of a private file that a store keeps as text: base64 (RFC 4648 section 4), or JSON
// of a file that is not encrypted.
func FromText(text string) ([]byte, error) {
	if len(text) > 2*MaxSize {
		return nil, fmt.Errorf("more than %d bytes", MaxSize)
	}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		return []byte(text), nil
	}
	content, err := base64.StdEncoding.DecodeString(text) // which skips line ends
	if err != nil {
		return nil, errors.New("the text is neither a keyring in base64 nor in JSON") // err would quote the secret
	}
	return content, nil
}

// errNoPath is that of a path that was never set: the system's own error would name nothing.
var errNoPath = fmt.Errorf("no path: name the file: %w", fs.ErrInvalid)

// ReadBounded reads a regular file (opening another kind may block) and says which one it was, since the
// path may be another's at any moment.
func ReadBounded(path string, most int64) ([]byte, os.FileInfo, error) {
	if path == "" {
		return nil, nil, errNoPath
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > most {
		return nil, nil, fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, info, nil
}

// WriteNew creates a file, never replaces one, and leaves nothing behind when it fails.
func WriteNew(path string, data []byte, mode os.FileMode) error {
	if path == "" {
		return errNoPath
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
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
		return fmt.Errorf("writing %s: %w", path, err)
	}
	SyncDir(path)
	return nil
}

// Seen is a file as it was when it was read.
type Seen struct {
	Path   string
	Digest [sha256.Size]byte // of its content; zero = there was no such file
}

// Replace swaps in new content, all or nothing, if the file still is what was read from it. A file beside it
// is locked meanwhile, so that a second process cannot do the same at the same time. A process that is killed
// leaves the old content or the new one, and perhaps the file beside it, which the next Replace uses again.
// The new file has the owner of the old one, and Mode. A link stays a link: the file that it points to is
// replaced.
func Replace(path string, was [sha256.Size]byte, data []byte) error {
	return ReplaceOne([]Seen{{path, was}}, 0, data)
}

// ReplaceOne is Replace of one of several files that belong together, if all of them still are what was read.
// They share the lock of the first, so that no change is made with an old view of another file. The file may
// be new; one beside the first then gets the owner of the first.
func ReplaceOne(files []Seen, which int, data []byte) error {
	return replace(files, which, data, func(string) error { return nil })
}

// errKilled is the error of a step after which a test ends the process: nothing is cleaned up.
var errKilled = errors.New("killed")

// replace is ReplaceOne. It calls after when a step is done, which a test uses to stop there.
func replace(files []Seen, which int, data []byte, after func(step string) error) (err error) {
	first, err := resolve(&files[0])
	if err != nil {
		return err
	}
	path := first
	if which > 0 {
		if path, err = resolve(&files[which]); err != nil {
			return err
		}
		lock, lockErr := openBeside(first)
		if lockErr != nil {
			return lockErr
		}
		defer func() { closeBeside(lock, first, !errors.Is(err, errKilled)) }()
	}
	f, err := openBeside(path)
	if err != nil {
		return err
	}
	isBeside := true
	defer func() { closeBeside(f, path, err != nil && isBeside && !errors.Is(err, errKilled)) }()
	owner := path
	if files[which].isNew() {
		owner = first
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"lock", func() error { return unchanged(files) }},
		{"truncate", func() error { return errors.Join(f.Chmod(Mode), keepOwner(f, owner), f.Truncate(0)) }},
		{"write", func() error { return halves(f, data, after) }},
		{"sync", f.Sync},
		{"rename", func() error { return rename(f, path+besideSuffix, path) }},
	} {
		if err = step.do(); err != nil {
			return err
		}
		isBeside = step.name != "rename"
		if err = after(step.name); err != nil {
			return err
		}
	}
	SyncDir(path)
	return nil
}

func (s *Seen) isNew() bool { return s.Digest == [sha256.Size]byte{} }

// resolve follows links to the file, which need not be there if it is new.
func resolve(s *Seen) (string, error) {
	path, err := filepath.EvalSymlinks(s.Path)
	if s.isNew() && errors.Is(err, os.ErrNotExist) {
		return s.Path, nil
	}
	return path, err
}

const besideSuffix = ".new"

func openBeside(path string) (*os.File, error) {
	f, err := openLocked(path + besideSuffix)
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%s%s: %w", path, besideSuffix, err)
	}
	return f, err
}

// closeBeside unlocks the file, and removes it if asked to.
func closeBeside(f *os.File, path string, remove bool) {
	if !remove {
		_ = f.Close()
		return
	}
	removeLocked(f, path+besideSuffix)
}

// halves writes in two parts, so that a test can stop between them.
func halves(f *os.File, data []byte, after func(step string) error) error {
	half := len(data) / 2
	if _, err := f.Write(data[:half]); err != nil {
		return err
	}
	if err := after("half"); err != nil {
		return err
	}
	_, err := f.Write(data[half:])
	return err
}

// ErrLocked is the error of a file that another process is changing.
var ErrLocked = errors.New("another process is changing the file: try again when it is done")

// ErrChanged is the error of a file that has changed since it was read.
var ErrChanged = errors.New("was changed since it was opened: open it again")

func unchanged(files []Seen) error {
	for i := range files {
		was := &files[i]
		is, _, err := ReadBounded(was.Path, MaxSize)
		switch {
		case was.isNew() && errors.Is(err, os.ErrNotExist):
		case was.isNew() && err == nil, err == nil && sha256.Sum256(is) != was.Digest:
			return fmt.Errorf("%s %w", was.Path, ErrChanged)
		case err != nil:
			return err
		}
	}
	return nil
}

// SyncDir makes a new name durable where the system can: not all can sync a directory.
func SyncDir(path string) {
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// Lock locks a file, which it makes, until unlock is called or the process ends in any way. Another process
// that has the lock is ErrLocked. A file that has content is a file of others, and stays there.
func Lock(path string) (unlock func(), err error) {
	f, err := openLocked(path)
	if err != nil {
		return nil, err
	}
	return func() {
		if info, err := f.Stat(); err != nil || info.Size() > 0 {
			_ = f.Close() // which unlocks
			return
		}
		removeLocked(f, path)
	}, nil
}

// Swap puts content in the place of a public file, all or nothing; the file need not be there. The caller has
// a Lock that keeps others out. A file that a killed process left beside it is written anew. Its name is one
// that no person gives a draft.
func Swap(path string, content []byte) error {
	beside := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".swap")
	if err := os.Remove(beside); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := WriteNew(beside, content, 0o644); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return err
	}
	SyncDir(path)
	return nil
}
