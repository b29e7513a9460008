//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package trust

import (
	"errors"
	"os"
)

// tryLock: without a lock that ends with its process, two processes could lower what the file remembers.
func tryLock(string) (unlock func(), err error) {
	return nil, errors.New("state files are not supported on this system: use MinVersion")
}

// openNoFollow opens the file for reading. That it was no link is checked afterwards.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }
