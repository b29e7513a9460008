package localaws

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// journal keeps rows on the disk: JSON, below a bucket and a key. A change is queued under the lock of the
// service that makes it, so that the rows change in the order of the service; sync waits, without that lock,
// until the disk has them. All that is queued while a transaction runs is in the next one, so that callers at
// the same time share its fsync.
//
// Its methods do nothing on nil, which is the journal of a server that keeps nothing.
type journal struct {
	db *bolt.DB

	mu      sync.Mutex
	changes [][]row       // queued, and in no transaction yet; each is kept all or none
	queued  uint64        // changes that were ever queued
	kept    uint64        // changes of those that are on the disk
	moved   chan struct{} // closed and replaced when kept or err changes
	err     error         // the first failure: from then on nothing is acknowledged
	closing bool

	wanted chan struct{} // has an element when the writer is to look
	ended  chan struct{} // closed when the writer is gone
}

// row is a change of one row.
type row struct {
	bucket, key string
	value       []byte // nil = the row is removed
}

// journalFile is the name of the file in its directory.
const journalFile = "sealbus-dev.db"

// lockPatience is how long openJournal waits for another process that holds the file.
const lockPatience = time.Second

// ErrInUse is the error of Start for an Options.Dir that another server has open.
var ErrInUse = errors.New("localaws: another process uses the directory")

var (
	errJournalClosed = errors.New("localaws: the server is closed")
	errKilled        = errors.New("localaws: the journal was abandoned")
)

// openJournal opens the journal of a directory, which it makes if there is none. The file has the private
// keys of KMS: only its owner may read it. It is locked until close.
func openJournal(dir string) (*journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localaws: %w", err)
	}
	path := filepath.Join(dir, journalFile)
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("localaws: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("localaws: %s is not a regular file: choose another directory", path)
	case info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return nil, fmt.Errorf("localaws: %s has private keys, and others may read it: chmod 600 %[1]s", path)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{
		Timeout: lockPatience, FreelistType: bolt.FreelistMapType, NoFreelistSync: true,
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%w: %s: end it, or choose another directory", ErrInUse, path)
	case err != nil:
		return nil, fmt.Errorf("localaws: open %s: %w", path, err)
	}
	j := &journal{db: db, moved: make(chan struct{}), wanted: make(chan struct{}, 1),
		ended: make(chan struct{})}
	go j.write()
	return j, nil
}

// put queues a row, which replaces the one of the same key. The value is encoded before put returns.
func (j *journal) put(bucket, key string, value any) {
	if j != nil {
		j.change(putRow(bucket, key, value))
	}
}

// remove queues that a row goes. It may be one that is not there.
func (j *journal) remove(bucket, key string) {
	j.change(row{bucket, key, nil})
}

// putRow is a row for change.
func putRow(bucket, key string, value any) row {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err) // of our own types
	}
	return row{bucket, key, data}
}

// change queues rows that are kept all or none. A kill may come between two changes, so that the disk has the
// first of them only: what needs another row to be read is in one change with it, or comes later and goes
// earlier.
func (j *journal) change(rows ...row) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil || len(rows) == 0 { // after a failure none is written any more
		return
	}
	j.changes = append(j.changes, rows)
	j.queued++
}

// flush has what is queued written soon, and does not wait.
func (j *journal) flush() {
	if j == nil {
		return
	}
	select {
	case j.wanted <- struct{}{}:
	default: // it will look
	}
}

// sync returns when all that was queued before it is on the disk. After a failure, each call returns that
// failure: no one can tell what the disk has.
func (j *journal) sync() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	until := j.queued
	for j.err == nil && j.kept < until {
		moved := j.moved
		j.mu.Unlock()
		j.flush()
		<-moved
		j.mu.Lock()
	}
	defer j.mu.Unlock()
	return j.err
}

// write is the goroutine that writes, until close or a failure.
func (j *journal) write() {
	defer close(j.ended)
	for range j.wanted {
		j.mu.Lock()
		changes, closing, failed := j.changes, j.closing, j.err != nil
		j.changes = nil
		j.mu.Unlock()
		if failed {
			return
		}
		err := j.commit(slices.Concat(changes...))
		if err == nil && closing {
			err = errJournalClosed
		}
		j.mu.Lock()
		if j.err == nil {
			j.err = err
		}
		j.kept += uint64(len(changes))
		close(j.moved)
		j.moved = make(chan struct{})
		j.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// commit writes rows in one transaction: of each, the last change.
func (j *journal) commit(rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	last := make(map[[2]string]int, len(rows))
	for i, r := range rows {
		last[[2]string{r.bucket, r.key}] = i
	}
	err := j.db.Update(func(tx *bolt.Tx) error {
		for i, r := range rows {
			if last[[2]string{r.bucket, r.key}] != i {
				continue
			}
			b, err := tx.CreateBucketIfNotExists([]byte(r.bucket))
			if err != nil {
				return err
			}
			if r.value == nil {
				err = b.Delete([]byte(r.key))
			} else {
				err = b.Put([]byte(r.key), r.value)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("localaws: the journal failed, and nothing more is acknowledged: %w", err)
	}
	return nil
}

// load gives each row of a bucket to f, in the order of the keys, until f fails. The value is valid until f
// returns.
func (j *journal) load(bucket string, f func(key string, value []byte) error) error {
	if j == nil {
		return nil
	}
	return j.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		return b.ForEach(func(key, value []byte) error {
			if err := f(string(key), value); err != nil {
				return fmt.Errorf("localaws: %s: row %q of %s cannot be read: %w", j.db.Path(), key, bucket, err)
			}
			return nil
		})
	})
}

// close writes what is queued and unlocks the file. Later changes are not kept, and sync says so.
func (j *journal) close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	j.closing = true
	j.mu.Unlock()
	j.flush()
	<-j.ended
	j.mu.Lock()
	err := j.err
	j.mu.Unlock()
	if errors.Is(err, errJournalClosed) {
		err = nil
	}
	return errors.Join(err, j.db.Close())
}

// abandon is close without writing: the file is as a process leaves it that is killed.
func (j *journal) abandon() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	if j.err == nil {
		j.err = errKilled
	}
	j.mu.Unlock()
	j.flush()
	<-j.ended
	return j.db.Close()
}
