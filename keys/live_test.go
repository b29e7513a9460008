package keys_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealbus/sealbus/keys"
	"github.com/sealbus/sealbus/keys/keystest"
)

func TestKeyringFile(t *testing.T) {
	keystest.TestKeyringFetch(t, func(t testing.TB, first []byte) (keys.KeyringFetch, func([]byte)) {
		path := filepath.Join(t.TempDir(), "live")
		publish := func(content []byte) {
			t.Helper()
			err := os.Remove(path)
			if content != nil {
				beside := path + "2"
				err = errors.Join(os.WriteFile(beside, content, 0o600), os.Rename(beside, path))
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Error(err)
			}
		}
		publish(first)
		return keys.KeyringFile(path), publish
	})
}

func TestWatchKeyringRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	_, err := keys.CreateKeyring(path, "", "orders", &keys.KeyringOptions{
		PrivateFileOptions: keys.PrivateFileOptions{InsecureNoPassphrase: true}, Key: keystest.Signer(t, keys.Ed25519, "orders", "a")})
	if err != nil {
		t.Fatal(err)
	}
	insecure := &keys.WatchOptions{InsecureNoPassphrase: true}
	for name, call := range map[string]func() error{
		"no function":   func() error { _, err := keys.WatchKeyring(t.Context(), nil, "p", nil); return err },
		"no passphrase": func() error { _, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(path), "", nil); return err },
		"two words": func() error {
			_, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(path), "p", insecure)
			return err
		},
		"not encrypted": func() error { _, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(path), "p", nil); return err },
		"a directory": func() error {
			_, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(filepath.Dir(path)), "p", nil)
			return err
		},
		"negative times": func() error {
			_, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(path), "p", &keys.WatchOptions{Timeout: -1})
			return err
		},
	} {
		if call() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	live, err := keys.WatchKeyring(t.Context(), keys.KeyringFile(path), "", insecure)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, live); !strings.HasPrefix(text, "LiveKeyring(orders: ") ||
			!strings.HasSuffix(text, "[redacted])") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if err := live.Keyring().Add(keystest.Signer(t, keys.Ed25519, "orders", "b"), keys.Schedule{}); err == nil {
		t.Error("the keyring of a live source was changed")
	}
}
