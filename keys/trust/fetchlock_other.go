//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package trust

import (
	"errors"
	"os"
)

// tryLock fails. Without a lock that ends with its process, two processes could lower the version in the
// file.
func tryLock(string) (unlock func(), err error) {
	return nil, errors.New("state files are not supported on this system: use MinVersion")
}

// openNoFollow opens the file for reading. checkOwn then refuses a link.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }
