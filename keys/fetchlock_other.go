//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package keys

import "errors"

// tryLock: without a lock that ends with its process, two processes could lower what the file remembers.
func tryLock(string) (unlock func(), err error) {
	return nil, errors.New("state files are not supported on this system: use MinVersion")
}
