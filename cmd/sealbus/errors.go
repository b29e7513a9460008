package main

import (
	"errors"
	"fmt"
)

// The exit statuses.
const (
	exitDone        = 0
	exitRejected    = 1
	exitUsage       = 2
	exitUnavailable = 3
	exitDue         = 4 // of commands that look whether anything must be seen to
)

// exitWords are the exit statuses for programs: the member "error".
var exitWords = map[int]string{
	exitRejected: "rejected", exitUsage: "usage", exitUnavailable: "unavailable", exitDue: "due",
}

// exitError ends a run with a status. Without err, everything has been said already.
type exitError struct {
	code   int
	reason string // one stable word for programs, "" = none
	err    error
	fix    string // one line: what to do
}

func (e *exitError) Error() string {
	if e.err == nil {
		return exitWords[e.code]
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

// unavailable is the error of what could not be read, written or judged.
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

// asUnavailable turns the rejection of what a command needs in order to judge something else into
// "could not judge": a broken trust bundle says nothing about an event.
func asUnavailable(reason string, err error) error {
	var e *exitError
	if !errors.As(err, &e) {
		return &exitError{code: exitUnavailable, reason: reason, err: err, fix: "try again"}
	}
	if e.code != exitRejected {
		return err
	}
	c := *e
	c.code, c.reason = exitUnavailable, reason
	return &c
}
