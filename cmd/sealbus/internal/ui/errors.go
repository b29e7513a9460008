package ui

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// AsExit is err as the command reports it.
func AsExit(err error) *Error {
	if e, ok := err.(*Error); ok {
		return e
	}
	return &Error{Code: ExitUnavailable, Err: err, Fix: "try again"}
}

// The exit statuses. A script repeats a command that ended with exitUnavailable, and no other.
const (
	ExitDone     = 0
	ExitRejected = 1 // the input was judged, and is refused
	// the command has to be changed, or what it names: a flag, a file, a passphrase, a permission
	ExitUsage       = 2
	ExitUnavailable = 3   // what it needs did not answer, or could not be read or written: try again
	ExitDue         = 4   // of commands that look whether anything must be seen to
	ExitInterrupted = 130 // Ctrl-C, as shells have it
)

// ExitWord is an exit status for programs: the member "error".
func ExitWord(code int) string {
	switch code {
	case ExitRejected:
		return "rejected"
	case ExitUsage:
		return "usage"
	case ExitUnavailable:
		return "unavailable"
	case ExitDue:
		return "due"
	case ExitInterrupted:
		return "interrupted"
	}
	return ""
}

// Error ends a run with a status. Without err, everything has been said already.
type Error struct {
	Code   int
	Reason string // one stable word for programs, "" = none
	Err    error
	Fix    string // one line: what to do
	Needed bool   // it is about a file that the command needs, not about how it was called
	Later  bool   // the file is refused now, and may have a successor the next time
}

func (e *Error) Error() string {
	if e.Err == nil {
		return ExitWord(e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Usage is the error of a call that cannot be meant.
func Usage(fix, format string, args ...any) error { return failure(ExitUsage, fix, format, args...) }

// Rejected is the error of input that was judged, and is refused.
func Rejected(fix, format string, args ...any) error {
	return failure(ExitRejected, fix, format, args...)
}

// WrongFile is the error of a file that a command needs: it is missing, may not be read, or is another one
// than is meant.
func WrongFile(fix, format string, args ...any) error {
	return &Error{Code: ExitUsage, Err: fmt.Errorf(format, args...), Fix: fix, Needed: true}
}

// Unavailable is the error of what could not be read, written or judged now, and may be another time.
func Unavailable(fix, format string, args ...any) error {
	return failure(ExitUnavailable, fix, format, args...)
}

// Ended is the error of a run whose result, already written, is not exitDone.
func Ended(code int) error {
	if code == ExitDone {
		return nil
	}
	return &Error{Code: code}
}

func failure(code int, fix, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...), Fix: fix}
}

// AsNeeded turns the rejection of what a command needs, in order to judge something else, into a wrong file:
// a broken trust bundle says nothing about an event. A bundle that is only too old may have a successor the
// next time.
func AsNeeded(reason string, err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Code: ExitUnavailable, Reason: reason, Err: err, Fix: "try again"}
	}
	if e.Code != ExitRejected && !(e.Needed && e.Reason == "") {
		return err
	}
	c := *e
	c.Code, c.Needed, c.Reason = ExitUsage, true, reason
	if e.Later {
		c.Code = ExitUnavailable
	}
	return &c
}

// pathErrors are the errors of a path that leads nowhere, or to what may not be used: until a person changes
// that, another try ends the same.
var pathErrors = []error{
	fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, fs.ErrInvalid,
	syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EROFS,
	syscall.ENXIO,
}

// IsPathError reports whether another try would end the same.
func IsPathError(err error) bool {
	for _, e := range pathErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
