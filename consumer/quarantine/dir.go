package quarantine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/sealbus/sealbus/consumer"
)

// dir is what NewDir makes.
type dir struct {
	path string
	keys consumer.QuarantineKeys
}

var _ Store = (*dir)(nil)

// suffix is that of a record's file.
const suffix = ".json"

// unfinished begins the name of a file that Put is still writing, or was writing when the process was
// killed.
const unfinished = ".new-"

// NewDir makes the Store of the directory at path, on one machine. Each record is a file of its own,
// ID.json, with mode 0600. A file appears complete or not at all, and is on disk when Put returns. Put makes
// the directory if need be, with mode 0700. Two records of the same content are one.
func NewDir(path string, keys consumer.QuarantineKeys) (Store, error) {
	switch {
	case keys == (consumer.QuarantineKeys{}):
		return nil, errors.New("quarantine: no keys: make them with consumer.NewQuarantineKeys")
	case path == "":
		return nil, errors.New("quarantine: no path: name the directory that keeps the records")
	}
	return &dir{path, keys}, nil
}

// Keys are those that the Store was made with.
func (d *dir) Keys() consumer.QuarantineKeys { return d.keys }

// Put writes the record to a file of its own. It is on disk when Put returns. A second record of the same
// content is the same record.
func (d *dir) Put(ctx context.Context, r consumer.Record) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	id, doc, err := Encode(d.keys, r)
	if err != nil {
		return err
	}
	if err := makeDir(d.path); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if err := d.write(id+suffix, doc); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

// makeDir makes the directory, and those above it that are missing. It makes the name of each durable: if a
// name on the path of a record is lost in a crash, the record is lost, too.
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
		err := os.Mkdir(dir, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) { // another process may have been faster
			return err
		}
		return syncDir(parent)
	}
}

// write writes a temporary file, makes it durable and only then gives it its name.
func (d *dir) write(name string, doc []byte) (err error) {
	temp := filepath.Join(d.path, unfinished+rand.Text())
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
	if err = os.Rename(temp, filepath.Join(d.path, name)); err != nil {
		return err
	}
	return syncDir(d.path)
}

// syncDir makes the names in the directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List goes through the directory in the order of time. A directory that does not exist is an error.
func (d *dir) List(ctx context.Context, opts *ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		names, err := os.ReadDir(d.path)
		if err != nil {
			yield(Entry{}, fmt.Errorf("quarantine: %w", err))
			return
		}
		for _, n := range names {
			if err := context.Cause(ctx); err != nil {
				yield(Entry{}, fmt.Errorf("quarantine: %w", err))
				return
			}
			if strings.HasPrefix(n.Name(), unfinished) || n.IsDir() {
				continue
			}
			e, there := d.entry(n.Name(), opts)
			if there && !yield(e, nil) {
				return
			}
		}
	}
}

// entry reads a file. It does not if the file's name shows that it is not wanted, or the file is gone.
func (d *dir) entry(name string, opts *ListOptions) (e Entry, there bool) {
	id, isRecord := strings.CutSuffix(name, suffix)
	if _, ok := TimeOf(id); !isRecord || !ok {
		err := fmt.Errorf("%w: no record has such a name", consumer.ErrNotAuthentic)
		return Entry{ID: name, Err: err}, true
	}
	if !opts.Has(Entry{ID: id}) {
		return Entry{}, false
	}
	doc, err := d.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, false
	}
	if err != nil {
		return Entry{ID: id, Err: err}, true
	}
	e, _ = DecodeAs(d.keys, id, doc) // its error is in it
	return e, true
}

// Get reads the file of the record.
func (d *dir) Get(ctx context.Context, id string) (Entry, error) {
	if err := context.Cause(ctx); err != nil {
		return Entry{}, fmt.Errorf("quarantine: %w", err)
	}
	if _, ok := TimeOf(id); !ok {
		return Entry{}, fmt.Errorf("%w: %.80q", ErrNotFound, id)
	}
	doc, err := d.read(id)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return Entry{}, err
	}
	e, err := DecodeAs(d.keys, id, doc)
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Remove deletes the file of the record.
func (d *dir) Remove(ctx context.Context, id string) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	if _, ok := TimeOf(id); !ok {
		return fmt.Errorf("%w: %.80q", ErrNotFound, id)
	}
	err := os.Remove(d.file(id))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	return nil
}

func (d *dir) file(id string) string { return filepath.Join(d.path, id+suffix) }

// read reads a regular file: opening another kind may block.
func (d *dir) read(id string) ([]byte, error) {
	path := d.file(id)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no regular file", consumer.ErrNotAuthentic, path)
	case info.Size() > consumer.MaxRecord:
		return nil, fmt.Errorf(
			"%w: %s has %d bytes: %w", ErrTooLarge, path, info.Size(), consumer.ErrNotAuthentic)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, consumer.MaxRecord+1)) // Decode refuses what has grown since
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	return doc, nil
}

// String keeps the key out of logs.
func (d *dir) String() string { return "quarantine.NewDir(" + d.path + ")" }
