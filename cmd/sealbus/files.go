package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/sealbus/sealbus/internal/filekind"
	"github.com/sealbus/sealbus/internal/privatefile"
)

const (
	privateFile fs.FileMode = 0o600
	publicFile  fs.FileMode = 0o644
)

// readFile reads a file of at most limit bytes. Standard input is "-".
func (a *app) readFile(path string, limit int) ([]byte, error) {
	if path == "-" {
		return a.readStdin(limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, openFailed(path, err)
	}
	defer func() { _ = f.Close() }() // was only read
	return readBounded(f, path, limit)
}

// readStdin reads standard input, of at most limit bytes.
func (a *app) readStdin(limit int) ([]byte, error) {
	return readBounded(a.stdin, "standard input", limit)
}

func readBounded(r io.Reader, name string, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, openFailed(name, err)
	case len(data) > limit:
		return nil, wrongFile("check that this is the file you mean", "%s has more than %d bytes", name, limit)
	case len(data) == 0:
		return nil, wrongFile("check what should have written it", "%s is empty", name)
	}
	return data, nil
}

func openFailed(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return wrongFile("check the path", "%s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		return wrongFile("check who may read it", "%s may not be read", path)
	case errors.Is(err, syscall.EISDIR):
		return wrongFile("name the file", "%s is a directory", path)
	case isPathError(err):
		return wrongFile("check the path", "reading %s: %w", path, cause(err))
	}
	return unavailable("check the file and try again", "reading %s: %w", path, cause(err))
}

// cause strips the operation and the path that are named beside it anyway.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// nameOf is what people call the input.
func nameOf(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// checkPrivateFile refuses what cannot be a private file before a passphrase is typed for nothing.
func checkPrivateFile(path, fix string) error {
	switch info, err := os.Stat(path); {
	case !exists(path):
		return wrongFile(fix, "%s does not exist", path)
	case err == nil && info.IsDir():
		return wrongFile("name the file", "%s is a directory", path)
	case err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return wrongFile("check what should have written it", "%s is empty", path)
	}
	return nil
}

// checkProtected refuses a private file that is another kind of file, or that is not protected as the flags
// say. It comes before a passphrase is typed for nothing, and before the advice to hide a public file from
// others.
func (a *app) checkProtected(path string, f *privateFlags) error {
	if !isRegular(path) {
		return nil // a pipe can be read once only
	}
	doc, err := a.readFile(path, privatefile.MaxSize)
	if err != nil {
		return err
	}
	defer clear(doc)
	switch is := filekind.Of(doc); {
	case is == filekind.Encrypted && f.insecure && f.passphraseFile == "":
		return wrongFile("leave --insecure-no-passphrase out, and you are asked for it",
			"%s is encrypted: give its passphrase", path)
	case is == filekind.JWK || is == filekind.JWKSet:
		return wrongFile("give the file that has the private keys", "%s is %s", path, is)
	case (is == filekind.Keyring || is == filekind.RootKey) && !f.insecure && f.passphraseFile == "":
		return usage("add --insecure-no-passphrase, if it is meant to be kept without a passphrase",
			"%s is %s, and is not encrypted", path, is)
	}
	return nil
}

// checkObject says in plain words what a parser would say with an offset.
func checkObject(doc []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		return errors.New("this is not a JSON object")
	}
	return nil
}

// exists reports whether something has that name.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isRegular reports whether it is a file that can be read more than once.
func isRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// warnShared warns of a file with a secret that others than its owner may read or change. Not of pipes, nor
// where modes say nothing.
func (a *app) warnShared(path string) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return
	}
	a.warnf("others than its owner have access to %s (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
}

// createFile writes a new file and refuses to touch one that exists.
func createFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fileExists(path)
	}
	if err == nil {
		if err = writeAndClose(f, data); err != nil {
			_ = os.Remove(path) // half a file helps nobody
		}
	}
	if isPathError(err) {
		return wrongFile("check the directory, and who may write there", "writing %s: %w", path, cause(err))
	}
	if err != nil {
		return unavailable("check the space on the disk and try again", "writing %s: %w", path, cause(err))
	}
	return nil
}

func fileExists(path string) error {
	return usage("choose another name, or move the old file away first", "%s exists already and is not overwritten", path)
}

func writeAndClose(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile puts data in the place of a file whose content was old, all or nothing, with its mode. If the
// content is another one by now, somebody else's change would be lost, and it is refused.
func replaceFile(path string, old, data []byte) error {
	target, err := filepath.EvalSymlinks(path) // a link stays a link
	if err != nil {
		return openFailed(path, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return openFailed(path, err)
	}
	path = target
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if exists(temporary) {
		return unavailable("run it again; if nobody is at it, remove "+temporary, "%s is being changed by another command, or one was killed at it", path)
	}
	if err := createFile(temporary, data, info.Mode().Perm()); err != nil {
		return err
	}
	if err := swap(temporary, path, old); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

func swap(temporary, path string, old []byte) error {
	now, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(now, old) {
		return unavailable("run the command again", "%s was changed by somebody else meanwhile", path)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if isPathError(err) {
		return wrongFile("check the directory, and who may write there", "replacing %s: %w", path, cause(err))
	}
	if err != nil {
		return unavailable("check the space on the disk and try again", "replacing %s: %w", path, cause(err))
	}
	return nil
}

// inFile names the file that was refused, once.
func inFile(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }
