//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

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

// handOver gives a file that root made to the user whose file it is to replace. If it replaces none, it is
// for the user whose directory it is in. Others than root keep what they make.
func handOver(f *os.File, place string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	is, err := f.Stat()
	if err != nil {
		return err
	}
	was, err := os.Lstat(place)
	if err == nil && !os.SameFile(is, was) {
		return keepOwner(f, place)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, err := os.Stat(filepath.Dir(place))
	if err != nil {
		return err
	}
	of, isUnix := dir.Sys().(*syscall.Stat_t)
	now, _ := is.Sys().(*syscall.Stat_t)
	if isUnix && now.Uid == 0 && of.Uid != 0 {
		_ = f.Chown(int(of.Uid), int(of.Gid)) // a root in a container may not, and nothing is taken away
	}
	return nil
}

// MakeDir makes a directory. One that root makes becomes that of the user in whose directory it is.
func MakeDir(path string, mode os.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	d, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := d.Readdirnames(1); !errors.Is(err, io.EOF) {
		return err // another one was put in its place
	}
	return handOver(d, path)
}

// OpenOrMake opens a file that locks, or makes it. One that root makes becomes that of the user whose
// directory it is in. It does not follow a link at the end of the path, and does not wait for the other end of
// a pipe.
func OpenOrMake(path string) (*os.File, error) {
	const how = os.O_RDWR | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
	for range lockTries {
		f, err := os.OpenFile(path, how, 0)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, Denied(path, err)
		}
		f, err = os.OpenFile(path, how|os.O_CREATE|os.O_EXCL, Mode)
		if errors.Is(err, fs.ErrExist) {
			continue // another process was faster
		}
		if err == nil {
			err = handOver(f, path)
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		return f, nil
	}
	return nil, ErrLocked
}

// Denied says whose file it is, if this user may not open it because it is another's.
func Denied(path string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	info, statErr := os.Lstat(path)
	if statErr != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if me := os.Geteuid(); ok && int64(s.Uid) != int64(me) {
		return fmt.Errorf("%w: the file belongs to user %d, and this is user %d: keep it, and have root give it to "+
			"this user (chown)", err, s.Uid, me)
	}
	return err
}
