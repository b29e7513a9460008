package privatefile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// steps are the places between the system calls of Replace at which a process can be killed.
var steps = []string{"lock", "truncate", "half", "write", "sync", "rename"}

func newFile(t *testing.T, content string) (path string, digest [sha256.Size]byte) {
	path = filepath.Join(t.TempDir(), "file")
	if err := WriteNew(path, []byte(content), Mode); err != nil {
		t.Fatal(err)
	}
	return path, sha256.Sum256([]byte(content))
}

// A process that is killed at any step leaves the old content or the new one, and no lock.
func TestReplaceIsKilled(t *testing.T) {
	was, next := "old "+strings.Repeat("x", 5000), "new"
	seen := map[string]bool{}
	for _, at := range steps {
		path, digest := newFile(t, was)
		err := replace([]Seen{{path, digest}}, 0, []byte(next), func(step string) error {
			seen[step] = true
			if step == at {
				return errKilled
			}
			return nil
		})
		if !errors.Is(err, errKilled) {
			t.Fatalf("%s: %v", at, err)
		}
		want := was
		if at == "rename" {
			want = next
		}
		wantContent(t, at, path, want)
		if err := Replace(path, sha256.Sum256([]byte(want)), []byte("newest")); err != nil {
			t.Errorf("%s: the next process: %v", at, err)
		}
		wantContent(t, at, path, "newest")
	}
	if len(seen) != len(steps) {
		t.Errorf("steps %v, of %v", seen, steps)
	}
}

func wantContent(t *testing.T, at, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s: %.20q, %v", at, got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != Mode {
		t.Errorf("%s: %v, %v", at, info.Mode(), err)
	}
}

// While one process is between two steps, another one is refused, and changes nothing.
func TestReplaceLocksOthersOut(t *testing.T) {
	path, digest := newFile(t, "old")
	err := replace([]Seen{{path, digest}}, 0, []byte("new"), func(step string) error {
		if step == "rename" {
			return nil // the name is free again, and the content is another
		}
		if err := Replace(path, digest, []byte("other")); !errors.Is(err, ErrLocked) ||
			!strings.Contains(err.Error(), path+".new") {
			t.Errorf("%s: %v", step, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContent(t, "end", path, "new")
	if err := Replace(path, digest, []byte("other")); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("with an old digest: %v", err)
	}
	if _, err := os.Lstat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
}

// A failure, unlike a crash, leaves nothing. A link beside the file is not followed.
func TestReplaceCleansUp(t *testing.T) {
	path, digest := newFile(t, "old")
	failure := errors.New("disk")
	for _, at := range steps[:len(steps)-1] {
		err := replace([]Seen{{path, digest}}, 0, []byte("new"), func(step string) error {
			if step == at {
				return failure
			}
			return nil
		})
		if _, left := os.Lstat(path + ".new"); !errors.Is(err, failure) || !errors.Is(left, os.ErrNotExist) {
			t.Errorf("%s: %v, %v", at, err, left)
		}
	}
	target := filepath.Join(filepath.Dir(path), "target")
	if err := errors.Join(os.WriteFile(target, []byte("precious"), Mode), os.Symlink(target, path+".new")); err != nil {
		t.Fatal(err)
	}
	if Replace(path, digest, []byte("new")) == nil {
		t.Error("a link was followed")
	}
	wantContent(t, "link", target, "precious")
	wantContent(t, "link", path, "old")
}

// Of many that start from one content, exactly one wins.
func TestReplaceRace(t *testing.T) {
	path, digest := newFile(t, "old")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var won [][]byte
	for i := range 16 {
		wg.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, 1000)
			if Replace(path, digest, content) == nil {
				mu.Lock()
				defer mu.Unlock()
				won = append(won, content)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(won) != 1 || !bytes.Equal(got, won[0]) {
		t.Errorf("%d won; the file has %.10q, %v", len(won), got, err)
	}
}

// Files that belong together are changed under one lock, and only if all of them are as they were read.
func TestReplaceOne(t *testing.T) {
	path, digest := newFile(t, "old")
	second := path + ".schedule"
	files := []Seen{{path, digest}, {Path: second}}
	for _, at := range steps {
		_ = os.Remove(second)
		err := replace(files, 1, []byte("first schedule"), func(step string) error {
			if step == at {
				return errKilled
			}
			if err := Replace(path, digest, []byte("other")); !errors.Is(err, ErrLocked) {
				t.Errorf("%s: the other file was changed meanwhile: %v", step, err)
			}
			return nil
		})
		if !errors.Is(err, errKilled) {
			t.Fatalf("%s: %v", at, err)
		}
		if got, err := os.ReadFile(second); at == "rename" && string(got) != "first schedule" ||
			at != "rename" && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %q, %v", at, got, err)
		}
		wantContent(t, at, path, "old")
	}
	if err := ReplaceOne(files, 1, []byte("x")); !errors.Is(err, ErrChanged) {
		t.Errorf("a new file came in between: %v", err)
	}
	files[1].Digest = sha256.Sum256([]byte("first schedule"))
	if err := ReplaceOne(files, 1, []byte("second schedule")); err != nil {
		t.Error(err)
	}
	wantContent(t, "end", second, "second schedule")
	if err := ReplaceOne(files, 0, []byte("new")); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), second) {
		t.Errorf("with an old view of the second file: %v", err)
	}
	files[1].Digest = sha256.Sum256([]byte("second schedule"))
	if err := ReplaceOne(files, 0, []byte("new")); err != nil {
		t.Error(err)
	}
	wantContent(t, "end", path, "new")
	if left, _ := filepath.Glob(path + "*.new"); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

// Of many that change either of two files from one view of both, exactly one wins.
func TestReplaceOneRace(t *testing.T) {
	path, digest := newFile(t, "old")
	files := []Seen{{path, digest}, {Path: path + ".schedule"}}
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 16 {
		wg.Go(func() {
			if ReplaceOne(files, i%2, []byte("new")) == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}
