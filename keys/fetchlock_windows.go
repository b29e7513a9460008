package keys

import (
	"errors"
	"syscall"
)

// sharingViolation is ERROR_SHARING_VIOLATION: another handle has the file.
const sharingViolation syscall.Errno = 32

// tryLock opens the file for this handle alone, or is errLocked. The system closes it when the process ends, however that is.
func tryLock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = syscall.CloseHandle(h) }, nil
}
