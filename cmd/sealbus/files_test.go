package main

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
)

// Files with secrets that others may read or write are told, on standard error, and used.
func TestSharedSecretsAreTold(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("modes say nothing here")
	}
	b := clitest.New(t)
	ring, root := b.Path("ring"), b.Path("alice")
	b.Must("", "keys", "new", "--producer", "shop", "--keyring", ring, "--insecure-no-passphrase")
	b.Must("", "trust", "root", "new", "--out", root, "--insecure-no-passphrase")
	b.Must("", "trust", "roots", root+".pub", "--out", b.Path("roots.json"))
	secret, link := b.Path("secret"), b.Path("link")
	b.Check(os.WriteFile(secret, []byte("correct horse\n"), 0o600))
	b.Check(os.Symlink(ring, link))
	for _, c := range []struct {
		file string
		args []string
		code int
	}{
		{ring, []string{"keys", "list", "--keyring", ring, "--insecure-no-passphrase"}, 0},
		{ring, []string{"keys", "list", "--keyring", link, "--insecure-no-passphrase"}, 0},
		{root, []string{"trust", "sign", "--root", root, "--insecure-no-passphrase", b.Path("roots.json")},
			0},
		// it is not encrypted
		{secret, []string{"keys", "list", "--keyring", ring, "--passphrase-file", secret}, ui.ExitUsage},
	} {
		for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true,
			0o602: true, 0o666: true} {
			b.Check(os.Chmod(c.file, mode))
			r := b.Run("", c.args...)
			if told := strings.Contains(r.Stderr,
				"warning: others than its owner have access to"); told != warned || r.Code != c.code {
				t.Errorf("%s of mode %o: exit %d\n%s", c.args[:2], mode, r.Code, r.Stderr)
			}
		}
		b.Check(os.Chmod(c.file, 0o600))
	}
}
