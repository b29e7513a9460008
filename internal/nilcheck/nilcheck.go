// Package nilcheck finds nil pointers in interfaces when something is made, where the mistake is, and not
// when the first event comes. An interface that holds a nil pointer is not nil, so comparing it with nil
// does not find it.
package nilcheck

import (
	"fmt"
	"log/slog"
	"reflect"
)

// Holder is a value that holds others which it could not refuse, because the function that made it returns
// no error. Who is given it asks.
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

// Check is the error of a v that is nil in any way; what says which argument it is, with the name of the
// package.
func Check(what string, v any) error {
	if v == nil {
		return fmt.Errorf("%s is nil", what)
	}
	return Typed(what, v)
}

// Typed is Check of what may be left out, or is looked at otherwise: a plain nil is fine.
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
		if Check(what, v) != nil { // its name is not made for each element: Seal asks for each event
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
