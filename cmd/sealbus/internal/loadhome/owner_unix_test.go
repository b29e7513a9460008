//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package loadhome_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
)

// Commands that root runs in the home of a user leave its files to that user. Only a key that root makes
// there is root's.
func TestRootTakesNoFileOfAHome(t *testing.T) {
	b, _, dir := newHome(t)
	walk := func(do func(path string) error) error {
		return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return do(path)
		})
	}
	if err := walk(func(path string) error { return os.Chown(path, 12345, 12345) }); err != nil {
		t.Skipf("this user cannot give a file away: %v", err)
	}
	sealed := b.Must(order, "seal", "--home", dir)
	b.Must(sealed, "open", "--home", dir)
	id, err := clitest.JSONMember(b.Must("", "keys", "list", "--home", dir, "--output", "json"), "keys.0.key_id")
	b.Check(err)
	b.Must("", "keys", "rotate", "--home", dir, "--at", "now", "--apply")
	b.Must("", "trust", "add", "--home", dir)
	b.Must("", "trust", "build", "--home", dir, "--insecure-schedule", "orders")
	b.Must("", "trust", "timestamp", "--home", dir)
	b.Must("", "trust", "revoke", "--home", dir, "--reason", "stolen", "--", id)
	b.Must("", "init", "mailer", "--consumer", "--dir", dir)
	b.Check(walk(func(path string) error {
		info, err := os.Lstat(path)
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != 12345 && filepath.Base(path) != "mailer.keyring" {
			t.Errorf("%s is root's", path)
		}
		return err
	}))
}
