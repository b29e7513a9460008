//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockTries bounds how often a file is opened that others rename away at that moment.
const lockTries = 100

// openLocked opens the file, which a killed process may have left, and locks it, or returns ErrLocked. The
// kernel unlocks it when the process ends in any way.
func openLocked(path string) (*os.File, error) {
	for range lockTries {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, Mode)
		if err != nil {
			return nil, err
		}
		err = flock(f)
		if err == nil {
			var is bool
			if is, err = isAt(f, path); err == nil && is {
				return f, nil
			}
		}
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, ErrLocked
}

func flock(f *os.File) error {
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	return err
}

// isAt reports whether the open file still has that name. Another process may have put it in the place of the
// file that it replaced.
func isAt(f *os.File, path string) (bool, error) {
	is, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !is.Mode().IsRegular() {
		return false, fmt.Errorf("%s is not a regular file", path)
	}
	if s, ok := is.Sys().(*syscall.Stat_t); ok && s.Nlink > 1 { // it may be a file of another user
		return false, fmt.Errorf("%s has another name, too: remove it", path)
	}
	named, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(is, named), err
}

// removeLocked removes the file, and then unlocks it: another process may wait for it under that name.
func removeLocked(f *os.File, path string) {
	_ = os.Remove(path)
	_ = f.Close()
}

// rename puts the open file in the place of another.
func rename(_ *os.File, from, to string) error { return os.Rename(from, to) }

// keepOwner gives the new file the owner and the group of the one that it replaces: root may have been asked
// to change a file of the program that reads it.
func keepOwner(f *os.File, path string) error {
	was, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // the file is new
	} else if err != nil {
		return err
	}
	is, err := f.Stat()
	if err != nil {
		return err
	}
	of, isUnix := was.Sys().(*syscall.Stat_t)
	now, _ := is.Sys().(*syscall.Stat_t)
	if !isUnix || of.Uid == now.Uid && of.Gid == now.Gid {
		return nil
	}
	if of.Uid == now.Uid { // the mode gives the group nothing
		_ = f.Chown(-1, int(of.Gid))
		return nil
	}
	return f.Chown(int(of.Uid), int(of.Gid))
}
