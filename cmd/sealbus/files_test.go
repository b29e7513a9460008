package main

import (
	"os"
	"runtime"
	"strings"
	"testing"
)

// Files with secrets that others may read or write are told, on standard error, and used.
func TestSharedSecretsAreTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	b := newBench(t)
	ring, root := b.path("ring"), b.path("alice")
	b.must("", "keys", "new", "--producer", "shop", "--keyring", ring, "--insecure-no-passphrase")
	b.must("", "trust", "root", "new", "--out", root, "--insecure-no-passphrase")
	b.must("", "trust", "roots", root+".pub", "--out", b.path("roots.json"))
	secret, link := b.path("secret"), b.path("link")
	b.check(os.WriteFile(secret, []byte("correct horse\n"), 0o600))
	b.check(os.Symlink(ring, link))
	for _, c := range []struct {
		file string
		args []string
		code int
	}{
		{ring, []string{"keys", "list", "--keyring", ring, "--insecure-no-passphrase"}, 0},
		{ring, []string{"keys", "list", "--keyring", link, "--insecure-no-passphrase"}, 0},
		{root, []string{"trust", "sign", "--root", root, "--insecure-no-passphrase", b.path("roots.json")}, 0},
		{secret, []string{"keys", "list", "--keyring", ring, "--passphrase-file", secret}, exitUsage}, // it is not encrypted
	} {
		for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o602: true, 0o666: true} {
			b.check(os.Chmod(c.file, mode))
			r := b.run("", c.args...)
			if told := strings.Contains(r.stderr, "warning: others than its owner have access to"); told != warned || r.code != c.code {
				t.Errorf("%s of mode %o: exit %d\n%s", c.args[:2], mode, r.code, r.stderr)
			}
		}
		b.check(os.Chmod(c.file, 0o600))
	}
}
