//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package trust

import (
	"errors"
	"os"
	"syscall"

	"github.com/sealbus/sealbus/internal/privatefile"
)

// tryLock locks the file, or returns errLocked. The kernel unlocks it when the process ends in any way.
func tryLock(path string) (unlock func(), err error) {
	f, err := openOwn(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	err = checkOwn(f, path)
	if err == nil {
		err = flock(f)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil // which unlocks
}

func flock(f *os.File) error {
	err := error(syscall.EINTR)
	for errors.Is(err, syscall.EINTR) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	return err
}

// openNoFollow opens the file for reading.
func openNoFollow(path string) (*os.File, error) { return openOwn(path, os.O_RDONLY) }

// openOwn opens a file. It does not follow a link at the end of the path, and does not wait for the other end
// of a pipe.
func openOwn(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, privatefile.Mode)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) { // EMLINK: FreeBSD
		return nil, errIsLink(path)
	}
	return f, err
}
