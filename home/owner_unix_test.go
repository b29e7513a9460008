//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package home_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sealbus/sealbus/home"
)

// Root that looks at the home of a user, and renews its timestamp, leaves all of it to that user.
func TestRootLeavesAHomeToItsUser(t *testing.T) {
	m := newHome(t)
	give := func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, 12345, 12345)
	}
	if err := filepath.WalkDir(m.dir, give); err != nil {
		t.Skipf("this user cannot give a file away: %v", err)
	}
	h, err := home.Open(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	if renewed, err := h.Renew(t.Context(), time.Now().Add(6*24*time.Hour)); err != nil || !renewed {
		t.Fatalf("renewed: %t, %v", renewed, err)
	}
	for range 2 { // the state is new, and then replaced
		if _, err := h.Trust(func() time.Time { return time.Now().Add(6 * 24 * time.Hour) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := home.MarkMadeHere(m.dir); err != nil {
		t.Fatal(err)
	}
	unlock, err := h.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, name := range []string{"state/lock", "state/trust", "state/trust.lock"} {
		if _, err := os.Lstat(m.path(name)); err != nil {
			t.Errorf("the test is blind: %v", err)
		}
	}
	err = filepath.WalkDir(m.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != 12345 {
			t.Errorf("%s is root's", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
