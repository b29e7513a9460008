package consumer

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// QuarantineDir keeps each record in a file of its own in the directory dir, which it makes if need be, with
// mode 0700. A file is JSON, has mode 0600, appears complete or not at all and is on disk when Put returns.
// Its name is made of time and hash only. Records are authenticated by HMAC-SHA-256 under key, which has at
// least MinQuarantineKey bytes: what is reopened was refused by a consumer, not slipped in.
func QuarantineDir(dir string, key []byte) (Quarantine, error) {
	k, err := newMACKey(key)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	return &quarantineDir{dir: dir, key: k}, nil
}

// makeDir makes the directory, and those above it that are missing, each durable: a record that is on disk is
// gone after a crash if a name on the way to it is.
func makeDir(dir string) error {
	info, err := os.Stat(dir)
	switch parent := filepath.Dir(dir); {
	case err == nil && info.IsDir():
		return nil
	case !errors.Is(err, fs.ErrNotExist) || parent == dir || dir == "":
		return os.MkdirAll(dir, 0o700) // says what is wrong
	default:
		if err := makeDir(parent); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // another process was faster
			return err
		}
		return syncDir(parent)
	}
}

// ReadQuarantined reads a record that a QuarantineDir with the same key wrote. The error wraps
// ErrNotAuthentic if the record is malformed or was changed. An authentic record says what was delivered; the
// event in it is still one that was refused.
func ReadQuarantined(path string, key []byte) (*Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, MaxRecord+1))
	if err != nil {
		return nil, fmt.Errorf("consumer: quarantine: %w", err)
	}
	return ParseRecord(doc, key)
}

type quarantineDir struct {
	dir string
	key *macKey
}

// Put writes a temporary file, makes it durable and only then gives it its name. A second record of the same
// name is the same record.
func (q *quarantineDir) Put(_ context.Context, r Record) error {
	doc, err := marshalRecord(&r, q.key)
	if err != nil {
		return err
	}
	if err := q.write(recordName(&r, doc), doc); err != nil {
		return fmt.Errorf("consumer: quarantine: %w", err)
	}
	return nil
}

// recordName sorts by time. The hash covers the MAC, and so everything.
func recordName(r *Record, doc []byte) string {
	sum := sha256.Sum256(doc)
	return r.At.UTC().Format("20060102T150405.000000000Z-") + hex.EncodeToString(sum[:16]) + ".json"
}

func (q *quarantineDir) write(name string, doc []byte) (err error) {
	temp := filepath.Join(q.dir, ".new-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(temp)
		}
	}()
	_, err = f.Write(doc)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(temp, filepath.Join(q.dir, name)); err != nil {
		return err
	}
	return syncDir(q.dir)
}

// syncDir makes the name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// String keeps the key out of logs.
func (q *quarantineDir) String() string { return "QuarantineDir(" + q.dir + ")" }
