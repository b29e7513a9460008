package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// The exit statuses. A script repeats a command that ended with exitUnavailable, and no other.
const (
	exitDone        = 0
	exitRejected    = 1   // the input was judged, and is refused
	exitUsage       = 2   // the command has to be changed, or what it names: a flag, a file, a passphrase, a permission
	exitUnavailable = 3   // what it needs did not answer, or could not be read or written: try again
	exitDue         = 4   // of commands that look whether anything must be seen to
	exitInterrupted = 130 // Ctrl-C, as shells have it
)

// exitWord is an exit status for programs: the member "error".
func exitWord(code int) string {
	switch code {
	case exitRejected:
		return "rejected"
	case exitUsage:
		return "usage"
	case exitUnavailable:
		return "unavailable"
	case exitDue:
		return "due"
	case exitInterrupted:
		return "interrupted"
	}
	return ""
}

// exitError ends a run with a status. Without err, everything has been said already.
type exitError struct {
	code   int
	reason string // one stable word for programs, "" = none
	err    error
	fix    string // one line: what to do
	needed bool   // it is about a file that the command needs, not about how it was called
	later  bool   // the file is refused now, and may have a successor the next time
}

func (e *exitError) Error() string {
	if e.err == nil {
		return exitWord(e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage is the error of a call that cannot be meant.
func usage(fix, format string, args ...any) error { return failure(exitUsage, fix, format, args...) }

// rejected is the error of input that was judged, and is refused.
func rejected(fix, format string, args ...any) error {
	return failure(exitRejected, fix, format, args...)
}

// wrongFile is the error of a file that a command needs: it is missing, may not be read, or is another one
// than is meant.
func wrongFile(fix, format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...), fix: fix, needed: true}
}

// unavailable is the error of what could not be read, written or judged now, and may be another time.
func unavailable(fix, format string, args ...any) error {
	return failure(exitUnavailable, fix, format, args...)
}

// ended is the error of a run whose result, already written, is not exitDone.
func ended(code int) error {
	if code == exitDone {
		return nil
	}
	return &exitError{code: code}
}

func failure(code int, fix, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...), fix: fix}
}

// asNeeded turns the rejection of what a command needs, in order to judge something else, into a wrong file:
// a broken trust bundle says nothing about an event. A bundle that is only too old may have a successor the
// next time.
func asNeeded(reason string, err error) error {
	var e *exitError
	if !errors.As(err, &e) {
		return &exitError{code: exitUnavailable, reason: reason, err: err, fix: "try again"}
	}
	if e.code != exitRejected && !(e.needed && e.reason == "") {
		return err
	}
	c := *e
	c.code, c.needed, c.reason = exitUsage, true, reason
	if e.later {
		c.code = exitUnavailable
	}
	return &c
}

// pathErrors are the errors of a path that leads nowhere, or to what may not be used: until somebody changes
// that, another try ends the same.
var pathErrors = []error{
	fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, fs.ErrInvalid,
	syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EROFS, syscall.ENXIO,
}

// isPathError reports whether another try would end the same.
func isPathError(err error) bool {
	for _, e := range pathErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
