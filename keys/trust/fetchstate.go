package trust

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/sealbus/sealbus/internal/dsse"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
)

// stateFormat is the first member of a state file's head.
const stateFormat = "sealbus/trust-state/v1"

// maxStateHead bounds the head, in bytes.
const maxStateHead = 256

// lockPause is how long a process waits before it looks again whether another has finished with the state
// file.
const lockPause = 10 * time.Millisecond

// seen identifies a bundle that was seen. The version may not go down, and the content of a version may not
// change.
type seen struct {
	version int64 // 0 = nothing was seen
	digest  [sha256.Size]byte
}

func seenOf(b *Bundle) seen { return seen{b.version, sha256.Sum256(b.Payload())} }

// follows refuses a bundle that may not come after s.
func (s seen) follows(next seen) error {
	switch {
	case next.version < s.version:
		return refuse(WhyRollback, "version %d, after %d was seen", next.version, s.version)
	case next.version == s.version && next.digest != s.digest:
		return refuse(WhyEquivocate, "version %d with another content than was seen", next.version)
	}
	return nil
}

// differs reports whether s is the same version as other with another content.
func (s seen) differs(other seen) bool { return s.version == other.version && s.digest != other.digest }

// kept is a state file of the first format, which is read only: a line of canonical JSON,
// {"format","payload","version"} with the SHA-256 of the payload in base64url, and then the signed bundle as
// it came. The line is believed, because only this program writes the file. The bundle is verified each time.
type kept struct {
	seen
	signed []byte
}

func (k *kept) append(dst []byte) []byte {
	var o keydoc.Object
	o.String("format", stateFormat)
	o.String("payload", base64.RawURLEncoding.EncodeToString(k.digest[:]))
	o.Int("version", k.version)
	return append(append(o.Append(dst), '\n'), k.signed...)
}

// parseState reads a state file, in its one form only.
func parseState(doc []byte) (*kept, error) {
	if len(doc) > maxStateHead+keydoc.MaxSigned {
		return nil, errors.New("it is too large")
	}
	head, _, ok := bytes.Cut(doc[:min(len(doc), maxStateHead)], []byte("\n"))
	if !ok {
		return nil, errors.New("it has no head")
	}
	signed := doc[len(head)+1:]
	k, err := parseStateHead(head)
	if err != nil {
		return nil, err
	}
	e, err := dsse.Parse(signed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its bundle: %w", err)
	case e.PayloadType != keydoc.BundleType || sha256.Sum256(e.Payload) != k.digest:
		return nil, errors.New("its head is not that of its bundle")
	}
	k.signed = signed
	return k, nil
}

func parseStateHead(head []byte) (*kept, error) {
	k := &kept{}
	var format, digest string
	r := jsontext.NewDecoder(head)
	for obj := r.Object(); r.Member(&obj); {
		switch name := string(obj.Name); name {
		case "format":
			format = r.String()
		case "payload":
			digest = r.String()
		case "version":
			k.version = r.Int()
		default:
			r.Failf("unknown member %q", keydoc.Clip(name))
		}
	}
	if err := r.End(); err != nil {
		return nil, err
	}
	if format != stateFormat {
		return nil, fmt.Errorf("its format is %q, not %q", keydoc.Clip(format), stateFormat)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(digest)
	if err != nil || len(raw) != sha256.Size || k.version < 1 || k.version > maxBundleVersion {
		return nil, errors.New("its head has no digest, or no version from 1 to 2^53-1")
	}
	copy(k.digest[:], raw)
	if want := k.append(nil); string(want[:len(want)-1]) != string(head) {
		return nil, keydoc.ErrNotCanonical
	}
	return k, nil
}

// damagedState says how to go on safely. Removing the file alone would allow a rollback.
func damagedState(path string, err error) error {
	return fmt.Errorf("state file %s is damaged: %s: find out who changed it, since an attacker could roll back the trust so; "+
		"then set MinVersion to the newest version that you know, and only then remove the file", path, err.Error())
}

// readOwn reads a file that this program wrote. It does not follow a link at the end of the path: in a
// directory that others can write to, a link could put another file in its place.
func readOwn(path string, most int64) ([]byte, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkOwn(f, path); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return data, err
}

// checkOwn refuses an open file that is not a regular file, or whose name is a link. Some systems follow
// links when they open a file.
func checkOwn(f *os.File, path string) error {
	named, err := os.Lstat(path)
	if err == nil && named.Mode()&fs.ModeSymlink != 0 {
		return errIsLink(path)
	}
	opened, err := f.Stat()
	if err == nil && !opened.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	return err
}

func errIsLink(path string) error {
	return fmt.Errorf("%s is a symbolic link, which is not followed: name the file itself, "+
		"in a directory that no one else can write to", path)
}

// lockState waits for the other processes that share the state file. The system gives up the lock of a
// process that ends.
func lockState(ctx context.Context, path string) (unlock func(), err error) {
	for {
		unlock, err = tryLock(path)
		if !errors.Is(err, errLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(lockPause):
		}
	}
}

var errLocked = errors.New("another process has had it for too long")

// swapIn replaces the file in one step. The caller has the lock, so a file beside it can only be a leftover.
func swapIn(path string, data []byte) error {
	beside := path + ".new"
	if err := os.Remove(beside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := privatefile.WriteNew(beside, data, privatefile.Mode); err != nil {
		return err
	}
	if err := os.Rename(beside, path); err != nil {
		_ = os.Remove(beside)
		return err
	}
	privatefile.SyncDir(path)
	return nil
}
