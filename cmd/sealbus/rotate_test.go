package main

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/clitest"
	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/keys"
)

// newRing makes a keyring of producer orders with one key.
func newRing(b *clitest.Bench) (flags []string, open func() *keys.Keyring) {
	b.T.Helper()
	b.Must("", "keys", "new", "--producer", "orders", "--keyring", b.Path("o.keyring"), "--insecure-no-passphrase")
	return []string{"--keyring", b.Path("o.keyring"), "--insecure-no-passphrase"}, func() *keys.Keyring {
		ring, err := keys.OpenKeyring(b.Path("o.keyring"), "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
		b.Check(err)
		return ring
	}
}

// Several runs at once make one key. A run that comes too late is told to try again.
func TestRotateAtOnce(t *testing.T) {
	b := clitest.New(t)
	flags, open := newRing(b)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 8 {
		wg.Go(func() {
			r := b.Run("", append([]string{"keys", "rotate", "--apply", "--output", "json"}, flags...)...)
			mu.Lock()
			defer mu.Unlock()
			var out struct{ Applied *struct{ Action string } }
			switch {
			case r.Code == ui.ExitDone:
				b.Check(json.Unmarshal([]byte(r.Stdout), &out))
				if out.Applied != nil {
					made++
				}
			case r.Code != ui.ExitUnavailable || !strings.Contains(r.Stdout, "run the command again"):
				t.Errorf("exit %d: %s%s", r.Code, r.Stdout, r.Stderr)
			}
		})
	}
	wg.Wait()
	ring := open()
	if n := len(ring.PublicKeys()); made != 1 || n != 2 {
		t.Errorf("%d runs made a key, and there are %d keys", made, n)
	}
	if _, err := ring.Signers(b.Now); err != nil {
		t.Error(err)
	}
}

// Whatever a killed run left beside the keyring, the keyring opens and the plan goes on.
func TestRotateAfterAKill(t *testing.T) {
	for name, left := range map[string]func(content []byte) []byte{
		"nothing written": func([]byte) []byte { return nil },
		"half":            func(content []byte) []byte { return content[:len(content)/2] },
		"whole":           func(content []byte) []byte { return content },
	} {
		b := clitest.New(t)
		flags, open := newRing(b)
		content, err := os.ReadFile(b.Path("o.keyring"))
		b.Check(err)
		b.Check(os.WriteFile(b.Path("o.keyring.new"), left(content), 0o600))
		rotate := append([]string{"keys", "rotate", "--apply"}, flags...)
		b.Must("", rotate...)
		if n := len(open().PublicKeys()); n != 2 {
			t.Errorf("%s: %d keys", name, n)
		}
		b.Now = b.Now.Add(60 * 24 * time.Hour)
		b.Must("", rotate...) // prunes
		if n := len(open().PublicKeys()); n != 1 {
			t.Errorf("%s: %d keys after the last step", name, n)
		}
		if ui.Exists(b.Path("o.keyring.new")) {
			t.Errorf("%s: it is still there", name)
		}
	}
}

// A secret that is gone cannot be had back, so the machine's clock must agree that it has expired.
func TestRotateRemovesNothingAhead(t *testing.T) {
	b := clitest.New(t)
	flags, open := newRing(b)
	rotate := append([]string{"keys", "rotate", "--apply"}, flags...)
	b.Must("", rotate...)
	ahead := b.Now.Add(60 * 24 * time.Hour).Format(time.RFC3339)
	r := b.Run("", append(rotate, "--now", ahead)...)
	if n := len(open().PublicKeys()); r.Code != ui.ExitUsage || n != 2 || !strings.Contains(r.Stderr, "leave --now out") {
		t.Errorf("exit %d, %d keys: %s%s", r.Code, n, r.Stdout, r.Stderr)
	}
	b.Must("", append(append([]string{"keys", "rotate"}, flags...), "--now", ahead)...) // the plan
}
