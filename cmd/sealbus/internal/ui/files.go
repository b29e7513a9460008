package ui

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
)

const (
	PrivateFile fs.FileMode = 0o600
	PublicFile  fs.FileMode = 0o644
)

// ReadFile reads a file of at most limit bytes. Standard input is "-".
func (env *Env) ReadFile(path string, limit int) ([]byte, error) {
	if path == "-" {
		return env.readStdin(limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, OpenFailed(path, err)
	}
	defer func() { _ = f.Close() }() // was only read
	return readBounded(f, path, limit)
}

// readStdin reads standard input, of at most limit bytes.
func (env *Env) readStdin(limit int) ([]byte, error) {
	return readBounded(env.Stdin, "standard input", limit)
}

func readBounded(r io.Reader, name string, limit int) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	switch {
	case err != nil:
		return nil, OpenFailed(name, err)
	case len(data) > limit:
		return nil, WrongFile("check that this is the file you mean", "%s has more than %d bytes", name,
			limit)
	case len(data) == 0:
		return nil, WrongFile("check what should have written it", "%s is empty", name)
	}
	return data, nil
}

func OpenFailed(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return WrongFile("check the path", "%s does not exist", path)
	case errors.Is(err, fs.ErrPermission):
		return WrongFile("check who may read it", "%s may not be read", path)
	case errors.Is(err, syscall.EISDIR):
		return WrongFile("name the file", "%s is a directory", path)
	case IsPathError(err):
		return WrongFile("check the path", "reading %s: %w", path, Cause(err))
	}
	return Unavailable("check the file and try again", "reading %s: %w", path, Cause(err))
}

// Cause strips the operation and the path that are named beside it anyway.
func Cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// NameOf is what people call the input.
func NameOf(path string) string {
	if path == "-" {
		return "standard input"
	}
	return path
}

// CheckObject says in plain words what a parser would say with an offset.
func CheckObject(doc []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(doc), []byte("{")) {
		return errors.New("this is not a JSON object")
	}
	return nil
}

// Exists reports whether something has that name.
func Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// IsRegular reports whether it is a file that can be read more than once.
func IsRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// WarnShared warns of a file with a secret that others than its owner may read or change. Not of pipes, nor
// where modes say nothing.
func (env *Env) WarnShared(path string) {
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return
	}
	env.Warnf("others than its owner have access to %s (mode %04o): chmod 600 %s", path, info.Mode().Perm(),
		ShellQuote(path))
}

// CreateFile writes a new file and refuses to touch one that exists.
func CreateFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return FileExists(path)
	}
	if err == nil {
		if err = writeAndClose(f, data); err != nil {
			_ = os.Remove(path) // half a file is of no use
		}
	}
	if IsPathError(err) {
		return WrongFile("check the directory, and who may write there", "writing %s: %w", path, Cause(err))
	}
	if err != nil {
		return Unavailable("check the space on the disk and try again", "writing %s: %w", path, Cause(err))
	}
	return nil
}

func FileExists(path string) error {
	return Usage("choose another name, or move the old file away first",
		"%s exists already and is not overwritten", path)
}

func writeAndClose(f *os.File, data []byte) error {
	_, err := f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReplaceFile puts data in the place of a file whose content was old, all or nothing, with its mode. If the
// content is another one by now, another person's change would be lost, and it is refused.
func ReplaceFile(path string, old, data []byte) error {
	target, err := filepath.EvalSymlinks(path) // a link stays a link
	if err != nil {
		return OpenFailed(path, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return OpenFailed(path, err)
	}
	path = target
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if Exists(temporary) {
		return Unavailable("run it again; if no command is changing it, remove "+
			temporary, "%s is being changed by another command, or one was killed at it", path)
	}
	if err := CreateFile(temporary, data, info.Mode().Perm()); err != nil {
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
		return Unavailable("run the command again", "%s was changed by another program meanwhile", path)
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if IsPathError(err) {
		return WrongFile("check the directory, and who may write there", "replacing %s: %w", path, Cause(err))
	}
	if err != nil {
		return Unavailable("check the space on the disk and try again", "replacing %s: %w", path, Cause(err))
	}
	return nil
}

// InFile names the file that was refused, once.
func InFile(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }
