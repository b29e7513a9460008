package loadhome

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/cmd/sealbus/internal/ui"
	"github.com/sealbus/sealbus/internal/keydoc"
	"github.com/sealbus/sealbus/keys"
)

// maxPublicFiles bounds the directory of public keys.
const maxPublicFiles = 4_000

// PublicFiles are the files with public keys in a directory, by name.
func PublicFiles(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, ui.OpenFailed(dir, err)
	}
	var files []string
	for _, e := range list {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) > maxPublicFiles {
		return nil, ui.WrongFile("check the directory", "%s has more than %d files", dir, maxPublicFiles)
	}
	return files, nil
}

// PublicKeys are the public keys in a directory, each once.
func PublicKeys(env *ui.Env, dir string) (list []keys.PublicKey, err error) {
	files, err := PublicFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		doc, err := env.ReadFile(path, keydoc.MaxBundle)
		if err != nil {
			return nil, err
		}
		found, err := keys.ParseJWKSet(doc)
		if err != nil {
			return nil, ui.WrongFile("move it away: the directory is for public keys as `sealbus keys export` writes them",
				"%s: %w", path, err)
		}
		for _, k := range found {
			if !slices.ContainsFunc(list, func(o keys.PublicKey) bool { return o.KeyID() == k.KeyID() }) {
				list = append(list, k)
			}
		}
	}
	return list, nil
}
