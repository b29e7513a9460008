package quarantine

import (
	"bytes"
	"context"
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

// Dir is the Store of a directory: the files of consumer.QuarantineDir, which the two share. An ID is the
// name of a file without ".json". It is for one machine; records live as long as its disk.
type Dir struct {
	path  string
	codec *Codec
	open  func() (consumer.Quarantine, error)
}

var _ Store = (*Dir)(nil)

// suffix is that of a record's file.
const suffix = ".json"

// unfinished is how the name of a file begins that consumer.QuarantineDir is still writing, or was killed at.
const unfinished = ".new-"

// NewDir makes the Store of the directory at path, which need not exist before the first Put. The key has at
// least consumer.MinQuarantineKey bytes.
func NewDir(path string, key []byte) (*Dir, error) {
	codec, err := NewCodec(key)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return nil, errors.New("quarantine: no directory")
	}
	secret := bytes.Clone(key)
	return &Dir{path, codec, func() (consumer.Quarantine, error) { return consumer.QuarantineDir(path, secret) }}, nil
}

// Put writes the record to a file of its own. It is on disk when Put returns. A second record of the same
// content is the same record.
func (d *Dir) Put(ctx context.Context, r consumer.Record) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	q, err := d.open()
	if err != nil {
		return err
	}
	return q.Put(ctx, r)
}

// List goes through the directory in the order of time. A directory that does not exist is an error.
func (d *Dir) List(ctx context.Context, opts *ListOptions) iter.Seq2[Entry, error] {
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

// entry reads a file unless its name says that it is not wanted, or it is gone by now.
func (d *Dir) entry(name string, opts *ListOptions) (e Entry, there bool) {
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
	e, _ = d.codec.DecodeAs(id, doc) // its error is in it
	return e, true
}

// Get reads the file of the record.
func (d *Dir) Get(ctx context.Context, id string) (Entry, error) {
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
	e, err := d.codec.DecodeAs(id, doc)
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Remove deletes the file of the record.
func (d *Dir) Remove(ctx context.Context, id string) error {
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

func (d *Dir) file(id string) string { return filepath.Join(d.path, id+suffix) }

// read reads a regular file: opening another kind may block.
func (d *Dir) read(id string) ([]byte, error) {
	path := d.file(id)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("quarantine: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no regular file", consumer.ErrNotAuthentic, path)
	case info.Size() > consumer.MaxRecord:
		return nil, fmt.Errorf("%w: %s has %d bytes: %w", ErrTooLarge, path, info.Size(), consumer.ErrNotAuthentic)
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
func (d *Dir) String() string { return "quarantine.Dir(" + d.path + ")" }
