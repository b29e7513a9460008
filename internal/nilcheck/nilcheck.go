// Package nilcheck lets constructors find nil pointers in interfaces, so that the mistake shows there and not
// at the first event. An interface that holds a nil pointer is not nil, so comparing it with nil does not
// find the pointer.
package nilcheck

import (
	"fmt"
	"log/slog"
	"reflect"
)

// Holder is a value that holds others and could not refuse them, because the function that made it returns no
// error. Typed and Check call CheckNil.
type Holder interface {
	CheckNil() error
}

// Is reports whether v is nil, or holds a nil pointer or a nil function. An empty list or map is a value
// like others.
func Is(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return r.IsNil()
	default:
		return false
	}
}

// Check is the error of a v that is nil, or that holds a nil pointer or a nil function; what names the
// argument, with its package.
func Check(what string, v any) error {
	if v == nil {
		return fmt.Errorf("%s is nil", what)
	}
	return Typed(what, v)
}

// Typed is Check for a value that may be left out: a plain nil is fine.
func Typed(what string, v any) error {
	switch {
	case v == nil:
		return nil
	case Is(v):
		return fmt.Errorf("%s is a nil %T: "+
			"a variable that was never set, or the result of a call whose error was not looked at", what, v)
	}
	if h, ok := v.(Holder); ok {
		return h.CheckNil()
	}
	return nil
}

// Each is Check of every element.
func Each[T any](what string, list []T) error {
	for i, v := range list {
		if Check(what, v) != nil { // the name is made only for an error, because Seal checks each event
			return Check(fmt.Sprintf("%s[%d]", what, i), v)
		}
	}
	return nil
}

// Logger is Check of the logger's handler; no logger is fine.
func Logger(what string, l *slog.Logger) error {
	if l == nil {
		return nil
	}
	return Check("the handler of "+what, l.Handler())
}
