package webhook

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/webhook"
)

// recorder keeps deliveries in the files of a directory.
type recorder struct {
	dir    string
	create func(path string, data []byte) error // makes a new file, all of it on the disk or nothing
}

func newRecorder(dir string) (*recorder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ui.WrongFile("name another directory", "making %s: %w", dir, ui.Cause(err))
	}
	return &recorder{dir, func(path string, data []byte) error {
		return ui.CreateFile(path, data, ui.PrivateFile) // a header may hold a token
	}}, nil
}

// recordSuffix ends the names of records; those of files that are being written begin with a dot.
const recordSuffix = ".json"

// record returns the name of the file when it is on the disk. If anything fails there is no record, or one
// that is recorded again when the provider sends the delivery again.
func (r *recorder) record(d webhook.Request, at time.Time) (string, error) {
	doc, err := webhook.AppendRecord(nil, d, at)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(doc)
	name := at.UTC().Format("20060102T150405.000000000Z") + "-" + hex.EncodeToString(sum[:4]) + recordSuffix
	temporary := filepath.Join(r.dir, "."+name)
	if err := r.create(temporary, append(doc, '\n')); err != nil {
		return "", err
	}
	if err := os.Rename(temporary, filepath.Join(r.dir, name)); err != nil {
		return "", errors.Join(err, os.Remove(temporary))
	}
	return name, syncDir(r.dir)
}

// syncDir puts the name of a new file on the disk. Where directories cannot be synced, nothing is lost by it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }() // was only read
	if err := d.Sync(); err != nil && !ui.IsPathError(err) {
		return err
	}
	return nil
}

// recordsIn are the records of a directory, the oldest first.
func recordsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ui.OpenFailed(dir, err)
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, recordSuffix) && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, ui.WrongFile("give the directory of `sealbus webhook listen --record`",
			"%s has no records", dir)
	}
	return names, nil
}
