//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file that root changes for a program stays that program's, which could not read it otherwise.
func TestReplaceKeepsTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the file of another user")
	}
	path, digest := newFile(t, "old")
	if err := os.Chown(path, 1234, 2345); err != nil {
		t.Skipf("this root may not change the owner of a file: %v", err)
	}
	if err := Replace(path, digest, []byte("new")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, "replaced", path, "new")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != 1234 || s.Gid != 2345 {
		t.Errorf("owner %d:%d", s.Uid, s.Gid)
	}
}

// otherUser gives the file or directory to another user, and skips the test if this user cannot.
func otherUser(t *testing.T, path string) {
	t.Helper()
	if err := os.Chown(path, 1234, 2345); err != nil {
		t.Skipf("this user cannot give a file away: %v", err)
	}
}

func wantOwner(t *testing.T, what, path string, uid uint32) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); s.Uid != uid {
		t.Errorf("%s: it belongs to %d, not to %d", what, s.Uid, uid)
	}
}

// Root that works in the directory of a user takes nothing away from that user.
func TestRootTakesNothingAway(t *testing.T) {
	dir := t.TempDir()
	otherUser(t, dir)
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(Swap(at("swapped"), []byte("new")), SwapBy(at("beside"), at("by"), nil, Mode),
		WriteFor(at("for"), at("for"), nil, Mode), MakeDir(at("made"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"swapped", "by", "for", "made"} {
		wantOwner(t, name, at(name), 1234)
	}
	unlock, err := Lock(at("lock"))
	if err != nil {
		t.Fatal(err)
	}
	wantOwner(t, "lock", at("lock"), 1234) // a killed root would leave it
	unlock()
	// a file of a third user stays that user's
	if err := os.Chown(at("swapped"), 3456, -1); err != nil {
		t.Fatal(err)
	}
	if err := Swap(at("swapped"), []byte("newer")); err != nil {
		t.Fatal(err)
	}
	wantOwner(t, "swapped again", at("swapped"), 3456)
	// the owner of a link's target gets nothing
	if err := errors.Join(os.WriteFile(at("target"), nil, Mode), os.Symlink("target", at("link"))); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenOrMake(at("link")); err == nil {
		t.Error("a link was followed")
	}
	wantOwner(t, "target", at("target"), 0)
	// a file that is there keeps its owner
	f, err := OpenOrMake(at("target"))
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	wantOwner(t, "target", at("target"), 0)
}

// The error of a file that is another user's says so.
func TestDeniedSaysWhoseFileItIs(t *testing.T) {
	path, _ := newFile(t, "x")
	if err := Denied(path, fs.ErrPermission); err.Error() != fs.ErrPermission.Error() {
		t.Errorf("a file of this user: %v", err)
	}
	otherUser(t, path)
	err := Denied(path, fs.ErrPermission)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "belongs to user 1234") {
		t.Errorf("a file of another user: %v", err)
	}
	if err := Denied(path, fs.ErrNotExist); err.Error() != fs.ErrNotExist.Error() {
		t.Errorf("another error: %v", err)
	}
}

// A second name of another file, put where the new one is written, is not written to.
func TestReplaceWritesToNoOtherFile(t *testing.T) {
	path, digest := newFile(t, "old")
	target := filepath.Join(filepath.Dir(path), "target")
	if err := errors.Join(os.WriteFile(target, []byte("precious"), Mode), os.Link(target, path+".new")); err != nil {
		t.Fatal(err)
	}
	if Replace(path, digest, []byte("new")) == nil {
		t.Error("it was written to")
	}
	wantContent(t, "target", target, "precious")
	wantContent(t, "link", path, "old")
}
