package trust

import (
	"errors"
	"os"
	"syscall"
)

// sharingViolation is ERROR_SHARING_VIOLATION: another handle has the file.
const sharingViolation syscall.Errno = 32

// tryLock opens the file for this handle alone, or returns errLocked. It opens a link itself instead of
// following it, and refuses it. The system closes the file when the process ends in any way.
func tryLock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL|syscall.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if errors.Is(err, sharingViolation) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	var info syscall.ByHandleFileInformation
	if err = syscall.GetFileInformationByHandle(h, &info); err == nil &&
		info.FileAttributes&syscall.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		err = errIsLink(path)
	}
	if err != nil {
		_ = syscall.CloseHandle(h)
		return nil, err
	}
	return func() { _ = syscall.CloseHandle(h) }, nil
}

// openNoFollow opens the file for reading. Making a link takes a privilege on Windows. checkOwn then
// refuses a link.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }
