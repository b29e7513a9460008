//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"errors"
	"os"
	"path/filepath"
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
