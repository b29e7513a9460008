package trust

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/testbed/secrettest"
	"github.com/sealbus/sealbus/keys"
)

func TestRootKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "root")
	for _, alg := range []keys.Algorithm{keys.Ed25519, keys.ES256} {
		path := path + string(alg)
		k, err := CreateRootKey(path, passphrase, alg, &cheap)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		public, err := os.ReadFile(path + keydoc.PublicSuffix)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := keys.ParseJWK(public); err != nil || v.KeyID() != k.Verifier().KeyID() {
			t.Errorf("public half %s: %v", public, err)
		}
		back, err := OpenRootKey(path, passphrase, nil)
		if err != nil || back.Verifier().KeyID() != k.Verifier().KeyID() {
			t.Error(err)
		}
		if _, err := OpenRootKey(path, "wrong", nil); !errors.Is(err, keys.ErrPassphrase) {
			t.Errorf("wrong passphrase: %v", err)
		}
		if _, err := keys.OpenKeyring(path, passphrase, nil); err == nil {
			t.Error("a root key opens as a keyring")
		}
		if _, err := CreateRootKey(path, passphrase, alg, &cheap); !errors.Is(err, fs.ErrExist) {
			t.Errorf("an existing root key: %v", err)
		}
		if err := os.Remove(path + keydoc.PublicSuffix); err != nil {
			t.Fatal(err)
		}
		if _, err := CreateRootKey(path, passphrase, alg, &cheap); !errors.Is(err, fs.ErrExist) {
			t.Errorf("an existing root key without its public half: %v", err)
		}
		if _, err := os.Stat(path + keydoc.PublicSuffix); err == nil {
			t.Error("a refused root key left a public half of another key")
		}
	}
	if k, err := CreateRootKey(path, "", keys.Ed25519,
		&keys.PrivateFileOptions{InsecureNoPassphrase: true}); err != nil {
		t.Error(err)
	} else if back,
		err := OpenRootKey(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true}); err != nil ||
		back.Verifier().KeyID() != k.Verifier().KeyID() {
		t.Error(err)
	}
}

// A root key is not shown by whatever prints it, nor by the error of a file in which it stands elsewhere.
func TestRootKeyIsNotShown(t *testing.T) {
	for _, alg := range keys.Algorithms() {
		root, err := GenerateRootKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		jwk, err := root.signer.UnsafePrivateJWK()
		if err != nil {
			t.Fatal(err)
		}
		encoded := regexp.MustCompile(`"(?:d|priv)":"([^"]*)"`).FindSubmatch(jwk)[1]
		d, err := base64.RawURLEncoding.DecodeString(string(encoded))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]any{
			"root": root, "root value": *root, "slice": []any{root},
			"pointer to struct": &struct{ r RootKey }{*root},
		} {
			for _, text := range secrettest.Prints(v) {
				secrettest.NotShown(t, name, text, d, passphrase)
			}
		}
	}
	root := mustRoot(t)
	plain, err := root.plain()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "private")
	secrettest.Misplace(t, plain, func(doc []byte) error {
		if err := os.WriteFile(path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenRootKey(path, "", &keys.PrivateFileOptions{InsecureNoPassphrase: true})
		return err
	})
}
