//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package privatefile

import (
	"errors"
	"fmt"
	"os"
)

// openLocked makes the file, which must not be there: this system has no lock that ends with its process. A
// killed process leaves the file, and a person must remove it.
func openLocked(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, Mode)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%w. If it was killed at it, remove the file", ErrLocked)
	}
	return f, err
}

// removeLocked removes the file, which must be closed for that.
func removeLocked(f *os.File, path string) {
	_ = f.Close()
	_ = os.Remove(path)
}

// rename puts the open file in the place of another. Here a file must be closed to be renamed.
func rename(f *os.File, from, to string) error { return errors.Join(f.Close(), os.Rename(from, to)) }

// keepOwner does nothing: a new file has the access rights of its directory.
func keepOwner(*os.File, string) error { return nil }
