package loadkeys

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/jsontext"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/internal/privatefile"
)

// CheckPrivateFile refuses what cannot be a private file before a passphrase is typed for nothing.
func CheckPrivateFile(path, fix string) error {
	switch info, err := os.Stat(path); {
	case !ui.Exists(path):
		return ui.WrongFile(fix, "%s does not exist", path)
	case err == nil && info.IsDir():
		return ui.WrongFile("name the file", "%s is a directory", path)
	case err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return ui.WrongFile("check what should have written it", "%s is empty", path)
	}
	return nil
}

// CheckProtected refuses a private file that is another kind of file, or that is not protected as the flags
// say. It comes before a passphrase is typed for nothing, and before the advice to hide a public file from
// others.
func CheckProtected(env *ui.Env, path string, f *PrivateFlags) error {
	if !ui.IsRegular(path) {
		return nil // a pipe can be read once only
	}
	doc, err := env.ReadFile(path, privatefile.MaxSize)
	if err != nil {
		return err
	}
	defer clear(doc)
	switch is := filekind.Of(doc); {
	case (is == filekind.JWK || is == filekind.JWKSet) && !json.Valid(doc): // the private half may be cut off
		return ui.WrongFile("give an undamaged copy of it",
			"%s is damaged or cut off: it is not complete JSON", path)
	case is == filekind.Encrypted && f.Insecure && f.PassphraseFile == "":
		return ui.WrongFile("leave --insecure-no-passphrase out, and you are asked for it",
			"%s is encrypted: give its passphrase", path)
	case is == filekind.JWK || is == filekind.JWKSet:
		return ui.WrongFile("give the file that has the private keys", "%s is %s", path, is)
	case (is == filekind.Keyring || is == filekind.RootKey) && !f.Insecure && f.PassphraseFile == "":
		return ui.Usage("add --insecure-no-passphrase, if it is meant to be kept without a passphrase",
			"%s is %s, and is not encrypted", path, is)
	}
	return nil
}

// splitJWKs is the JWKs of a set, or the one that stands alone.
func splitJWKs(data []byte) ([][]byte, error) {
	r := jsontext.NewDecoder(data)
	var docs [][]byte
	isSet := false
	for obj := r.Object(); r.Member(&obj); {
		if string(obj.Name) != "keys" {
			r.SkipValue()
			continue
		}
		isSet = true
		for a := r.Array(); r.Element(&a); {
			docs = append(docs, r.ReadValue())
		}
	}
	switch err := r.End(); {
	case err != nil:
		return nil, err
	case !isSet:
		return [][]byte{data}, nil
	case len(docs) == 0:
		return nil, errors.New("a JWK Set without keys")
	case len(docs) > keydoc.MaxKeys:
		return nil, fmt.Errorf("more than %d keys", keydoc.MaxKeys)
	}
	return docs, nil
}

// hasMember reports whether doc is an object with that member.
func hasMember(doc []byte, name string) bool {
	found := false
	r := jsontext.NewDecoder(doc)
	for obj := r.Object(); r.Member(&obj); r.SkipValue() {
		found = found || string(obj.Name) == name
	}
	return found
}
