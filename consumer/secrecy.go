package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"

	"github.com/sealbus/sealbus/consumer/replay"
)

// No text that was made of decrypted data leaves the process in an error, a log, a metric or a record. This
// file is what errors of handlers go through on their way out.

// SafeText says that the text of err quotes nothing of an event's data, so that logs, records and answers
// may carry it although the data was encrypted. Of an error around it, only the text of err is shown. It is
// nil if err is nil.
//
//	if resp.StatusCode != http.StatusOK {
//		status := consumer.SafeText(fmt.Errorf("the ledger answers %d", resp.StatusCode))
//		return fmt.Errorf("%w: %s", status, answer)
//	}
//
// A handler whose errors never quote data can wrap all of them.
func SafeText(err error) error {
	if err == nil {
		return nil
	}
	return &safeText{err}
}

type safeText struct{ err error }

func (s *safeText) Error() string { return textOf(s.err) }
func (s *safeText) Unwrap() error { return s.err }

// quoteNothing are errors of which it is known that they quote no data, and which say much about what failed.
var quoteNothing = [...]error{context.Canceled, context.DeadlineExceeded, replay.ErrClaimLost}

// why is what every withheld text says instead.
const why = "withheld, as it may quote the decrypted data (see consumer.SafeText)"

// discreet is the error of a handler, or of a callback, as it may be shown: without its text if there was
// encrypted data.
func (d *handling) discreet(err error) error {
	if !d.encrypted {
		return err
	}
	return &withheld{text: withoutData(err), err: func() error { return err }}
}

// withheld is an error without its text. What it wraps is in a function, since fmt follows unexported fields.
type withheld struct {
	text string
	err  func() error
}

func (w *withheld) Error() string    { return w.text }
func (w *withheld) GoString() string { return w.text }

// Unwrap is the error with its text, for programs that know whom they tell.
func (w *withheld) Unwrap() error { return w.err() }

// withoutData says of an error what quotes no data: its Go type, and what is declared safe. Methods of the
// error may panic, as those of a nil pointer in an error often do.
func withoutData(err error) (text string) {
	what, value := "the handler failed", any(err)
	if p, ok := err.(*PanicError); ok {
		what, value = "the handler panicked", p.Value
	}
	text = fmt.Sprintf("%s with a %T, whose text is %s", what, value, why)
	inner, ok := value.(error)
	if !ok {
		return text
	}
	_ = protect(func() error {
		if safe, ok := errors.AsType[*safeText](inner); ok {
			if text = safe.Error(); inner != error(safe) {
				text = fmt.Sprintf("%s: %s; the rest of the text is %s", what, clip(text), why)
			}
			return nil
		}
		for _, known := range quoteNothing {
			if errors.Is(inner, known) {
				text = fmt.Sprintf("%s: %v; the rest of the text is %s", what, known, why)
			}
		}
		return nil
	})
	return text
}

// plainText is an error that quotes nothing of the data.
type plainText string

func (p plainText) Error() string { return string(p) }

// unfit is the error of a Typed handler that could not read the data. It is looked for by its type alone, not
// inside other errors: what a handler wraps is no verdict on this event. Its text quotes nothing of the data.
type unfit struct {
	text string
	err  func() error
}

func (u *unfit) Error() string    { return "consumer: the data does not fit: " + u.text }
func (u *unfit) GoString() string { return u.Error() }
func (u *unfit) Unwrap() error    { return u.err() }

// newUnfit says of an error of encoding/json which field of t does not fit, what its type is, and where in
// the data. The error itself quotes values, and so may those of UnmarshalJSON and UnmarshalText methods.
func newUnfit(err error, t reflect.Type) *unfit {
	u := &unfit{err: func() error { return err }}
	switch e := err.(type) {
	case plainText:
		u.text = string(e)
	case *json.SyntaxError:
		u.text = fmt.Sprintf("it is not JSON from byte %d on", e.Offset)
	case *json.UnmarshalTypeError:
		field := "it"
		if path := fieldPath(t, e.Field); path != "" {
			field = "the field " + path
		}
		of := e.Type
		if reflect.TypeOf(of) != reflect.TypeOf(t) { // an UnmarshalJSON gave none, or one that may say anything
			of = t
		}
		u.text = fmt.Sprintf("%s is not what a %v is read from, at byte %d", field, of, e.Offset)
	default:
		u.text = fmt.Sprintf("reading it as a %v fails with a %T, whose text may quote the data", t, err)
	}
	return u
}

// fieldPath is the path of Go field names for the field that encoding/json names. Each name is one that the
// type has: the text of encoding/json may have keys of maps in it, which are data.
func fieldPath(t reflect.Type, field string) string {
	var path []string
	for field != "" {
		f, rest, ok := fieldOf(t, field)
		if ok {
			path, t = append(path, f.Name), f.Type
		} else {
			_, rest, _ = strings.Cut(field, ".")
		}
		field = rest
	}
	return strings.Join(path, ".")
}

// maxElements is how many pointers, lists and maps are followed to what is in them: of a type such as
// map[string]T that is itself T, the elements never end.
const maxElements = 32

// fieldOf is the field of t, or of what its elements are, that the path begins with: by its JSON name, or
// as an embedded struct by its own. A name may have dots in it.
func fieldOf(t reflect.Type, path string) (found reflect.StructField, rest string, ok bool) {
	of := []reflect.Kind{reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map}
	for range maxElements {
		if !slices.Contains(of, t.Kind()) {
			break
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return found, "", false
	}
	longest := 0
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		after, begins := strings.CutPrefix(path, name)
		if begins && len(name) > longest && (after == "" || after[0] == '.') {
			found, rest, longest = f, strings.TrimPrefix(after, "."), len(name)
		}
	}
	return found, rest, longest > 0
}

// String says which event it is. The data, which may have been encrypted, is in no form of printing: not in
// that of any format verb, nor of a log.
func (d Delivery[T]) String() string {
	if d.Opened == nil {
		return "Delivery(no event)"
	}
	return fmt.Sprintf("Delivery(event %q of %q, sealed by %q)", d.Event.ID(), d.Event.Source(), d.Producer)
}

// GoString is String.
func (d Delivery[T]) GoString() string { return d.String() }

// Format is String, whatever the verb.
func (d Delivery[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, d.String()) }

// LogValue is String.
func (d Delivery[T]) LogValue() slog.Value { return slog.StringValue(d.String()) }
